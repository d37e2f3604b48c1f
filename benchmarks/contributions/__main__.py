"""Time the contributions to 10,000 rows of 28 columns, against XGBoost's alone on the same rows. Print CPU time as Markdown.

Usage: ``python -m benchmarks.contributions [--repeat N] [--readme]``. Both sides begin with the rows as a frame.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import xgboost as xgb

from benchmarks.report import print_table
from boostlab.models.contract import Contract, Feature
from boostlab.models.predictor import Predictor

ROWS, COLUMNS, TARGET = 10_000, 28, 1.1


def make_sides() -> dict[str, Callable[[], object]]:
    """Return what each side does, for a model of 100 trees of depth 6."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(ROWS, COLUMNS)), columns=[f"x{number}" for number in range(COLUMNS)])
    label = (frame.x0 + frame.x1 * frame.x2 + draw.normal(size=ROWS) > 0).astype(int)
    booster = xgb.train({"max_depth": 6, "objective": "binary:logistic"}, xgb.DMatrix(frame, label), 100)
    features = tuple(Feature(str(name), "number", "double") for name in frame)
    predictor = Predictor(booster, Contract("classification", ("no", "yes"), features))
    return {
        "boostlab, as arrays": lambda: predictor.contributions(frame),
        "boostlab, as answers": lambda: predictor.predict(frame, {"contributions": True}),
        "bare pred_contribs": lambda: booster.predict(xgb.DMatrix(frame), pred_contribs=True),
    }


def measure(repeat: int) -> dict[str, list[float]]:
    """Return seconds of CPU time per side, all threads together; the first round does not count."""
    seconds: dict[str, list[float]] = {}
    sides = make_sides()
    for turn in range(repeat + 1):
        for name, work in sides.items():
            started = time.process_time()
            work()
            if turn:
                seconds.setdefault(name, []).append(time.process_time() - started)
    return seconds


def main() -> None:
    """Measure and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7, help="counted rounds")
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    middle = {name: statistics.median(values) for name, values in measure(options.repeat).items()}
    bare = middle["bare pred_contribs"]
    lines = [f"| {ROWS:,} rows, {COLUMNS} columns | CPU time | ratio | target |", "| --- | --- | --- | --- |"]
    for name, value in middle.items():
        target = f"at most {TARGET}" if name.startswith("boostlab") else ""
        lines.append(f"| {name} | {value:.2f} s | {value / bare:.3f} | {target} |")
    print_table("contributions", lines, rounds=options.repeat, readme=options.readme)


if __name__ == "__main__":
    main()
