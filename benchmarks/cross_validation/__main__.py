"""Time the small training with five folds as two whole commands, alternating. Print medians and the ratio as Markdown.

Usage: ``python -m benchmarks.cross_validation [--repeat N] [--readme]``. The script trains the same six models with
splitters of scikit-learn.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.commands import compare_commands
from benchmarks.train_overhead.__main__ import commands

FOLDS = 5


def fold_commands(folder: Path) -> dict[str, list[str]]:
    """Return the two commands, each with folds."""
    both = commands(folder)
    return {
        "boostlab": [*both["boostlab"], "-p", "folds", str(FOLDS)],
        "plain script": [*both["plain script"], "--folds", str(FOLDS)],
    }


if __name__ == "__main__":
    title = f"whole command with {FOLDS} folds"
    compare_commands("cross_validation", fold_commands, targets={"plain script": 1.15}, title=title, usage=__doc__)
