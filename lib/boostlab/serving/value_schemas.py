"""JSON Schemas of the values that a column takes: what :mod:`boostlab.models.conversion` reads, as patterns and ranges."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from typing import Any

from boostlab.models.contract import COMPACT_DATE, EPOCH_UNITS, MISSING_MARKERS, Feature
from boostlab.models.dates import COMPACT, SECONDS

Schema = dict[str, Any]
FRACTION = "(\\.[0-9]*)?"
LARGEST = 3.4028234e38  # of float32
DIGIT_DAYS, YEAR = "(0?[1-9]|1[0-9]|2[0-8])", "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
FOURTH = "(0[48]|[2468][048]|[13579][26])"  # the numbers from 1 to 99 that 4 divides
LEAP_YEAR = f"([0-9]{{2}}{FOURTH}|{FOURTH}00)"
DAYS: list[tuple[str, list[int], str, str]] = [  # days, months, and years of four and of two digits that have such a date
    (DIGIT_DAYS, list(range(1, 13)), YEAR, "[0-9]{2}"),
    ("(29|30)", [1, *range(3, 13)], YEAR, "[0-9]{2}"),
    ("31", [1, 3, 5, 7, 8, 10, 12], YEAR, "[0-9]{2}"),
    ("29", [2], LEAP_YEAR, f"(00|{FOURTH})"),
]
HOUR, SIXTY = "([01][0-9]|2[0-3])", "[0-5][0-9]"
TIME = f"([T ]{HOUR}(:?{SIXTY}(:?{SIXTY}(\\.[0-9]{{1,9}})?)?)? ?(Z|[+-]{HOUR}(:?{SIXTY})?)?)?"
TIME_PARTS = {"%H": HOUR, "%M": SIXTY, "%S": SIXTY, "%I": "(0[1-9]|1[0-2])", "%p": "(AM|PM|am|pm)"}


def describe_value(feature: Feature) -> Schema:
    """Return the schema of the values that a feature takes in JSON."""
    return DESCRIBERS[feature.type](feature)


def _describe_number(_feature: Feature) -> Schema:
    plain, digits = f"[0-9]{{1,38}}{FRACTION}|\\.[0-9]+", f"[0-9]{{1,9}}{FRACTION}[eE](-[0-9]+|\\+?[0-9]|\\+?[012][0-9])"
    large = f"[0-9]{FRACTION}[eE]\\+?3[0-7]|[12]{FRACTION}[eE]\\+?38"
    number = {"type": ["number", "boolean", "null"], "minimum": -LARGEST, "maximum": LARGEST}
    return {"anyOf": [number, _match(f"[+-]?({plain}|{digits}|{large})")]}


def _describe_boolean(_feature: Feature) -> Schema:
    words = "[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[01](\\.0*)?"
    return {"anyOf": [{"type": ["boolean", "null"]}, {"enum": [0, 1]}, _match(words)]}


def _describe_category(feature: Feature) -> Schema:
    whole = ["boolean"] if feature.mlflow_type == "double" else []
    known = [{"const": value} for value in (True, False) if not whole and str(value) in feature.categories]
    named = ", ".join(feature.categories[:8]) + (" …" if len(feature.categories) > 8 else "")
    words = f"Known: {named}. Any other value counts as missing."
    return {"anyOf": [{"type": ["string", "number", "null", *whole]}, *known], "description": words}


def _describe_date(feature: Feature) -> Schema:
    form = feature.format
    if form in EPOCH_UNITS:
        unit = int(EPOCH_UNITS[form])
        number = {"type": ["number", "null"], "minimum": SECONDS[0] * unit, "exclusiveMaximum": SECONDS[1] * unit}
        plain = f"[0-9]{{1,{9 + len(str(unit))}}}{FRACTION}|\\.[0-9]+|[0-9]{FRACTION}[eE](-[0-9]+|\\+?0?[0-9])"
        return {"anyOf": [number, _match(f"[+-]?({plain})")], "description": form}
    if form == COMPACT_DATE:
        number = {"type": ["integer", "null"], "minimum": COMPACT[0], "maximum": COMPACT[1]}
        return {"anyOf": [number, _match("|".join(map(_spell_compact, DAYS)))], "description": "a date as YYYYMMDD"}
    forms = [_spell_iso(*day) for day in DAYS] + ([_spell_format(form, *day) for day in DAYS] if form else [])
    return {"anyOf": [{"type": "null"}, _match("|".join([*forms, "NaT"]))]}


def _spell_iso(days: str, months: list[int], years: str, _short: str) -> str:
    """Return a pattern of ISO 8601, with one of three separators or none, and with or without a time."""
    month, two_digits = _spell_months(months), "|".join(f"{month:02}" for month in months)
    spelled = "|".join(f"{mark}{month}{mark}{days}{TIME}" for mark in ("-", "/", "\\."))
    partial = f"|-{month}|" if days == DIGIT_DAYS else ""
    return f"{years}({spelled}|({two_digits}){days.replace('0?', '0')}{partial})"


def _spell_compact(day: tuple[str, list[int], str, str]) -> str:
    days, months, years, _ = day
    return f"{years}({'|'.join(f'{month:02}' for month in months)}){days.replace('0?', '0')}"


def _spell_format(form: str, days: str, months: list[int], years: str, short: str) -> str:
    """Return a pattern of a format of :meth:`datetime.datetime.strptime`."""
    names = {"%b": calendar.month_abbr, "%B": calendar.month_name}
    parts = {"%d": days, "%m": _spell_months(months), "%Y": years, "%y": short} | TIME_PARTS
    parts |= {token: f"({'|'.join(known[month] for month in months)})" for token, known in names.items()}
    return "".join(parts.get(token) or _escape(token) for token in re.findall("%.|[^%]", form))


def _spell_months(months: list[int]) -> str:
    return f"({'|'.join(f'0?{month}' if month < 10 else str(month) for month in months)})"


def _match(pattern: str) -> Schema:
    """Return the schema of a text of a pattern, or of one that means a missing value, with spaces around it."""
    missing = "|".join(_escape(marker) for marker in sorted(MISSING_MARKERS))
    return {"type": "string", "pattern": f"^\\s*({pattern}|{missing})\\s*$"}


def _escape(text: str) -> str:
    return re.sub(r"[.+*?^${}()|\[\]\\/]", r"\\\g<0>", text)


DESCRIBERS: dict[str, Callable[[Feature], Schema]] = {
    "number": _describe_number,
    "boolean": _describe_boolean,
    "category": _describe_category,
    "date": _describe_date,
}
