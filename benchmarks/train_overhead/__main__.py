"""Time the same small training as three whole commands, alternating. Print medians and ratios as Markdown.

Usage: ``python -m benchmarks.train_overhead [--repeat N] [--readme]``. With ``--readme`` the table
replaces the one in the README.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.commands import compare_commands

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
PAPERMILL = str(Path(sys.executable).with_name("papermill"))
TARGETS = {"stock notebook": 0.48, "plain script": 1.3}


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the three commands. All write into the same SQLite store."""
    store = f"sqlite:///{folder}/mlflow.db"
    output = str(folder / "out.ipynb")
    return {
        "boostlab": [PAPERMILL, str(PROJECT / "notebooks/train.ipynb"), output, "-p", "tracking_uri", store],
        "stock notebook": [PAPERMILL, str(HERE / "stock.ipynb"), output, "-p", "tracking_uri", store],
        "plain script": [sys.executable, str(HERE / "script.py"), "--tracking-uri", store],
    }


if __name__ == "__main__":
    compare_commands("train_overhead", commands, targets=TARGETS, title="whole command", usage=__doc__)
