"""The task of a target: classification of its classes, or regression of a quantity."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from boostlab.data.settings import TableSettings
from boostlab.errors import DataError
from boostlab.models.contract import Task

MOST_CLASSES = 50  # different numbers that may be classes on request
MOST_FOUND_CLASSES = 20  # different numbers that are taken for classes without a request
FEWEST_ROWS = 5  # of each such number: counts, ages and prices have values with fewer
SHOWN_ROWS = 3


def find_task(target: pd.Series, requested: Task | Literal["auto"] = "auto") -> Task:
    """Return the task of a target: the requested one, or the one that fits its values if `requested` is ``auto``.

    Text and booleans are classes. Whole numbers are classes if there are two of them, or at most 20, each in at least five rows.
    Other numbers are a quantity.

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
    if requested == "auto":
        return _judge(target)[0]
    distinct = target.nunique()
    if requested == "classification" and numeric and (distinct > MOST_CLASSES or not _are_whole(target)):
        raise DataError(
            f"task = 'classification' does not fit the target {target.name!r}: {distinct} different numbers, such as "
            f"{_format_values(target)}. Classes are text, booleans or at most {MOST_CLASSES} whole numbers: "
            "set task to regression."
        )
    return requested


def explain_task(target: pd.Series, settings: TableSettings) -> str:
    """Return which task a target has, why, and how to choose the other one."""
    task = find_task(target, settings.requested_task)
    natural, reason = _judge(target)
    if settings.requested_task != "auto":
        reason = "task asks for it" if settings.task != "auto" else "the objective is for it"
        return f"Task: {task} of {target.name!r}, because {reason}."
    other = "regression" if natural == "classification" else "classification"
    numeric = pd.api.types.is_numeric_dtype(target) and not pd.api.types.is_bool_dtype(target)
    can_change = numeric and (other == "regression" or (target.nunique() <= MOST_CLASSES and _are_whole(target)))
    change = f" To change it: -p task {other}." if can_change else ""
    return f"Task: {task} of {target.name!r}, because {reason}.{change}"


def format_rows(positions: np.ndarray[Any, Any]) -> str:
    """Return the number of rows and the first three, counted from 1."""
    shown = ", ".join(str(position + 1) for position in positions[:SHOWN_ROWS])
    return f"row {shown}" if len(positions) == 1 else f"{len(positions)} rows (first: {shown})"


def _judge(target: pd.Series) -> tuple[Task, str]:
    """Return the task that fits the values, and why."""
    if pd.api.types.is_bool_dtype(target):
        return "classification", "its values are true or false"
    if not pd.api.types.is_numeric_dtype(target):
        return "classification", "its values are no numbers"
    if not _are_whole(target):
        return "regression", "it has fractions"
    counts = target.value_counts()
    found = f"it has {len(counts)} different whole numbers"
    if len(counts) <= 2:
        return "classification", found
    if len(counts) > MOST_FOUND_CLASSES:
        return "regression", f"{found}, more than {MOST_FOUND_CLASSES}"
    if counts.iloc[-1] < FEWEST_ROWS:
        rare = f"{counts.index[-1]:g} is in {counts.iloc[-1]} of {len(target)} rows"
        return "regression", f"{found}, and {rare}: classes have at least {FEWEST_ROWS}"
    return "classification", f"{found}, each in at least {counts.iloc[-1]} rows"


def _are_whole(target: pd.Series) -> bool:
    return bool((target == target.round()).all())


def _refuse_text(target: pd.Series, requested: str) -> None:
    """Refuse text and booleans if regression is requested, and text of which most or all values are numbers."""
    distinct = target.drop_duplicates()  # few in a classification of many rows
    texts = distinct[pd.to_numeric(distinct.astype(str), errors="coerce").isna()]
    wrong = np.flatnonzero(target.isin(texts).to_numpy())
    if requested != "regression" and (len(wrong) >= len(target) / 2 or target.nunique() <= MOST_CLASSES):
        return
    subject = "task = 'regression' does not fit the target" if requested == "regression" else "The target"
    if len(wrong):
        raise DataError(
            f"{subject} {target.name!r}: it is not a number in {format_rows(wrong)}: {_format_values(target.iloc[wrong])}. "
            "Regression takes numbers: correct the table, or set task to classification."
        )
    raise DataError(
        f"{subject} {target.name!r}: it is text, though each value reads as a number: {_format_values(target)}. "
        "Regression takes numbers: store the column as numbers, or set task to classification."
    )


def _format_values(target: pd.Series) -> str:
    return ", ".join(repr(value) for value in target.unique()[:SHOWN_ROWS].tolist())
