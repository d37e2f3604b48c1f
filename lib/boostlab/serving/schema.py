"""Conversion of a request's values to the types of the model's signature, by the rules of MLflow's scoring server.

MLflow has two sets of rules: it converts tables as pandas converts a column, and ``instances`` and ``inputs`` as numpy makes an
array. This module implements both on numpy; the tests compare them with MLflow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from boostlab.models.contract import DTYPES, MISSING_MARKERS, MLflowType
from boostlab.models.predictor import Array
from boostlab.serving.errors import RequestError, SchemaError

CONVERSION_ERRORS = (TypeError, ValueError, OverflowError)
BOOLEANS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
ISO = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?"
    r"\s?(Z|[+-]\d\d(?::?\d\d)?)?)?)?)?|(\d{4})(\d\d)(\d\d)",
    re.ASCII,
)


def convert_column(values: Sequence[Any], mlflow_type: MLflowType, name: str) -> Array:
    """Convert JSON values as pandas converts a column, or raise a RequestError that names the column."""
    try:
        widened = _widen(values)
        if mlflow_type == "datetime":
            return np.array([_convert_date(value) for value in widened], "M8[ns]")
        if mlflow_type != "string":
            return to_objects(widened).astype(DTYPES[mlflow_type])
        if any(isinstance(value, list | dict) for value in widened):
            raise TypeError("a value is a list or a dictionary")
        return to_objects(widened)
    except CONVERSION_ERRORS as error:
        raise _conversion_error(name, mlflow_type, error) from None


def convert_text(values: Sequence[str | None], mlflow_type: MLflowType, name: str) -> Array:
    """Convert the fields of a CSV column as pandas reads them, or raise a RequestError that names the column."""
    try:
        if mlflow_type == "string":
            return to_objects([None if value == "" else value for value in values])
        known = [None if value in MISSING_MARKERS else value for value in values]
        if mlflow_type == "datetime":
            return np.array([_convert_date(value) for value in known], "M8[ns]")
        return np.array([TEXT_PARSERS[mlflow_type](value) for value in known], DTYPES[mlflow_type])
    except CONVERSION_ERRORS as error:
        raise _conversion_error(name, mlflow_type, error) from None


def convert_tensor(values: Any, mlflow_type: MLflowType) -> Array:
    """Convert JSON values as numpy does, or raise a RequestError: to shape (n,), or () for a single value."""
    many = values if isinstance(values, list) else [values]
    try:
        if mlflow_type != "string":
            array = np.array(many, DTYPES[mlflow_type])
        elif any(isinstance(value, list) for value in many):
            array = np.array(many, "str")
        else:
            array = to_objects([str(value) for value in many])
    except CONVERSION_ERRORS as error:
        raise RequestError(f"Invalid input. {error}") from None
    if array.ndim != 1:
        raise SchemaError("A column takes a list of values, not a list of lists.")
    return array if isinstance(values, list) else array.reshape(())


def to_objects(values: Sequence[Any]) -> Array:
    """Return any values as an array of objects, of shape (n,)."""
    return np.fromiter(values, dtype=object, count=len(values))


def parse_date(text: str) -> np.datetime64:
    """Parse an ISO 8601 date or time; a time with a zone is converted to UTC.

    Examples
    --------
    >>> parse_date("2026-01-31T12:00+02:00")
    np.datetime64('2026-01-31T10:00:00.000000')
    """
    found = ISO.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a date such as 2026-01-31 or 2026-01-31T12:00:00")
    year, month, day, hour, minute, second, fraction, zone, *basic = found.groups()
    if basic[0]:
        year, month, day = basic
    timestamp = f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}"
    date = np.datetime64(f"{timestamp}.{fraction}" if fraction else timestamp, "ns" if len(fraction or "") > 6 else "us")
    if zone in (None, "Z"):
        return date
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = np.timedelta64(int(digits[:2]) * 60 + int(digits[2:]), "m")
    return date - offset if zone[0] == "+" else date + offset


def is_number(text: str) -> bool:
    """Tell whether a text reads as a number."""
    try:
        _parse_number(text)
        return True
    except ValueError:
        return False


def _conversion_error(name: str, mlflow_type: MLflowType, error: Exception) -> RequestError:
    return RequestError(
        "Invalid input. Data is not compatible with model signature. "
        f"Failed to convert column {name} to type '{DTYPES[mlflow_type]}'. Error: '{error!r}'"
    )


def _widen(values: Sequence[Any]) -> Sequence[Any]:
    """Turn integers into floats if floats or missing values are among them, as pandas does."""
    types = set(map(type, values))
    if types <= {int} or not types <= {int, float, type(None)} or types == {type(None)}:
        return values
    return [np.nan if value is None else float(value) for value in values]


def _convert_date(value: Any) -> np.datetime64:
    if value is None or value != value or value == "NaT" or (isinstance(value, str) and value in MISSING_MARKERS):
        return np.datetime64("NaT", "ns")
    if isinstance(value, str):
        if value[-1] == "Z" or "+" in value or value.count("-") > 2:
            raise SchemaError(f"{value[:40]!r} has a time zone. The model takes dates without one.")
        return parse_date(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return np.datetime64(int(value), "ns")
    raise TypeError(f"{str(value)[:40]!r} is not a date")


def _parse_number(text: str | None) -> float:
    if text is None:
        return np.nan
    if "_" in text:
        raise ValueError(f"could not convert string to float: {text[:40]!r}")
    return float(text)


def _parse_whole(text: str | None) -> int:
    if text is None:
        raise ValueError("Integer column has NA values")
    if "_" in text:
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(text)


def _parse_boolean(text: str | None) -> bool:
    if text not in BOOLEANS:
        raise ValueError(f"{str(text)[:40]!r} is neither True nor False")
    return BOOLEANS[text]


TEXT_PARSERS: dict[MLflowType, Callable[[str | None], object]]
TEXT_PARSERS = {"double": _parse_number, "long": _parse_whole, "boolean": _parse_boolean}
