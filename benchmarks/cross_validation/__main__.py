"""Time the small training with five folds as two whole commands, alternating. Print medians and the ratio as Markdown.

Usage: ``python -m benchmarks.cross_validation [--repeat N] [--readme]``. The script trains the same six models with
splitters of scikit-learn.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from benchmarks.report import print_table
from benchmarks.train_overhead.__main__ import commands, measure

FOLDS = 5
TARGET = 1.15


def fold_commands(folder: Path) -> dict[str, list[str]]:
    """Return the two commands, each with folds."""
    both = commands(folder)
    return {
        "boostlab": [*both["boostlab"], "-p", "folds", str(FOLDS)],
        "plain script": [*both["plain script"], "--folds", str(FOLDS)],
    }


def render(seconds: dict[str, list[float]]) -> list[str]:
    """Return the lines of the Markdown table."""
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = middle["boostlab"] / middle["plain script"]
    lines = ["| whole command with 5 folds | median | range | boostlab takes | target |", "| --- | --- | --- | --- | --- |"]
    for name, values in seconds.items():
        result = f" {ratio:.2f} of it | at most {TARGET} |" if name == "plain script" else "  |  |"
        lines.append(f"| {name} | {middle[name]:.1f} s | {min(values):.1f} to {max(values):.1f} s |{result}")
    return lines


def main() -> None:
    """Measure and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7, help="counted rounds")
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    seconds = measure(options.repeat, fold_commands)
    print_table("cross_validation", render(seconds), rounds=options.repeat, readme=options.readme)


if __name__ == "__main__":
    main()
