"""The values that mean a missing one because the user says so."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from boostlab.data.readings import is_number
from boostlab.data.settings import ReadSettings
from boostlab.data.types import find_type


def list_missing_numbers(read: ReadSettings) -> tuple[float, ...]:
    """Return the numbers that mean a missing value."""
    return tuple(float(text) for text in read.missing if is_number(text))


def drop_missing(column: pa.Array | pa.ChunkedArray, read: ReadSettings) -> pa.Array | pa.ChunkedArray:
    """Return a column with null for the values that mean a missing one."""
    kind = find_type(column.type)
    missing = list_missing_numbers(read) if kind == "number" else read.missing if kind == "category" else ()
    if not missing or pa.types.is_null(column.type):
        return column
    if pa.types.is_dictionary(column.type):  # an if_else of Arrow loses the order of a dictionary
        codes = [pc.if_else(pc.is_in(chunk, pa.array(missing)), None, chunk.indices) for chunk in column.chunks]
        parts = [
            pa.DictionaryArray.from_arrays(code, chunk.dictionary, ordered=chunk.type.ordered)
            for code, chunk in zip(codes, column.chunks, strict=True)
        ]
        return pa.chunked_array(parts, column.type)
    plain = column.cast(pa.float64(), safe=False) if pa.types.is_integer(column.type) else column  # -999 is no uint8
    return pc.if_else(pc.is_in(plain, pa.array(missing).cast(plain.type)), None, column)
