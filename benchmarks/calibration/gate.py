"""How often the gate lets one of many equal models replace an equal champion. Nominal: at most 2.5 %.

The challenger is chosen in three ways: it is the best on the validation rows; it is the best on the test rows; or it is any of
the candidates that the gate lets pass. On the rows of a cross-validation, a fifth of the compared rows are the validation rows.

Usage: ``python -m benchmarks.calibration.gate [--repeat N] [--readme]``.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from benchmarks.calibration.equal_models import draw_regression
from benchmarks.report import print_table

from boostlab.comparison.candidates import Choice
from boostlab.comparison.paired import ALPHA, Pair, compare_pair

ROWS = (20, 50, 200, 2000)
ROWS_OF_FOLDS = (200, 2000)
CANDIDATES = (1, 5, 20, 50)
WAYS = ("best on the validation rows", "best on the test rows", "any that passes")
SEED = 20_260_201

Array = np.ndarray[Any, Any]


def passes(true: Array, champion: Array, challenger: Array, choice: Choice) -> bool:
    """Tell whether the gate lets the challenger pass."""
    pair = Pair(true, champion, challenger, "regression", [], basis="")
    return compare_pair(pair, metric="rmse", alpha=choice.alpha).verdict == "better"


def simulate(draw: np.random.Generator, rows: int, candidates: int, *, of_folds: bool = False) -> dict[str, bool]:
    """Return for each way of choosing whether the chosen model passes. As many rows validate as test, or a fifth of them."""
    _, valid = draw_regression(draw, rows, candidates)
    true, answers = draw_regression(draw, rows, 1 + candidates)
    valid = answers[1:, : rows // 5] if of_folds else valid
    on_valid, on_test = (valid**2).mean(axis=1), (answers**2).mean(axis=1)
    ranks = on_valid.argsort().argsort() + 1
    better = answers[0] ** 2 - answers[1:] ** 2
    close = better.mean(axis=1) > 1.5 * better.std(axis=1) / np.sqrt(rows)  # no other candidate can pass
    passed = {
        number: bool(close[number])
        and passes(true, answers[0], answers[number + 1], Choice("valid", int(ranks[number]), candidates, is_ranked=not of_folds))
        for number in range(candidates)
    }
    return dict(zip(WAYS, (passed[int(on_valid.argmin())], passed[int(on_test[1:].argmin())], any(passed.values())), strict=True))


def main() -> None:
    """Simulate and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=2000)
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    lines = ["| test rows | candidates | " + " | ".join(WAYS) + " | nominal | target |", "| --- " * (len(WAYS) + 4) + "|"]
    for rows, of_folds in [(rows, False) for rows in ROWS] + [(rows, True) for rows in ROWS_OF_FOLDS]:
        for candidates in CANDIDATES:
            draw = np.random.default_rng([SEED, rows, candidates, *([1] if of_folds else [])])
            found = [simulate(draw, rows, candidates, of_folds=of_folds) for _ in range(options.repeat)]
            shares = [f"{np.mean([each[way] for each in found]):.1%}" for way in WAYS]
            case = f"{rows:,}{' of folds' if of_folds else ''} | {candidates}"
            lines.append(f"| {case} | {' | '.join(shares)} | {ALPHA:.1%} | at most {1.5 * ALPHA:.2%} |")
            print(lines[-1], flush=True)
    print_table("calibration.gate", lines, readme=options.readme)


if __name__ == "__main__":
    main()
