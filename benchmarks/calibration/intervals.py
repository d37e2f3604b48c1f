"""How often the interval of a test metric misses the model's true metric. Nominal: 5 %.

Usage: ``python -m benchmarks.calibration.intervals [--repeat N] [--readme]``. The model is the same in each simulation, and its
test rows are drawn anew; its true metric is that of 400,000 rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from benchmarks.report import print_table

from boostlab.evaluation.intervals import ALPHA, estimate_intervals
from boostlab.evaluation.metric_names import find_range
from boostlab.evaluation.metrics import score_metric

SEED = 20_261_201
Array = np.ndarray[Any, Any]
Rows = tuple[Array, Array]
NUMBERS = ("rmse", "mae", "r2")
CLASSES = ("log_loss", "brier", "roc_auc", "average_precision", "accuracy", "balanced_accuracy", "f1", "mcc")
SIZES = (100, 400, 2000)
TRUTH_ROWS = 400_000


def draw_numbers(draw: np.random.Generator, rows: int) -> Rows:
    """Return a target with heavy tails, and a model's answers to it."""
    true = draw.normal(size=rows)
    return true, 0.7 * true + draw.standard_t(5, rows) * 0.5


def draw_classes(draw: np.random.Generator, rows: int, *, share: float) -> Rows:
    """Return classes, of which a share is positive, and a model's probabilities of them."""
    true = (draw.random(rows) < share).astype(int)
    second = 1 / (1 + np.exp(-(draw.normal(1.5 * true) + np.log(share / (1 - share)) - 0.75)))
    return true, np.column_stack([1 - second, second])


CASES: dict[str, tuple[Callable[..., Rows], tuple[str, ...], int]] = {
    "regression": (draw_numbers, NUMBERS, 0),
    "half positive": (partial(draw_classes, share=0.5), CLASSES, 2),
    "one in ten positive": (partial(draw_classes, share=0.1), CLASSES, 2),
}


def find_intervals(number: int, *, case: str, rows: int) -> dict[str, tuple[float, float]]:
    """Return the interval of each metric on new test rows."""
    make, metrics, labels = CASES[case]
    true, answers = make(np.random.default_rng([SEED, rows, number]), rows)
    scores = {name: score_metric(name, true, answers) for name in metrics}
    chosen = answers.argmax(axis=1) if labels else None
    return estimate_intervals(
        scores, {name: find_range(name) for name in metrics}, true, answers, labels=labels, predicted=chosen
    )


def main() -> None:
    """Simulate and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=1000)
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    lines = [
        "| test rows | metric | target at most | " + " | ".join(f"{rows:,} rows" for rows in SIZES) + " |",
        "| --- " * 6 + "|",
    ]
    with ProcessPoolExecutor() as pool:
        for case, (make, metrics, _) in CASES.items():
            truth = make(np.random.default_rng(SEED), TRUTH_ROWS)
            missed: dict[str, list[str]] = {name: [] for name in metrics}
            for rows in SIZES:
                found = list(pool.map(partial(find_intervals, case=case, rows=rows), range(options.repeat), chunksize=20))
                for name in metrics:
                    true = score_metric(name, *truth)
                    ends = np.array([each[name] for each in found if name in each])
                    missed[name].append(f"{np.mean((ends[:, 0] > true) | (ends[:, 1] < true)):.1%}" if len(ends) else "none")
            lines += [f"| {case} | {name} | {1.5 * ALPHA:.1%} | {' | '.join(each)} |" for name, each in missed.items()]
    print_table("calibration.intervals", lines, readme=options.readme)


if __name__ == "__main__":
    main()
