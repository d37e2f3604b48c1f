"""The conversion of plain values to dates, and of dates to the parts that a booster takes (see ``conversion.py``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime
from functools import partial
from typing import Any

import numpy as np

from .contract import COMPACT_DATE, EPOCH_UNITS, MISSING_MARKERS, NUMERIC_DATES, Feature
from .conversion import Array, ConversionError, Values, convert_each, drop_missing, is_missing, read_number

SECONDS = (-62_135_596_800, 253_402_300_800)  # of the years 1 to 9999, since 1970
COMPACT = (10101, 99_991_231)  # the first and the last day of these years
Moment = Any  # a datetime64, or what numpy takes for one
NAT = np.datetime64("NaT", "us")
ISO = re.compile(
    r"(\d{4})(?:([-/.])(\d\d?)(?:\2(\d\d?)"
    r"(?:[T ](\d\d|\d(?=:))(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,9}))?)?)?\s?(Z|[+-]\d\d(?::?\d\d)?)?)?)?)?"
    r"|(\d{4})(\d\d)(\d\d)",
    re.ASCII,
)
USUAL = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,6})?)?", re.ASCII)  # which Python parses in a tenth of the time
EPOCH = np.datetime64("1970-01-01")
DATE_PARTS = {  # of an array of datetime64
    "year": lambda dates: dates.astype("M8[Y]").astype(np.int64) + 1970,
    "month": lambda dates: dates.astype("M8[M]").astype(np.int64) % 12 + 1,
    "day": lambda dates: (dates.astype("M8[D]") - dates.astype("M8[M]")).astype(np.int64) + 1,
    "weekday": lambda dates: (dates.astype("M8[D]").astype(np.int64) + 3) % 7,  # Monday is 0
    "hour": lambda dates: (dates - dates.astype("M8[D]")).astype("m8[h]").astype(np.int64),
    "minute": lambda dates: (dates - dates.astype("M8[h]")).astype("m8[m]").astype(np.int64),
    "second": lambda dates: (dates - dates.astype("M8[m]")).astype("m8[ms]").astype(np.int64) / 1000,
    "days": lambda dates: (dates - EPOCH) / np.timedelta64(1, "D"),  # since 1970
}


def to_dates(values: Values, feature: Feature) -> Array:
    """Return dates and times as datetime64[us], shape (n_rows,); a missing value is NaT.

    Text has the feature's format or ISO 8601. Times with a zone become UTC. A feature whose dates are numbers takes numbers.

    Raises
    ------
    ConversionError
        If a value is no date of the years 1 to 9999.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return values.astype("M8[us]")
    form, name = feature.format, feature.name
    if form not in NUMERIC_DATES or isinstance(next((value for value in values if not is_missing(value)), None), date):
        own = f", or in the format {form}" if form else ""
        wanted = f"dates such as 2026-01-31 or 2026-01-31T12:00:00{own}"
        return convert_each(values, partial(_read_date, form=form), name, wanted=wanted, dtype="M8[us]")
    wanted = f"dates as numbers ({form})"
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        numbers = values.astype(np.float64)
    else:
        numbers = convert_each(values, _read_timestamp, name, wanted=wanted)
    return _to_moments(drop_missing(numbers, feature), form, name, wanted=wanted)


def _read_timestamp(value: Any) -> float:
    if isinstance(value, bool | np.bool_):
        raise TypeError(value)
    return read_number(value)


def _to_moments(numbers: Array, form: str, name: str, *, wanted: str) -> Array:
    """Return numbers that stand for dates, in one of the formats NUMERIC_DATES, as datetime64[us]."""
    if form == COMPACT_DATE:
        return convert_each(numbers, _read_compact, name, wanted=wanted, dtype="M8[us]")
    known = ~np.isnan(numbers)
    seconds = np.where(known, numbers, 0) / EPOCH_UNITS[form]
    outside = (seconds < SECONDS[0]) | (seconds >= SECONDS[1])
    if outside.any():
        row = int(outside.argmax())
        raise ConversionError(name, row, f"{wanted}, in the years 1 to 9999", numbers[row])
    return np.where(known, np.round(seconds * 1e6).astype(np.int64).astype("M8[us]"), NAT)


def _read_compact(number: float) -> Moment:
    if number != number:
        return NAT
    if not COMPACT[0] <= number <= COMPACT[1] or number != int(number):
        raise ValueError(number)
    text = f"{int(number):08d}"
    return np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:]}", "us")


def _read_date(value: Any, form: str) -> Moment:
    if value is None or value != value:
        return NAT
    if isinstance(value, np.datetime64):
        return value.astype("M8[us]")
    if isinstance(value, date):
        return parse_date(value.isoformat())
    if not isinstance(value, str):
        raise TypeError(value)
    text = value.strip()
    if not form and USUAL.fullmatch(text):
        return datetime.fromisoformat(text)
    if text in MISSING_MARKERS or text == "NaT":
        return NAT
    if form:
        with suppress(ValueError):
            return np.datetime64(datetime.strptime(text, form), "us")
    return parse_date(text)


def parse_date(text: str) -> Moment:
    """Parse an ISO 8601 date or time to the microsecond; a time with a zone is converted to UTC.

    Examples
    --------
    >>> parse_date("2026-01-31T12:00+02:00")
    np.datetime64('2026-01-31T10:00:00.000000')
    """
    found = ISO.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a date such as 2026-01-31 or 2026-01-31T12:00:00")
    year, _, month, day, hour, minute, second, fraction, zone, *basic = found.groups()
    if basic[0]:
        year, month, day = basic
    if year == "0000":
        raise ValueError("the year 0 is out of range")
    time = f"{int(hour or 0):02}:{int(minute or 0):02}:{int(second or 0):02}.{(fraction or '0')[:6]}"
    moment = np.datetime64(f"{year}-{int(month or 1):02}-{int(day or 1):02}T{time}", "us")
    if zone in (None, "Z"):
        return moment
    hours, minutes = int(zone[1:3]), int(zone[3:].strip(":") or 0)
    if hours > 23 or minutes > 59:
        raise ValueError(f"the zone {zone} is out of range")
    offset = np.timedelta64(hours * 60 + minutes, "m")
    return moment - offset if zone[0] == "+" else moment + offset


def split_dates(dates: Array, parts: Sequence[str]) -> Array:
    """Return the named parts of dates (datetime64, shape (n_rows,)), shape (n_rows, n_parts)."""
    exact = dates.astype("M8[us]")
    columns = np.column_stack([np.asarray(DATE_PARTS[part](exact), np.float64) for part in parts])
    columns[np.isnat(exact)] = np.nan
    return columns.astype(np.float32)
