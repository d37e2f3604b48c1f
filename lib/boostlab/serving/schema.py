"""Values of a request as the types that a signature names, by the rules of MLflow's scoring server.

The server has two sets of rules. What is sent as a table is cast as pandas casts a column, what is sent as ``instances``
or ``inputs`` as numpy makes an array. Both are rebuilt here on numpy; the tests hold them against the originals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from boostlab.models.predictor import Array
from boostlab.serving.errors import RequestError, SchemaError

DTYPES = {"double": "float64", "long": "int64", "boolean": "bool", "string": "object", "datetime": "datetime64[ns]"}
WRONG = (TypeError, ValueError, OverflowError)
TRUTHS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
GAPS = frozenset(  # what pandas reads as nothing in CSV
    [
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    ]
)
ISO = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?"
    r"\s?(Z|[+-]\d\d(?::?\d\d)?)?)?)?)?|(\d{4})(\d\d)(\d\d)",
    re.ASCII,
)


def cast_column(values: Sequence[Any], signature: str, name: str) -> Array:
    """Cast JSON values as pandas casts a column of them.

    Raises
    ------
    RequestError
        If a value is not of the signature's type.
    """
    try:
        return TABLE_CASTS[signature](_unify(values))
    except WRONG as error:
        raise _refuse(name, signature, error) from None


def cast_text(values: Sequence[str | None], signature: str, name: str) -> Array:
    """Cast the fields of a CSV column as pandas reads them."""
    try:
        return TEXT_CASTS[signature]([None if value is None or value in GAPS else value for value in values])
    except WRONG as error:
        raise _refuse(name, signature, error) from None


def cast_tensor(values: Any, signature: str) -> Array:
    """Cast JSON values as numpy makes an array of them, of shape (n,); () if `values` is a single one.

    Raises
    ------
    RequestError
        If a value is not of the signature's type, or they are more than a list.
    """
    many = values if isinstance(values, list) else [values]
    try:
        if signature == "string" and not any(isinstance(value, list) for value in many):
            array = to_objects([str(value) for value in many])
        else:
            array = np.array(many, DTYPES[signature] if signature != "string" else "str")
    except WRONG as error:
        raise RequestError(f"Invalid input. {error}") from None
    if array.ndim != 1:
        raise SchemaError("A column takes a list of values, not a list of lists.")
    return array if isinstance(values, list) else array.reshape(())


def to_objects(values: Sequence[Any]) -> Array:
    """Return values as an array of objects, of shape (n,), whatever they are."""
    return np.fromiter(values, dtype=object, count=len(values))


def parse_date(text: str) -> np.datetime64:
    """Read an ISO 8601 date or time; of a zone, as UTC.

    Examples
    --------
    >>> parse_date("2026-01-31T12:00+02:00")
    np.datetime64('2026-01-31T10:00:00.000000')
    """
    found = ISO.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no date such as 2026-01-31 or 2026-01-31T12:00:00")
    year, month, day, hour, minute, second, fraction, zone, *basic = found.groups()
    if basic[0]:
        year, month, day = basic
    moment = f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}"
    date = np.datetime64(f"{moment}.{fraction}" if fraction else moment, "ns" if len(fraction or "") > 6 else "us")
    if zone in (None, "Z"):
        return date
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = np.timedelta64(int(digits[:2]) * 60 + int(digits[2:]), "m")
    return date - offset if zone[0] == "+" else date + offset


def _refuse(name: str, signature: str, error: Exception) -> RequestError:
    return RequestError(
        "Invalid input. Data is not compatible with model signature. "
        f"Failed to convert column {name} to type '{DTYPES[signature]}'. Error: '{error!r}'"
    )


def _unify(values: Sequence[Any]) -> Sequence[Any]:
    """Turn whole numbers among fractions or gaps into fractions, as pandas does."""
    kinds = set(map(type, values))
    if kinds <= {int} or not kinds <= {int, float, type(None)} or kinds == {type(None)}:
        return values
    return [np.nan if value is None else float(value) for value in values]


def _cast_text_values(values: Sequence[Any]) -> Array:
    if any(isinstance(value, list | dict) for value in values):
        raise TypeError("a value is a list or a dictionary")
    return to_objects(values)


def _cast_dates(values: Sequence[Any]) -> Array:
    return np.array([_to_date(value) for value in values], "M8[ns]")


def _to_date(value: Any) -> np.datetime64:
    if value is None or value != value:
        return np.datetime64("NaT")
    if isinstance(value, str):
        if value in GAPS or value == "NaT":
            return np.datetime64("NaT")
        if value[-1] == "Z" or "+" in value or value.count("-") > 2:
            raise SchemaError(f"{value[:40]!r} has a zone, and the model's dates have none.")
        return parse_date(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return np.datetime64(int(value), "ns")
    raise TypeError(f"{str(value)[:40]!r} is no date")


def _read_number(text: str | None) -> float:
    if text is not None and "_" in text:
        raise ValueError(f"could not convert string to float: {text[:40]!r}")
    return np.nan if text is None else float(text)


def _read_whole(text: str | None) -> int:
    if text is None or "_" in text:
        raise ValueError("Integer column has NA values" if text is None else f"{text[:40]!r} is no whole number")
    return int(text)


def _read_truth(text: str | None) -> bool:
    if text not in TRUTHS:
        raise ValueError(f"{str(text)[:40]!r} is neither True nor False")
    return TRUTHS[text]


TABLE_CASTS: dict[str, Callable[[Sequence[Any]], Array]] = {
    "double": lambda values: to_objects(values).astype(np.float64),
    "long": lambda values: to_objects(values).astype(np.int64),
    "boolean": lambda values: to_objects(values).astype(np.bool_),
    "string": _cast_text_values,
    "datetime": _cast_dates,
}
TEXT_CASTS: dict[str, Callable[[Sequence[str | None]], Array]] = {
    "double": lambda values: np.array([_read_number(value) for value in values], np.float64),
    "long": lambda values: np.array([_read_whole(value) for value in values], np.int64),
    "boolean": lambda values: np.array([_read_truth(value) for value in values], np.bool_),
    "string": to_objects,
    "datetime": _cast_dates,
}
