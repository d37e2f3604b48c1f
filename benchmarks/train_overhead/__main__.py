"""Time the same small training as three whole commands, alternating. Print medians and ratios as Markdown.

Usage: ``python -m benchmarks.train_overhead [--repeat N] [--readme]``. With ``--readme`` the table
replaces the one in the README.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import print_table

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
PAPERMILL = str(Path(sys.executable).with_name("papermill"))
TARGETS = {"stock notebook": 0.5, "plain script": 1.3}


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the three commands. All write into the same SQLite store."""
    store = f"sqlite:///{folder}/mlflow.db"
    output = str(folder / "out.ipynb")
    return {
        "boostlab": [PAPERMILL, str(PROJECT / "notebooks/train.ipynb"), output, "-p", "tracking_uri", store],
        "stock notebook": [PAPERMILL, str(HERE / "stock.ipynb"), output, "-p", "tracking_uri", store],
        "plain script": [sys.executable, str(HERE / "script.py"), "--tracking-uri", store],
    }


def measure(repeat: int, commands: Callable[[Path], dict[str, list[str]]] = commands) -> dict[str, list[float]]:
    """Return seconds of wall time per command. The first round makes the store and does not count."""
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "XDG_STATE_HOME": temporary}
        for turn in range(repeat + 1):
            for name, command in commands(folder).items():
                started = time.perf_counter()
                subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
                if turn:
                    seconds.setdefault(name, []).append(time.perf_counter() - started)
                print(f"round {turn} of {repeat}: {name:<16}{time.perf_counter() - started:6.2f} s", file=sys.stderr)
    return seconds


def render(seconds: dict[str, list[float]]) -> list[str]:
    """Return the lines of the Markdown table."""
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    lines = ["| whole command | median | range | boostlab takes | target |", "| --- | --- | --- | --- | --- |"]
    for name, values in seconds.items():
        ratio = f"{middle['boostlab'] / middle[name]:.2f} of it" if name in TARGETS else ""
        target = f"at most {TARGETS[name]}" if name in TARGETS else ""
        lines.append(f"| {name} | {middle[name]:.1f} s | {min(values):.1f} to {max(values):.1f} s | {ratio} | {target} |")
    return lines


def main() -> None:
    """Measure and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7, help="counted rounds")
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    print_table("train_overhead", render(measure(options.repeat)), rounds=options.repeat, readme=options.readme)


if __name__ == "__main__":
    main()
