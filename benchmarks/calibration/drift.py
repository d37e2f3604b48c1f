"""How often a file from the holdout's own population gets a verdict other than *as before* for any column. Nominal: at most 5 %.

A fifth of the columns each are normal numbers, mostly zero numbers, counts, rare flags, and texts of 30 categories.

Usage: ``python -m benchmarks.calibration.drift [--repeat N] [--readme]``.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.report import print_table

from boostlab.data.drift import FALSE_RATE, Drift
from boostlab.models.contract import Feature

HOLDOUTS = (88, 2000)
ROWS = (10, 20, 200, 2000)
COLUMNS = (1, 10, 50)
WORDS = tuple(f"word {number}" for number in range(30))
SHARES = 1 / np.arange(1, 31)
SEED = 20_260_301


def make_features(columns: int) -> list[Feature]:
    """Return features of five kinds in turn."""
    kinds: list[dict[str, Any]] = [
        *[{"type": "number", "mlflow_type": "double"}] * 3,
        {"type": "boolean", "mlflow_type": "boolean"},
        {"type": "category", "mlflow_type": "string", "categories": WORDS},
    ]
    return [Feature(f"c{number}", **kinds[number % 5]) for number in range(columns)]


def draw_frame(draw: np.random.Generator, rows: int, columns: int) -> pd.DataFrame:
    """Return rows of the population."""
    kinds = (
        lambda: draw.standard_normal(rows),
        lambda: np.where(draw.random(rows) < 0.1, draw.exponential(size=rows), 0.0),
        lambda: draw.poisson(3, rows).astype(float),
        lambda: draw.random(rows) < 0.05,
        lambda: draw.choice(WORDS, rows, p=SHARES / SHARES.sum()),
    )
    return pd.DataFrame({f"c{number}": kinds[number % 5]() for number in range(columns)})


def raises_alarm(draw: np.random.Generator, holdout: int, rows: int, columns: int) -> bool:
    """Tell whether a file without drift gets a verdict other than *as before*."""
    drift = Drift(make_features(columns), draw_frame(draw, holdout, columns))
    drift.add(drift.count(draw_frame(draw, rows, columns)))
    return bool((drift.tabulate()["verdict"] != "as before").any())


def main() -> None:
    """Simulate and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=600)
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    columns = " | ".join("1 column" if count == 1 else f"{count} columns" for count in COLUMNS)
    lines = [f"| rows of the holdout | rows of the file | {columns} | nominal | target |"]
    lines += ["| --- " * (len(COLUMNS) + 4) + "|"]
    for holdout in HOLDOUTS:
        for rows in ROWS:
            draws = [np.random.default_rng([SEED, holdout, rows, columns]) for columns in COLUMNS]
            alarms = [
                np.mean([raises_alarm(draw, holdout, rows, columns) for _ in range(options.repeat)])
                for draw, columns in zip(draws, COLUMNS, strict=True)
            ]
            shares = " | ".join(f"{share:.1%}" for share in alarms)
            lines.append(f"| {holdout:,} | {rows:,} | {shares} | at most {FALSE_RATE:.0%} | at most {1.5 * FALSE_RATE:.1%} |")
            print(lines[-1], flush=True)
    print_table("calibration.drift", lines, readme=options.readme)


if __name__ == "__main__":
    main()
