"""How often the interval of a cross-validation misses the true error of models trained on so many rows. Nominal: 5 %.

Usage: ``python -m benchmarks.calibration.folds [--repeat N] [--readme]``. The uncorrected interval is shown for comparison.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import xgboost as xgb
from benchmarks.report import print_table
from scipy import stats
from sklearn.model_selection import KFold

from boostlab.training.cross_validation import ALPHA, summarise

SEED = 20_261_129
CASES = [(rows, folds, repeats) for rows in (100, 400) for folds, repeats in ((5, 1), (10, 1), (5, 4))]
TEST_ROWS = 20_000
PARAMS = {"eta": 0.3, "max_depth": 3, "nthread": 1}
ROUNDS = 15


def draw_rows(draw: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return new rows of one population: a smooth function with noise."""
    inputs = draw.normal(size=(rows, 5))
    return inputs, inputs[:, 0] + np.sin(2 * inputs[:, 1]) + 0.5 * inputs[:, 2] * inputs[:, 3] + draw.normal(size=rows)


def fit(inputs: np.ndarray, target: np.ndarray) -> xgb.Booster:
    """Train a small model."""
    return xgb.train(PARAMS, xgb.QuantileDMatrix(inputs, label=target), ROUNDS)


def score(booster: xgb.Booster, inputs: np.ndarray, target: np.ndarray) -> float:
    """Return the RMSE."""
    return float(np.sqrt(np.mean((booster.predict(xgb.DMatrix(inputs)) - target) ** 2)))


def simulate(number: int, *, rows: int, folds: int, repeats: int) -> tuple[float, float, float, float, float]:
    """Return the mean over the folds, both ends of the interval, the uncorrected error, and the error on many new rows."""
    draw = np.random.default_rng([SEED, rows, folds, repeats, number])
    inputs, target = draw_rows(draw, rows)
    values = []
    for repeat in range(repeats):
        for known, tested in KFold(folds, shuffle=True, random_state=repeat).split(inputs):
            values.append(score(fit(inputs[known], target[known]), inputs[tested], target[tested]))
    found = summarise(np.array(values), ratio=1 / (folds - 1))
    plain = float(np.std(values, ddof=1) / len(values) ** 0.5 * stats.t.isf(ALPHA, len(values) - 1))
    known_rows = rows * (folds - 1) // folds
    fresh = fit(*draw_rows(draw, known_rows))
    return found.mean, found.low, found.high, plain, score(fresh, *draw_rows(draw, TEST_ROWS))


def main() -> None:
    """Simulate and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=400)
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    lines = ["| rows | folds | repeats | interval misses | target | uncorrected interval misses |", "| --- " * 6 + "|"]
    with ProcessPoolExecutor() as pool:
        for rows, folds, repeats in CASES:
            run = partial(simulate, rows=rows, folds=folds, repeats=repeats)
            found = np.array(list(pool.map(run, range(options.repeat), chunksize=10)))
            true = found[:, 4].mean()  # the expected error of a model that has learned from so many rows
            missed = np.mean((found[:, 1] > true) | (found[:, 2] < true))
            plain = np.mean(np.abs(found[:, 0] - true) > found[:, 3])
            lines.append(f"| {rows} | {folds} | {repeats} | {missed:.1%} | at most {3 * ALPHA:.1%} | {plain:.1%} |")
            print(lines[-1], flush=True)
    print_table("calibration.folds", lines, readme=options.readme)


if __name__ == "__main__":
    main()
