"""What tests against chance share: evenly spaced rows, rows that depend on each other, and a correction for many tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from boostlab.data.splits import Part
from boostlab.data.table import Table, to_series

ALPHA = 0.05  # how often a test may be wrong

Array = np.ndarray[Any, Any]


def space_evenly(count: int, most: int) -> Array:
    """Return at most `most` of the positions below `count`, evenly spaced and ascending."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def space_rows(part: Part, most: int) -> Array:
    """Return the positions in a part of at most `most` rows that have a weight, evenly spaced and ascending."""
    counted = np.arange(len(part)) if part.weight is None else np.flatnonzero(part.weight)
    return np.asarray(counted[space_evenly(len(counted), most)])


def find_units(table: Table, rows: Array) -> Array:
    """Return the number of each row's group, without groups of its set of equal rows: one counts as one case; shape (n_rows,)."""
    name = table.roles.group
    if not name:
        return np.asarray(pd.factorize(table.content.rows[rows])[0])
    return np.asarray(pd.factorize(to_series(table.take([name], rows), name))[0])


def average(values: Array, weight: Array, units: Array) -> tuple[float, float, int]:
    """Return the weighted mean of values, its standard error with rows of one unit together, and the number of units.

    The error of a single unit is NaN.
    """
    mean = float(np.average(values, weights=weight))
    _, codes = np.unique(units, return_inverse=True)
    sums = np.bincount(codes, weights=weight * (values - mean))
    count = len(sums)
    error = np.sqrt(count / (count - 1) * (sums**2).sum()) / weight.sum() if count > 1 else np.nan
    return mean, float(error), count


def correct_holm(probabilities: Array) -> Array:
    """Return p-values of shape (n_tests,), corrected for their number (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    Examples
    --------
    >>> correct_holm(np.array([0.04, 0.01])).tolist()
    [0.04, 0.02]
    """
    order = np.argsort(probabilities, kind="stable")
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(1, np.maximum.accumulate(probabilities[order] * np.arange(len(order), 0, -1)))
    return corrected
