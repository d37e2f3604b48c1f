"""Values of a column as numbers, to sort and to draw them, and back as text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from boostlab.display.numbers import format_number
from boostlab.models.contract import Feature
from boostlab.models.predictor import ENCODERS

Array = np.ndarray[Any, Any]


def as_numbers(values: pd.Series, feature: Feature) -> Array:
    """Return a column as numbers: the position of a category, the days of a date since 1970; NaN for a missing value."""
    item = replace(feature, parts=("days",)) if feature.type == "date" else feature
    return np.asarray(ENCODERS[item.type](values, item), np.float64).reshape(-1)


def format_value(number: float, feature: Feature) -> str:
    """Return a number or the days of a date as text.

    Examples
    --------
    >>> format_value(20000.0, Feature("sold", "date", "string"))
    '2024-10-04'
    """
    if feature.type == "date":
        return str(np.datetime64("1970-01-01") + np.timedelta64(int(number), "D"))
    return format_number(float(number))


def list_labels(feature: Feature) -> tuple[str, ...]:
    """Return the names of the values of a category or a boolean, in the order of their numbers."""
    return feature.categories or ("false", "true")
