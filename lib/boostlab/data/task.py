"""The task of a target: classification of its classes, or regression of a quantity."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from boostlab.errors import DataError
from boostlab.models.contract import Task

MOST_CLASSES = 50
SHOWN_ROWS = 3


def find_task(target: pd.Series, requested: Task | Literal["auto"] = "auto") -> Task:
    """Return the task of a target: the requested one, or the one that fits its values if `requested` is ``auto``.

    Text, booleans and up to 50 different whole numbers are classes; other numbers are a quantity.

    Raises
    ------
    DataError
        If the target does not fit the requested task, has an infinite value, or mixes numbers with a few texts.
    """
    numeric = pd.api.types.is_numeric_dtype(target) and not pd.api.types.is_bool_dtype(target)
    if numeric:
        infinite = np.flatnonzero(~np.isfinite(target.to_numpy(float)))
        if len(infinite):
            raise DataError(f"The target {target.name!r} is infinite in {format_rows(infinite)}. Correct or drop those rows.")
    elif requested != "classification":
        _refuse_text(target, requested)
    distinct = target.nunique()
    countable = not numeric or (distinct <= MOST_CLASSES and bool((target == target.round()).all()))
    if requested == "auto":
        return "classification" if countable else "regression"
    if requested == "classification" and not countable:
        raise DataError(
            f"task = 'classification' does not fit the target {target.name!r}: {distinct} different numbers, such as "
            f"{_format_values(target)}. Classes are text, booleans or at most {MOST_CLASSES} whole numbers: "
            "set task to regression."
        )
    return requested


def format_rows(positions: np.ndarray[Any, Any]) -> str:
    """Return the number of rows and the first three, counted from 1."""
    shown = ", ".join(str(position + 1) for position in positions[:SHOWN_ROWS])
    return f"row {shown}" if len(positions) == 1 else f"{len(positions)} rows (first: {shown})"


def _refuse_text(target: pd.Series, requested: str) -> None:
    """Refuse text and booleans if regression is requested, and text that is a number in most rows but not in all."""
    numbers = pd.to_numeric(target.astype(str), errors="coerce")
    wrong = np.flatnonzero(numbers.isna().to_numpy())
    if requested == "regression" or (0 < len(wrong) < len(target) / 2 and target.nunique() > MOST_CLASSES):
        subject = "task = 'regression' does not fit the target" if requested == "regression" else "The target"
        raise DataError(
            f"{subject} {target.name!r}: it is not a number in {format_rows(wrong)}: {_format_values(target.iloc[wrong])}. "
            "Regression takes numbers: correct the table, or set task to classification."
        )


def _format_values(target: pd.Series) -> str:
    return ", ".join(repr(value) for value in target.unique()[:SHOWN_ROWS].tolist())
