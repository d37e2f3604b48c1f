"""The types of a table's columns: those that files have, as the few that training knows, and those that the user states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from boostlab.data.batches import Gather, gather_in_memory
from boostlab.data.inference import Column
from boostlab.data.settings import ReadSettings
from boostlab.errors import DataError
from boostlab.models.contract import FeatureType


def find_type(arrow_type: pa.DataType) -> FeatureType | Literal["other"]:
    """Return how a model encodes values of an Arrow type; ``other`` if no model takes them."""
    if pa.types.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    if pa.types.is_boolean(arrow_type):
        return "boolean"
    if pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_decimal(arrow_type):
        return "number"
    if is_string(arrow_type) or pa.types.is_null(arrow_type):
        return "category"
    return "date" if pa.types.is_timestamp(arrow_type) or pa.types.is_date(arrow_type) else "other"


def is_string(arrow_type: pa.DataType) -> bool:
    """Tell whether values of an Arrow type are text."""
    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(check(arrow_type) for check in checks)


def simplify(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return a column with a type that NumPy and pandas hold: no decimals, half floats, views or dictionaries of numbers."""
    kind = column.type
    if pa.types.is_dictionary(kind) and not is_string(kind.value_type):
        return simplify(column.cast(kind.value_type))
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if pa.types.is_float16(kind):
        return column.cast(pa.float32())
    return column.cast(pa.string()) if pa.types.is_string_view(kind) else column


def convert(
    table: pa.Table,
    types: Mapping[str, FeatureType],
    read: ReadSettings,
    *,
    formats: Mapping[str, str] = {},
    gather: Gather = gather_in_memory,
) -> tuple[pa.Table, dict[str, str]]:
    """Return a table with columns of the types that the user states, and how the file holds them (:func:`convert_column`).

    The `formats` of dates win where two fit. Each column that changes is gathered by itself.
    """
    found: dict[str, str] = {}
    for name, wanted in types.items():
        column = table.column(name)
        converted, form = convert_column(column, name, wanted, read, date_format=formats.get(name, ""))
        if converted is not column:
            converted = gather([pa.table({name: converted})]).column(name)
            table = table.set_column(table.column_names.index(name), name, converted)
        found |= {name: form} if form else {}
    return table, found


def convert_column(
    column: pa.ChunkedArray, name: str, wanted: FeatureType, read: ReadSettings, *, date_format: str = ""
) -> tuple[pa.ChunkedArray, str]:
    """Return a column as the type that the user states, and how the file holds it.

    The second value is the format of dates that were text or numbers, ``number`` for categories that were numbers, else empty.

    Raises
    ------
    DataError
        If a value does not have that type.
    """
    kind = find_type(column.type)
    if kind == wanted:
        return column, ""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if kind == "number":
        column = _to_whole(column)
    if kind == "number" and wanted == "boolean" and set(column.drop_null().unique().to_pylist()) <= {0, 1}:
        return column.cast(pa.bool_()), ""
    if kind == "number" and wanted == "date":
        return _convert_text(column.cast(pa.string()), name, wanted, read, date_format)
    if kind == "number" and wanted == "category":
        if pa.types.is_floating(column.type):
            reason = "it has fractions, or numbers of more than 18 digits"
            raise DataError(f"The column {name!r} is not a category: {reason}. Leave it out of column_types.")
        return column.cast(pa.string()), "number"
    if kind == "category":
        return _convert_text(column, name, wanted, read, date_format)
    if kind == "boolean" and wanted == "number":
        return column.cast(pa.int64()), ""
    raise DataError(
        f"The column {name!r} has the type {column.type}, which does not become a {wanted}. Leave it out of column_types."
    )


def _to_whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers as int64 if all are whole, with null for NaN."""
    if not pa.types.is_floating(column.type):
        return column
    column = pc.if_else(pc.is_nan(column), None, column)
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column


def _convert_text(
    column: pa.ChunkedArray, name: str, wanted: FeatureType, read: ReadSettings, date_format: str
) -> tuple[pa.ChunkedArray, str]:
    """Return a column of text as another type, and the format of its dates."""
    texts = column.cast(pa.string()).combine_chunks()
    study = Column(name, read, wanted=wanted)
    study.add(texts)
    reading = study.choose(decimal=".", date_format=date_format)
    return pa.chunked_array([reading.parse(texts)]), reading.format
