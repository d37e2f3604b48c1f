"""What makes the parts of a split unusable, which is refused, or their figures doubtful, which is a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from boostlab.errors import DataError
from boostlab.models.contract import Task

NAMES = ("training", "validation", "test")
FEW_ROWS = 10  # of a class: each is a tenth of the class's accuracy
MOST_NAMED = 3  # classes in a sentence

Array = np.ndarray[Any, Any]


def check_classes(target: pd.Series) -> None:
    """Refuse a target with one class, or with a class too rare for three parts."""
    counts = target.value_counts()
    labels = counts.index.tolist()
    if len(counts) < 2:
        raise DataError(f"The target {target.name!r} has one class only, {labels[0]!r}. Classification takes two or more.")
    if counts.iloc[-1] < 3:
        raise DataError(
            f"The class {labels[-1]!r} of {target.name!r} has {counts.iloc[-1]} row(s), too few for a training, a "
            "validation and a test part. Equal rows that stay together count once. Drop the class, or merge it with another."
        )


def check_counts(
    table: str, counts: Mapping[str, int], *, fewest: int, unit: str = "rows", left_out: Mapping[str, int] | None = None
) -> None:
    """Refuse a part with too few rows or groups; `left_out` is the number of rows that no part has, by reason."""
    gone = ", ".join(f"{count:,} {reason}" for reason, count in (left_out or {}).items() if count)
    why = f"Rows that no part has: {gone}. Change what leaves them out, or" if gone else "Change"
    for name, count in counts.items():
        if count < fewest:
            raise DataError(
                f"The {name} part of {table!r} would have {count} of {sum(counts.values())} {unit}, and needs at least {fewest}. "
                f"{why} test_size or valid_size."
            )


def check_parts(targets: Sequence[pd.Series], weights: Sequence[Array | None], task: Task) -> list[str]:
    """Return a sentence on each part whose figures are uncertain: one value of the target, or few rows of a class.

    Parameters
    ----------
    targets, weights
        Of the training, validation and test part. Rows of weight zero do not count.

    Raises
    ------
    DataError
        If all weights of a part are zero, or the training part lacks a class of another part.
    """
    counted = []
    for name, target, weight in zip(NAMES, targets, weights, strict=True):
        used = target if weight is None else target[weight > 0]
        if used.empty:
            raise DataError(f"All {len(target)} sample weights of the {name} part are zero. Change the split or the weights.")
        counted.append(used)
    if task == "regression":
        return [
            f"The {name} part has one value of {target.name!r} only, {target.iloc[0]}, in {len(target)} rows."
            for name, target in zip(NAMES, counted, strict=True)
            if target.nunique() == 1
        ]
    counts = [target.value_counts() for target in counted]
    labels = list(dict.fromkeys(label for count in counts for label in count.index.tolist()))
    absent = [label for label in labels if label not in counts[0].index]
    if absent:
        raise DataError(
            f"The class {absent[0]!r} of {counted[0].name!r} has no row in the training part. "
            "Change the split or split_seed, or drop the class."
        )
    every = [count.reindex(labels, fill_value=0) for count in counts]
    return [text for name, count in zip(NAMES, every, strict=True) if (text := _describe_rare(name, count))]


def _describe_rare(name: str, counts: pd.Series) -> str:
    rare = counts[counts < FEW_ROWS].sort_values()
    if rare.empty:
        return ""
    named = [f"{count} of {label!r}" for label, count in zip(rare.index.tolist(), rare, strict=True)]
    shown = ", ".join([*named[:MOST_NAMED], *(["…"] if len(named) > MOST_NAMED else [])])
    return f"The {name} part has few rows of {len(rare)} of {len(counts)} classes ({shown}): its figures for them are uncertain."
