"""Times of rows, which can be ordered and subtracted, and the gap between the parts of a split by time."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from boostlab.errors import DataError


def check_times(values: pd.Series) -> pd.Series:
    """Return a column of dates or numbers as times.

    Raises
    ------
    DataError
        If the values are neither dates nor numbers.
    """
    if pd.api.types.is_datetime64_any_dtype(values) or is_numeric(values):
        return values
    if pd.api.types.infer_dtype(values) == "date":  # days, which pandas holds as objects
        return pd.to_datetime(values)
    raise DataError(f"The time column {values.name!r} holds {values.dtype} values. A split by time takes dates or numbers.")


def is_numeric(values: pd.Series) -> bool:
    """Tell whether values are numbers, which truth values are not."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def is_gap(text: str) -> bool:
    """Tell whether a text states a number or a duration of at least zero.

    Examples
    --------
    >>> is_gap("7 days"), is_gap("30"), is_gap("-1h"), is_gap("a week")
    (True, True, False, False)
    """
    number = _read_number(text)
    try:
        return bool(pd.Timedelta(text) >= pd.Timedelta(0)) if number is None else number >= 0
    except ValueError:
        return False


def parse_gap(text: str, times: pd.Series) -> Any:
    """Return the gap that `text` states, as what is subtracted from `times`: a duration for dates, else a number.

    Raises
    ------
    DataError
        If the text is a number and the times are dates, or the reverse.
    """
    number = _read_number(text)
    if is_numeric(times):
        if number is None:
            raise DataError(f"time_gap = {text!r} is a duration, but the times {times.name!r} are numbers. Give a number.")
        return number
    if number is not None:
        raise DataError(
            f"time_gap = {text!r} has no unit, but the times {times.name!r} are dates. Give a unit, as '{text} days'."
        )
    return pd.Timedelta(text)


def _read_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
