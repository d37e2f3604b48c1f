"""How often the interval of the calibration error misses the true one. Nominal: at most 5 %.

The true error is that of the population's bins, computed on 2,000,000 rows; of a calibrated model it is 0.

Usage: ``python -m benchmarks.calibration.reliability [--repeat N] [--readme]``.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from benchmarks.report import print_table

from boostlab.evaluation.reliability import measure_reliability

SEED = 20_261_201
ROWS = (50, 200, 1000, 5000)
POPULATION = 2_000_000
GROUP_ROWS = 4
ALPHA = 0.05
MODELS = {  # mean of the log-odds, and what the model makes of them: slope and intercept
    "calibrated": (0.0, 1.0, 0.0),
    "too sure": (0.0, 1.8, 0.0),
    "slightly too high": (0.0, 1.0, 0.15),
    "too high": (0.0, 1.0, 0.8),
    "2 % positives, calibrated": (-4.5, 1.0, 0.0),
    "2 % positives, too high": (-4.5, 1.0, 1.0),
}
KINDS = ("two classes", "three classes", "weights", f"groups of {GROUP_ROWS} rows")

Array = np.ndarray[Any, Any]


def draw_rows(draw: np.random.Generator, rows: int, model: str, kind: str) -> dict[str, Array]:
    """Return true classes and probabilities, and for some kinds weights or groups; a group has one class and like rows."""
    mean, slope, intercept = MODELS[model]
    groups = np.arange(rows) // (GROUP_ROWS if kind.startswith("groups") else 1)
    odds = mean + draw.normal(size=groups[-1] + 1)[groups]
    if kind == "three classes":
        scores = np.column_stack([odds, draw.normal(size=(rows, 2))])
        likely, said = (np.exp(each - each.max(axis=1, keepdims=True)) for each in (scores, slope * scores + [intercept, 0, 0]))
        likely, said = (each / each.sum(axis=1, keepdims=True) for each in (likely, said))
        return {"true": (likely.cumsum(axis=1) < draw.random((rows, 1))).sum(axis=1).clip(max=2), "probabilities": said}
    true = (draw.random(groups[-1] + 1)[groups] < 1 / (1 + np.exp(-odds))).astype(int)
    second = 1 / (1 + np.exp(-slope * odds - intercept))
    found = {"true": true, "probabilities": np.column_stack([1 - second, second])}
    if kind == "weights":
        found["weight"] = draw.exponential(size=rows)
    return found | ({"groups": groups} if kind.startswith("groups") else {})


def main() -> None:
    """Simulate and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=1000)
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    sizes = " | ".join(f"{rows:,} rows" for rows in ROWS)
    lines = [f"| model | rows are | true error | {sizes} | target |", "| --- " * (len(ROWS) + 4) + "|"]
    for model in MODELS:
        for kind in KINDS:
            case = [SEED, list(MODELS).index(model), KINDS.index(kind)]
            population = draw_rows(np.random.default_rng(case), POPULATION, model, kind)
            true = 0.0 if "calibrated" in model else measure_reliability(population["true"], population["probabilities"]).value
            shares = []
            for rows in ROWS:
                draw = np.random.default_rng([*case, rows])
                found = [measure_reliability(**draw_rows(draw, rows, model, kind)) for _ in range(options.repeat)]
                shares.append(f"{np.mean([not one.low <= true <= one.high for one in found]):.1%}")
            lines.append(f"| {model} | {kind} | {true:.3f} | {' | '.join(shares)} | at most {1.5 * ALPHA:.1%} |")
            print(lines[-1], flush=True)
    print_table("calibration.reliability", lines, readme=options.readme)


if __name__ == "__main__":
    main()
