"""Plain rows: JSON of numbers alone, every column there, for a model of numbers alone.

That is most of what a server is asked, and it goes into the booster's matrix at once. Whatever is out of the ordinary, wrong or
not, is left to :mod:`boostlab.serving.parsing`, which comes to the same numbers and knows what to refuse.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import orjson

from boostlab.models.predictor import Array, Feature, narrow_numbers

NUMBERS = {int, float}  # not bool, which is a kind of int


def name_plain(features: list[Feature]) -> list[str]:
    """Return the names of a model's columns if it takes numbers alone, and none if it does not."""
    plain = all(item["kind"] == "number" and item["signature"] == "double" for item in features)
    return [item["name"] for item in features] if plain else []


def read_plain(body: bytes, content_type: str | None, names: list[str]) -> Array | None:
    """Return plain rows as the booster takes them, of shape (n_rows, n_columns), or None if they are not plain.

    Examples
    --------
    >>> read_plain(b'{"dataframe_records": [{"a": 1, "b": 2.5}]}', "application/json", ["a", "b"])
    array([[1. , 2.5]], dtype=float32)
    """
    if not names or content_type != "application/json":
        return None
    try:
        values = _list_values(orjson.loads(body), names)
        if not values or not NUMBERS.issuperset(map(type, values)):
            return None
        return narrow_numbers(np.array(values, np.float64), {"name": ""}).reshape(-1, len(names))
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def _list_values(content: Any, names: list[str]) -> list[Any]:
    """Return values row by row; none if they come in another way."""
    (form,) = content
    rows = content[form]
    if form == "dataframe_records":
        return [row[name] for row in rows for name in names]
    if form == "dataframe_split" and rows.keys() == {"columns", "data"} and rows["columns"] == names:
        data = rows["data"]
        return list(chain.from_iterable(data)) if {len(names)}.issuperset(map(len, data)) else []
    return []
