"""The fast path: JSON rows of numbers only, with all columns, for a model of number columns only.

Most requests are of this form. They are decoded against a schema, which makes no dictionaries and checks each value, and go
straight into the booster's matrix. Every other request, valid or not, is left to :mod:`boostlab.serving.parsing`, which gives the
same numbers and the error messages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from boostlab.models.conversion import Array

FAST_TYPES = frozenset(["application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"])
ESCAPED = re.compile(r'["\\\x00-\x1f]')  # the decoder takes no key with them
MOST_COLUMNS = 200  # the decoder searches each key among all columns, so that a wide model takes longer than without a schema


class FastReader:
    """Reads requests of the fast path.

    Parameters
    ----------
    names : sequence of str
        The model's columns, in order; none if the model takes more than numbers.

    Examples
    --------
    >>> FastReader(["a", "b"]).read(b'{"dataframe_records": [{"a": 1, "b": 2.5}]}', "application/json")
    [1.0, 2.5]
    """

    def __init__(self, names: Sequence[str]) -> None:
        is_fast = len(names) <= MOST_COLUMNS and not any(map(ESCAPED.search, names))
        self.names = list(names) if is_fast else []
        self._decode = _make_decoder(self.names).decode

    def read(self, body: bytes, content_type: str | None) -> list[float] | None:
        """Return the values row by row, or None if the fast path does not apply."""
        if not self.names or content_type not in FAST_TYPES:
            return None
        try:
            content = self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        records, split = content.dataframe_records, content.dataframe_split
        if split and (records or split.columns != self.names):
            return None
        rows = split.data if split else records
        return list(chain.from_iterable(map(msgspec.structs.astuple, rows))) or None


def _make_decoder(names: Sequence[str]) -> msgspec.json.Decoder[Any]:
    """Return a decoder of requests in one of two forms; a row is an object or a list of numbers."""
    fields = [(f"value_{place}", float) for place in range(len(names))]
    keys = dict(zip((field for field, _ in fields), names, strict=True))
    record: Any = msgspec.defstruct("Record", fields, rename=keys, gc=False)
    row: Any = msgspec.defstruct("Row", fields, array_like=True, forbid_unknown_fields=True, gc=False)
    split: Any = msgspec.defstruct("Split", [("columns", list[str]), ("data", list[row])], forbid_unknown_fields=True)
    forms: list[Any] = [("dataframe_records", list[record], []), ("dataframe_split", split | None, None)]
    return msgspec.json.Decoder(msgspec.defstruct("Request", forms, forbid_unknown_fields=True))


def to_matrix(values: list[float], width: int) -> Array | None:
    """Return values as the booster's matrix, of shape (n_rows, width), or None if one is infinite as float32."""
    with np.errstate(over="ignore"):
        matrix = np.array(values, np.float64).astype(np.float32).reshape(-1, width)
    return matrix if np.isfinite(matrix).all() else None
