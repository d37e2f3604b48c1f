"""The rows of a table that meet a condition: chosen alike in every kind of file, while parts of Parquet files are skipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from boostlab.data.types import find_type, simplify
from boostlab.data.where import (
    Column,
    Comparison,
    Condition,
    Group,
    Membership,
    Missing,
    Operator,
    Value,
    list_columns,
    parse_condition,
)
from boostlab.errors import DataError, suggest
from boostlab.models.contract import FeatureType

COMPARE = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
EQUALITIES = ("==", "!=")
WORDS = {"number": "numbers", "boolean": "true and false", "category": "text", "date": "dates"}
EXAMPLES = {"number": "a number", "boolean": "true or false", "category": "a text in quotes", "date": "a date, as '2024-01-31'"}
SHOWN_NAMES = 30


@dataclass(frozen=True)
class Selection:
    """The rows that meet a condition; without one, all rows."""

    text: str = ""
    types: Mapping[str, FeatureType] = field(default_factory=dict)  #: of columns, as the user states them
    can_state_types: bool = True  #: whether there is a parameter for them
    condition: Condition | None = field(init=False)
    names: tuple[str, ...] = field(init=False)  #: of the columns in it

    def __post_init__(self) -> None:
        condition = parse_condition(self.text) if self.text.strip() else None
        object.__setattr__(self, "condition", condition)
        object.__setattr__(self, "names", list_columns(condition) if condition else ())

    @property
    def is_stated(self) -> bool:
        """Whether a column of the condition becomes another type than it has in a file that states types."""
        return any(name in self.types for name in self.names)

    def check(self, names: Sequence[str], location: str) -> None:
        """Refuse a condition on a column that is not in the table."""
        for name in self.names:
            if name not in names:
                more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
                raise DataError(
                    f"where = {self.text!r}: {location} has no column {name!r}.{suggest(name, names)} It has: "
                    f"{', '.join(names[:SHOWN_NAMES])}{more}. Text stands in quotes."
                )

    def apply(self, rows: pa.Table, values: pa.Table | None = None) -> pa.Table:
        """Return the rows that meet the condition, in their order.

        Parameters
        ----------
        rows : pyarrow.Table
        values : pyarrow.Table, optional
            The columns of the condition with their types, if those of `rows` are not read yet.

        Raises
        ------
        DataError
            If a column is compared with a value of another type.
        """
        if self.condition is None:
            return rows
        return _without_views(rows).filter(self._judge(self.condition, rows if values is None else values))

    def to_filter(self, schema: pa.Schema, *, missing: Sequence[str] = ()) -> ds.Expression | None:
        """Return a filter of Arrow that keeps each row that meets the condition, and maybe others; None keeps all.

        It spares parts of files. What it keeps is judged by :meth:`apply`. The texts in `missing` mean a missing value.
        """
        if self.condition is None or any(map(_is_view, schema.types)):
            return None
        return _prune(self.condition, schema, self.types, bool(missing))

    def _judge(self, condition: Condition, table: pa.Table) -> pa.ChunkedArray:
        """Return whether each row meets a condition, without nulls."""
        if isinstance(condition, Group):
            return reduce(
                pc.and_ if condition.operator == "and" else pc.or_, (self._judge(part, table) for part in condition.parts)
            )
        column = _plain(table.column(condition.column))
        if isinstance(condition, Missing):
            return pc.invert(pc.is_null(column)) if condition.negated else pc.is_null(column)
        if pa.types.is_null(column.type):
            return pa.chunked_array([pa.repeat(pa.scalar(False), len(column))])
        if isinstance(condition, Membership):
            return self._find(condition, column)
        if isinstance(condition.other, Column):
            return self._compare(condition.column, column, condition.operator, self._pair(condition, column, table))
        return self._compare(condition.column, column, condition.operator, self._cast(condition.column, column, condition.other))

    def _find(self, condition: Membership, column: pa.ChunkedArray) -> pa.ChunkedArray:
        values = [
            self._compare(condition.column, column, "==", self._cast(condition.column, column, v)) for v in condition.values
        ]
        found = reduce(pc.or_, values)
        return pc.and_(pc.invert(found), pc.is_valid(column)) if condition.negated else found

    def _compare(self, name: str, column: pa.ChunkedArray, operator: Operator, other: Any) -> pa.ChunkedArray:
        kind = find_type(column.type)
        if operator not in EQUALITIES and kind in ("category", "boolean"):
            choice = f", or state its type: -y 'column_types: {{{name}: date}}'" if self.can_state_types else ""
            raise DataError(
                f"where = {self.text!r}: the column {name!r} holds {WORDS[kind]}, which {operator!r} cannot order. Use ==, != or "
                f"in{choice}."
            )
        try:
            found = COMPARE[operator](column, other)
        except pa.ArrowInvalid:  # integers without a common type; a date that nanoseconds cannot express
            common = pa.float64() if kind == "number" else other.type
            found = COMPARE[operator](column.cast(common, safe=False), other.cast(common, safe=False))
        return pc.fill_null(found, False)

    def _pair(self, condition: Comparison, column: pa.ChunkedArray, table: pa.Table) -> pa.ChunkedArray:
        assert isinstance(condition.other, Column)
        other = _plain(table.column(condition.other.name))
        kinds = find_type(column.type), find_type(other.type)
        zones = [getattr(item.type, "tz", None) is None for item in (column, other)]
        if not pa.types.is_null(other.type) and (kinds[0] != kinds[1] or kinds[0] == "other" or zones[0] != zones[1]):
            raise DataError(
                f"where = {self.text!r}: the columns {condition.column!r} ({column.type}) and {condition.other.name!r} "
                f"({other.type}) cannot be compared. Compare columns of one type."
            )
        return other.cast(column.type) if pa.types.is_null(other.type) else other

    def _cast(self, name: str, column: pa.ChunkedArray, value: Value) -> pa.Scalar:
        """Return a value as one that is compared with a column."""
        kind = find_type(column.type)
        if kind == "other":
            raise DataError(
                f"where = {self.text!r}: the column {name!r} holds values of type {column.type}, which cannot be compared."
            )
        found = _to_scalar(value, column.type)
        if found is None:
            zone = " A column without time zones takes a date without one." if kind == "date" else ""
            raise DataError(
                f"where = {self.text!r}: the column {name!r} holds {WORDS[kind]}, and is compared with {value!r}. Compare it "
                f"with {EXAMPLES[kind]}.{zone}"
            )
        return found


def _is_view(kind: pa.DataType) -> bool:
    """Tell whether Arrow cannot filter a type."""
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _without_views(table: pa.Table) -> pa.Table:
    plain = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    return table.cast(pa.schema([field.with_type(plain.get(field.type, field.type)) for field in table.schema]))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with a simple type, with null for NaN, and dates as times."""
    column = simplify(column)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us"))
    return pc.if_else(pc.is_nan(column), None, column) if pa.types.is_floating(kind) else column


def _to_scalar(value: Value, kind: pa.DataType) -> pa.Scalar | None:
    """Return a value for a comparison with a column of a type; None if they are not comparable."""
    found = find_type(kind)
    if found == "boolean" and isinstance(value, bool):
        return pa.scalar(value)
    if found == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        if pa.types.is_floating(kind):
            return pa.scalar(float(value), kind)
        return pa.scalar(value) if isinstance(value, float) or abs(value) < 2**63 else pa.scalar(float(value))
    if found == "category" and isinstance(value, str):
        return pa.scalar(value, kind)
    return _to_time(value, kind) if found == "date" and isinstance(value, str) else None


def _to_time(text: str, kind: pa.DataType) -> pa.Scalar | None:
    zone = getattr(kind, "tz", None)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo and not zone:
        return None
    return pa.scalar(time, pa.timestamp("us", zone))  # without a zone it is in UTC, as such a column stores it


def _prune(condition: Condition, schema: pa.Schema, types: Mapping[str, FeatureType], has_markers: bool) -> ds.Expression | None:
    if isinstance(condition, Group):
        parts = [_prune(part, schema, types, has_markers) for part in condition.parts]
        known = [part for part in parts if part is not None]
        if condition.operator == "and":
            return reduce(lambda one, other: one & other, known) if known else None
        return reduce(lambda one, other: one | other, known) if len(known) == len(parts) else None
    stored = schema.field(condition.column).type
    if types.get(condition.column, find_type(stored)) != find_type(stored):  # it is compared after its conversion
        return None
    column = ds.field(condition.column)
    if isinstance(condition, Missing):
        return (
            ~column.is_null(nan_is_null=True) if condition.negated else None if has_markers else column.is_null(nan_is_null=True)
        )
    if isinstance(condition, Membership):
        values = [_to_stored(value, stored) for value in condition.values]
        known = [value for value in values if value is not None]
        return (
            column.isin(pa.array([item.as_py() for item in known], stored))
            if len(known) == len(values) and not condition.negated
            else None
        )
    value = None if isinstance(condition.other, Column) else _to_stored(condition.other, stored)
    return None if value is None else COMPARE_FIELDS[condition.operator](column, value)


COMPARE_FIELDS: dict[Operator, Any] = {
    "==": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}


def _to_stored(value: Value, kind: pa.DataType) -> pa.Scalar | None:
    """Return a value as the type that a file stores, if that changes nothing; else None."""
    checks = (
        pa.types.is_integer,
        pa.types.is_float32,
        pa.types.is_float64,
        pa.types.is_boolean,
        pa.types.is_string,
        pa.types.is_large_string,
    )
    if not any(check(kind) for check in (*checks, pa.types.is_timestamp, pa.types.is_date32)):
        return None
    found = _to_scalar(value, kind)
    if found is None:
        return None
    try:
        stored = found.cast(kind)
    except pa.ArrowException:
        return None
    return stored if stored.cast(found.type) == found else None
