"""How often any slice of the test rows is called worse, of a model that is equally good everywhere. Nominal: at most 5 %.

The losses do not depend on the columns: numbers, one of them with gaps, a category, a rare flag, and of groups two columns that
are equal in a group. Squared errors are those of normal and of heavy-tailed noise, log losses those of a constant probability.

Usage: ``python -m benchmarks.calibration.slices [--repeat N] [--readme]``.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb
from benchmarks.report import print_table

from boostlab.data.chance import ALPHA
from boostlab.data.splits import Part
from boostlab.data.table import Roles, Table
from boostlab.evaluation.metrics import Evaluation
from boostlab.evaluation.slices import find_slices
from boostlab.models.contract import Contract, Feature, Task
from boostlab.models.predictor import Predictor, safe_names

SEED = 20_261_130
ROWS = (100, 400, 2000)
WORDS = ("flat", "house", "hut", "villa")
GROUP_ROWS = 4
NUMBER: dict[str, Any] = {"type": "number", "mlflow_type": "double"}
FEATURES = (
    *(Feature(f"x{number}", **NUMBER) for number in range(3)),
    Feature("gap", **NUMBER, optional=True),
    Feature("kind", "category", "string", categories=WORDS),
    Feature("rare", "boolean", "boolean"),
    Feature("of_group", **NUMBER),
    Feature("kind_of_group", "category", "string", categories=WORDS),
)

Array = np.ndarray[Any, Any]


def draw_noise(draw: np.random.Generator, groups: Array, *, tails: float) -> Array:
    """Return noise of Student's t with a part that is common to a group."""
    common = draw.standard_t(tails, groups.max() + 1)[groups]
    return np.asarray(common + draw.standard_t(tails, len(groups)))


def draw_classes(draw: np.random.Generator, groups: Array, *, share: float) -> Array:
    """Return 0 and 1; half of the groups have one value in all rows."""
    common = (draw.random(groups.max() + 1) < share)[groups]
    is_common = (draw.random(groups.max() + 1) < 0.5)[groups]
    return np.where(is_common, common, draw.random(len(groups)) < share).astype(np.int64)


SHARES = {"log, 30 % positives": 0.3, "log, 5 % positives": 0.05, "log, 1 % positives": 0.01}
TAILS = {"squared, normal": 1e6, "squared, heavy tails": 5}
LOSSES = (*TAILS, *SHARES)


def draw_part(draw: np.random.Generator, rows: int, losses: str, *, has_groups: bool) -> Part:
    """Return rows whose target does not depend on their columns; without groups, each row is one."""
    groups = np.arange(rows) // (GROUP_ROWS if has_groups else 1)
    of_group = draw.normal(size=rows)[groups], draw.choice(WORDS, rows, p=[0.5, 0.3, 0.15, 0.05])[groups]
    y = draw_noise(draw, groups, tails=TAILS[losses]) if losses in TAILS else draw_classes(draw, groups, share=SHARES[losses])
    columns = {f"x{number}": draw.normal(size=rows) for number in range(3)} | {
        "gap": np.where(draw.random(rows) < 0.1, np.nan, draw.exponential(size=rows)),
        "kind": draw.choice(WORDS, rows, p=[0.5, 0.3, 0.15, 0.05]),
        "rare": draw.random(rows) < 0.07,
        "of_group": of_group[0],
        "kind_of_group": of_group[1],
        "group": groups,
        "y": y,
    }
    names = tuple(feature.name for feature in FEATURES)
    roles = Roles(target="y", group="group" if has_groups else "")
    task: Task = "regression" if losses in TAILS else "classification"
    table = Table(pa.table(columns), roles, names, name="drawn", source="here", task=task, kept=frozenset(names))
    return Part(table, np.arange(rows), table.target, None)


def make_predictor(contract: Contract) -> Predictor:
    """Return a model that answers each row with 0, or with a probability of one half; its losses look for slices."""
    matrix = xgb.DMatrix(np.zeros((2, len(FEATURES)), np.float32), label=np.zeros(2), feature_names=safe_names(FEATURES))
    params = {"objective": "binary:logistic"} if contract.labels else {}
    return Predictor(
        xgb.train(params | {"base_score": 0.5 if contract.labels else 0, "eta": 0, "nthread": 1}, matrix, 1), contract
    )


def simulate(number: int, predictor: Predictor, *, rows: int, losses: str, has_groups: bool) -> bool:
    """Tell whether any slice is called worse; as many rows look for slices."""
    draw = np.random.default_rng([SEED, rows, LOSSES.index(losses), has_groups, number])
    test, valid = (draw_part(draw, rows, losses, has_groups=has_groups) for _ in range(2))
    answers = np.zeros(rows) if losses in TAILS else np.tile([1 - SHARES[losses], SHARES[losses]], (rows, 1))
    evaluation = Evaluation(test, predictor.contract, answers, {}, {})
    return any(one.is_worse for one in find_slices(evaluation, predictor, valid).slices)


def main() -> None:
    """Simulate and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=400)
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    lines = [
        "| loss | groups | " + " | ".join(f"{rows:,} rows" for rows in ROWS) + " | target |",
        "| --- " * (len(ROWS) + 3) + "|",
    ]
    for losses in LOSSES:
        regression = Contract("regression", (), FEATURES, metric="rmse")
        predictor = make_predictor(regression if losses in TAILS else Contract("classification", (0, 1), FEATURES))
        for has_groups in (False, True):
            shares = []
            for rows in ROWS:
                own = partial(simulate, predictor=predictor, rows=rows, losses=losses, has_groups=has_groups)
                found = [own(number) for number in range(options.repeat)]
                shares.append(f"{np.mean(found):.1%}")
            groups = f"of {GROUP_ROWS} rows" if has_groups else "none"
            lines.append(f"| {losses} | {groups} | {' | '.join(shares)} | at most {1.5 * ALPHA:.1%} |")
            print(lines[-1], flush=True)
    print_table("calibration.slices", lines, readme=options.readme)


if __name__ == "__main__":
    main()
