"""The conversion of plain values to numbers: the one set of rules by which every way of asking a model reads a value.

A value is exact, missing, or refused. A missing value is null or NaN; in a column that is no text, also a text that means one in
CSV. This module is copied into each logged model and into the lean image, and imports only numpy.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np

from .contract import MISSING_MARKERS, Feature

Array = np.ndarray[Any, Any]
Values = Sequence[Any] | Array
PLAIN = frozenset([int, float, bool, type(None)])  # the types that numpy converts by the rules of this module
NUMBERS = (int, float, Decimal, np.integer, np.floating, np.bool_)
TEXTS = frozenset([str, type(None)])
EXCERPT = reprlib.Repr()
EXCERPT.maxstring = EXCERPT.maxother = EXCERPT.maxlong = 40
EXCERPT.maxlevel = 1


class ConversionError(ValueError):
    """A value does not have the type of its column.

    Attributes
    ----------
    column : str
    row : int
        The position of the value, from 0.
    """

    def __init__(self, column: str, row: int, wanted: str, value: Any) -> None:
        super().__init__(f"Column {column!r} takes {wanted}, not {quote(value)} (row {row + 1}).")
        self.column, self.row, self._rest = column, row, (wanted, value)

    def at(self, row: int) -> ConversionError:
        """Return the same error for another row."""
        return ConversionError(self.column, row, *self._rest)


def quote(value: Any) -> str:
    """Return a short excerpt of a value, for a message."""
    try:
        return EXCERPT.repr(value.item() if isinstance(value, np.generic) else value)
    except ValueError:  # an integer of more than 4,300 digits
        return f"a number of {value.bit_length()} bits"


def is_missing(value: Any) -> bool:
    """Tell whether a plain value is missing: None or NaN."""
    return value is None or (isinstance(value, float | np.floating) and bool(value != value))


def to_numbers(values: Values, name: str) -> Array:
    """Return the values of the column `name` as float64, shape (n_rows,); a missing value is NaN.

    Raises
    ------
    ConversionError
        If a value is no number, and no text that reads as one.
    """
    plain = _try_plain(values)
    return convert_each(values, read_number, name, wanted="numbers") if plain is None else plain


def _try_plain(values: Values) -> Array | None:
    """Return numbers, booleans and None as float64, or None if there are other values."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return values.astype(np.float64)
    if PLAIN.issuperset(map(type, values)):
        with suppress(OverflowError):
            return np.array(values, np.float64)
    return None


def convert_each(
    values: Values, read: Callable[[Any], Any], name: str, *, wanted: str, dtype: str | type[np.floating[Any]] = np.float64
) -> Array:
    """Return what `read` makes of each value; of one that it refuses, a ConversionError says what is `wanted`."""
    converted: list[Any] = []
    try:
        for value in values:
            converted.append(read(value))
    except (ValueError, TypeError, OverflowError):
        row = len(converted)
        raise ConversionError(name, row, wanted, values[row]) from None
    return np.array(converted, dtype)


def read_number(value: Any) -> float:
    """Return a value as a number, NaN if it is missing, or raise a ValueError or TypeError."""
    if isinstance(value, str):
        text = value.strip()
        if text in MISSING_MARKERS:
            return np.nan
        if "_" in text or not text.isascii():  # which Python's float takes
            raise ValueError(text)
        return float(text)
    if value is None:
        return np.nan
    if isinstance(value, NUMBERS):
        return float(value)
    raise TypeError(value)


def drop_missing(numbers: Array, feature: Feature) -> Array:
    """Return numbers with NaN for those that mean a missing value."""
    if not feature.missing:
        return numbers
    missing = np.asarray(feature.missing, numbers.dtype if numbers.dtype.kind == "f" else np.float64)  # a float32 has its -999.9
    return np.where(np.isin(numbers, missing), np.nan, numbers)


def narrow_numbers(numbers: Array, name: str) -> Array:
    """Return the numbers of the column `name` as float32, the type that XGBoost computes with.

    Raises
    ------
    ConversionError
        If a number is infinite, or beyond the range of float32.
    """
    with np.errstate(over="ignore"):
        narrow = np.asarray(numbers, np.float32)
    infinite = np.isinf(narrow)
    if infinite.any():
        row = int(infinite.argmax())
        raise ConversionError(name, row, "finite numbers up to 3.4e38", numbers[row])
    return narrow


def to_booleans(values: Values, name: str) -> Array:
    """Return 1 for each value of the column `name` that is true, 0 for false, NaN for a missing one, as float32.

    Raises
    ------
    ConversionError
        If a value is not true, false, 1, 0, or a text that reads as one of them.
    """
    plain = _try_plain(values)
    if plain is not None and (np.isnan(plain) | (plain == 0) | (plain == 1)).all():
        return plain.astype(np.float32)
    return convert_each(values, _read_boolean, name, wanted="true or false", dtype=np.float32)


def _read_boolean(value: Any) -> float:
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in ("true", "false"):
        return float(word == "true")
    number = read_number(value)
    if number == number and number not in (0, 1):
        raise ValueError(value)
    return number


def index_categories(feature: Feature) -> dict[str | None, int]:
    """Return the position of each category, and of a missing value (None) if it stands for one."""
    positions: dict[str | None, int] = {name: code for code, name in enumerate(feature.categories)}
    return positions | ({None: positions[feature.gap]} if feature.gap else {})


def to_codes(values: Values, feature: Feature, positions: dict[str | None, int] | None = None) -> Array:
    """Return the position of each value among the categories, as float32; NaN for a missing value and an unknown category.

    A number stands for its text, without decimals if it is whole. Among whole numbers, a text that reads as a number is one.

    Raises
    ------
    ConversionError
        If a value is no text and no number, or is a boolean that is no category.
    """
    known = index_categories(feature) if positions is None else positions
    is_whole = feature.mlflow_type == "double"
    if not is_whole and TEXTS.issuperset(map(type, values)):
        return np.array([known.get(value, np.nan) for value in values], np.float32)
    read, wanted = (_read_whole, "whole numbers") if is_whole else (_read_text, "text")
    return convert_each(values, partial(read, positions=known), feature.name, wanted=wanted, dtype=np.float32)


def _read_text(value: Any, positions: dict[str | None, int]) -> float:
    text = None if is_missing(value) else value if isinstance(value, str) else _to_text(value)
    code = positions.get(text, np.nan)
    if code != code and isinstance(value, bool | np.bool_):  # True is the text true, True or TRUE: which one, nobody knows
        raise ValueError(value)
    return code


def _read_whole(value: Any, positions: dict[str | None, int]) -> float:
    try:
        number = read_number(value)
    except ValueError:  # a text that is no number is an unknown category
        return np.nan
    return positions.get(_to_text(number) if number == number else None, np.nan)


def _to_text(value: Any) -> str:
    """Return a number's text; a whole number has no decimals."""
    if not isinstance(value, NUMBERS):
        raise TypeError(value)
    is_fraction = isinstance(value, float | np.floating | Decimal)
    return str(int(value)) if is_fraction and float(value).is_integer() else str(value)
