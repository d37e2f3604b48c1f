"""The fast path: JSON rows of numbers only, with all columns, for a model of number columns only.

Most requests are of this form. Their values go straight into the booster's matrix. Every other request, valid or not, is left to
:mod:`boostlab.serving.parsing`, which gives the same numbers and the error messages.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import orjson

from boostlab.models.predictor import Array, narrow_numbers

NUMBER_TYPES = {int, float}  # not bool, although it is a subclass of int


def read_fast(body: bytes, content_type: str | None, names: list[str]) -> Array | None:
    """Return rows as the booster's matrix, of shape (n_rows, n_columns), or None if the fast path does not apply.

    Examples
    --------
    >>> read_fast(b'{"dataframe_records": [{"a": 1, "b": 2.5}]}', "application/json", ["a", "b"])
    array([[1. , 2.5]], dtype=float32)
    """
    if not names or content_type != "application/json":
        return None
    try:
        values = _list_values(orjson.loads(body), names)
        if not values or not NUMBER_TYPES.issuperset(map(type, values)):
            return None
        return narrow_numbers(np.array(values, np.float64), "").reshape(-1, len(names))
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


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
