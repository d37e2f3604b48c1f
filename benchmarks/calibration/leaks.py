"""How often the leak rule leaves out a good feature, and how often it finds a copy of the target.

The good features are normal in each class, with an AUC of 0.998 and 0.9998. The former rule judged by rows: it left out a
column of which a tree had a balanced accuracy of 0.999 on half of the training rows.

Usage: ``python -m benchmarks.calibration.leaks [--repeat N] [--readme]``.
"""

from __future__ import annotations

import argparse
import warnings
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
from benchmarks.report import print_table
from sklearn.metrics import balanced_accuracy_score
from sklearn.tree import DecisionTreeClassifier
from tests.support.settings import make_settings

from boostlab.data.leaks import find_leaks
from boostlab.data.splits import Part, split_table
from boostlab.data.table import Roles, Table
from boostlab.models.contract import Feature

FEATURES = {"AUC 0.998": 0.998, "AUC 0.9998": 0.9998, "copy of the target": None}
SIZES = ((20, 2000), (200, 2000), (500, 2000), (250, 500), (1000, 2000))
SEED = 20_261_128


def draw_part(positives: int, rows: int, auc: float | None, *, seed: int) -> Part:
    """Return the training part of a table with one column; without an AUC, the column is a copy of the target."""
    draw = np.random.default_rng([SEED, seed])
    target = draw.permutation(np.arange(rows) < positives)
    column = target * 3.0 if auc is None else draw.normal(size=rows) + target * NormalDist().inv_cdf(auc) * np.sqrt(2)
    table = Table(pa.table({"x": column, "y": target}), Roles("y"), ("x",), name="made", source="made", task="classification")
    return split_table(table, make_settings(split_seed=seed, duplicates="apart")).train


def is_left_out_by_rows(part: Part) -> bool:
    """Apply the former rule."""
    inputs = np.concatenate([frame.to_numpy() for frame in part.batches(["x"])])
    target = part.target.to_numpy()
    order = np.random.default_rng(0).permutation(len(target))
    learn, look = order[::2], order[1::2]
    tree = DecisionTreeClassifier(random_state=0).fit(inputs[learn], target[learn])
    return bool(balanced_accuracy_score(target[look], tree.predict(inputs[look])) >= 0.999)


def judge(part: Part) -> dict[str, bool]:
    """Return what the former rule and the present one say about the column."""
    leak = find_leaks(part, [Feature("x", "number", "double")]).get("x")
    return {
        "by rows": is_left_out_by_rows(part),
        "by events": bool(leak and leak.is_sure),
        "doubted": bool(leak and not leak.is_sure),
    }


def main() -> None:
    """Simulate and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=200)
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")  # the former rule sees parts with one class
    lines = [
        "| column | positives | rows | left out by rows (before) | left out by events | kept with a finding |",
        "| --- " * 6 + "|",
    ]
    for name, auc in FEATURES.items():
        for positives, rows in SIZES:
            found: list[dict[str, Any]] = [judge(draw_part(positives, rows, auc, seed=seed)) for seed in range(options.repeat)]
            shares = [f"{np.mean([each[rule] for each in found]):.1%}" for rule in found[0]]
            lines.append(f"| {name} | {positives:,} | {rows:,} | {' | '.join(shares)} |")
            print(lines[-1], flush=True)
    print_table("calibration.leaks", lines, readme=options.readme)


if __name__ == "__main__":
    main()
