"""How often the comparison finds one of two equal models better or worse. Nominal: 5 %.

Usage: ``python -m benchmarks.calibration.comparison [--repeat N] [--readme]``.
"""

from __future__ import annotations

import argparse

import numpy as np
from benchmarks.calibration.equal_models import draw_classes, draw_regression
from benchmarks.report import print_table

from boostlab.comparison.paired import ALPHA, Pair, compare_pair

ROWS = (20, 50, 200, 2000)
METRICS = ("rmse", "mae", "r2", "log_loss", "roc_auc", "balanced_accuracy", "accuracy")
GROUPED, UNEQUAL = "rmse, groups of 5 rows", "rmse, one model with rarer and larger errors"
ALL = (*METRICS, GROUPED, UNEQUAL)
SEED = 20_260_101


def draw_pair(draw: np.random.Generator, rows: int, metric: str) -> Pair:
    """Return two equal models' answers to new rows."""
    groups = np.arange(rows) // 5 if metric == GROUPED else None
    if metric in ("rmse", "mae", "r2", GROUPED, UNEQUAL):
        errors = draw_regression(draw, rows, 2, groups=groups)[1]
        if metric == UNEQUAL:
            errors = np.stack([draw.standard_normal(rows), draw.standard_t(5, rows) * np.sqrt(3 / 5)])  # of variance 1
        true = draw.standard_normal(rows)
        return Pair(true, true + errors[0], true + errors[1], "regression", [], basis="", groups=groups)
    true, (champion, challenger) = draw_classes(draw, rows, 2)
    return Pair(true, champion, challenger, "classification", [0, 1], basis="")


def measure(rows: int, metric: str, repeat: int) -> float:
    """Return the share of comparisons that find a difference."""
    draw = np.random.default_rng([SEED, rows, ALL.index(metric)])
    name = metric.partition(",")[0]
    verdicts = [compare_pair(draw_pair(draw, rows, metric), metric=name).verdict for _ in range(repeat)]
    return float(np.mean([verdict != "no significant difference" for verdict in verdicts]))


def main() -> None:
    """Simulate and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3000)
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    lines = [f"| metric | {' | '.join(f'{rows:,} rows' for rows in ROWS)} | nominal | target |", "| --- " * (len(ROWS) + 3) + "|"]
    for metric in ALL:
        shares = [measure(rows, metric, options.repeat) if rows > 40 or metric != GROUPED else None for rows in ROWS]
        cells = ["–" if share is None else f"{share:.1%}" for share in shares]
        lines.append(f"| {metric} | {' | '.join(cells)} | {2 * ALPHA:.1%} | at most {3 * ALPHA:.1%} |")
        print(lines[-1], flush=True)
    print_table("calibration.comparison", lines, readme=options.readme)


if __name__ == "__main__":
    main()
