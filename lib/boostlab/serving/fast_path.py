"""The fast path: JSON rows of numbers only, with all columns, for a model of number columns only.

Most requests are of this form. Their values go straight into the booster's matrix. Every other request, valid or not, is left to
:mod:`boostlab.serving.parsing`, which gives the same numbers and the error messages.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import orjson

from boostlab.models.conversion import Array

FAST_TYPES = frozenset(["application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"])
NUMBER_TYPES = {int, float}  # not bool, although it is a subclass of int


def read_fast(body: bytes, content_type: str | None, names: list[str]) -> list[Any] | None:
    """Return the values row by row, or None if the fast path does not apply.

    Examples
    --------
    >>> read_fast(b'{"dataframe_records": [{"a": 1, "b": 2.5}]}', "application/json", ["a", "b"])
    [1, 2.5]
    """
    if not names or content_type not in FAST_TYPES:
        return None
    try:
        values = _list_values(orjson.loads(body), names)
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    return values if values and NUMBER_TYPES.issuperset(map(type, values)) else None


def to_matrix(values: list[Any], width: int) -> Array | None:
    """Return values as the booster's matrix, of shape (n_rows, width), or None if one is infinite as float32."""
    with np.errstate(over="ignore"):
        matrix = np.array(values, np.float64).astype(np.float32).reshape(-1, width)
    return matrix if np.isfinite(matrix).all() else None


def _list_values(content: Any, names: list[str]) -> list[Any]:
    """Return the values row by row, or an empty list for another format."""
    (form,) = content
    rows = content[form]
    if form == "dataframe_records":
        return [row[name] for row in rows for name in names]
    if form == "dataframe_split" and rows.keys() == {"columns", "data"} and rows["columns"] == names:
        data = rows["data"]
        return list(chain.from_iterable(data)) if {len(names)}.issuperset(map(len, data)) else []
    return []
