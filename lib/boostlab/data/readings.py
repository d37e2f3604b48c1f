"""Readings of a CSV column: numbers, truth values, dates or text. Each parses a batch of text, or says that it does not fit."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from boostlab.data.files import LEADING_ZERO
from boostlab.models.contract import EPOCH_UNITS, MISSING_MARKERS, FeatureType

# The texts that mean a missing value among numbers and dates. In a column of text, only an empty field is missing.
MARKERS = (
    *MISSING_MARKERS,
    "-",
    "--",
    "?",
    ".",
    "na",
    "NAN",
    "Null",
    "none",
    "NaT",
    "\\N",
    "#DIV/0!",
    "#VALUE!",
    "#REF!",
    "#NUM!",
)
GROUPS = {".": "[,' \u00a0\u202f\u2019]", ",": "[.' \u00a0\u202f\u2019]"}  # the thousands separators beside each decimal sign
NUMBERS = {sign: rf"^[+-]?(\d+|\d{{1,3}}({group}\d{{3}})+)?([{sign}]\d*)?([eE][+-]?\d+)?$" for sign, group in GROUPS.items()}
HEXADECIMAL = r"^0[xX]"  # which Arrow reads as a number
LONGEST_INTEGER = 2.0**63
FIRST_VALUES = 100  # of a batch: they tell nearly always whether a reading fits
EPOCH_SPAN_S = (1e8, 7.26e9)


class Reading(ABC):
    """One way to read a column."""

    type: FeatureType
    format: str = ""  #: of dates that are not in ISO 8601

    @abstractmethod
    def parse(self, values: pa.Array) -> pa.Array | None:
        """Return the values of a batch of text, null where one is missing, or None if one does not fit."""


@dataclass(frozen=True)
class Number(Reading):
    """Numbers with a decimal sign, and perhaps thousands separators."""

    decimal: str = "."
    leading_zeros: bool = False  #: whether 0123 is a number too
    whole: bool = field(default=True, compare=False)  #: whether the numbers may be whole; they become int64, others float64
    type: FeatureType = "number"

    def parse(self, values: pa.Array) -> pa.Array | None:
        """See the base class."""
        parsed = self._cast(values)
        return self._parse_slowly(values) if parsed is None else parsed

    def _cast(self, values: pa.Array) -> pa.Array | None:
        for kind in self._types():
            if kind == pa.float64() and self.decimal != ".":
                continue
            numbers = _try_cast(values, kind)
            if numbers is None:
                continue
            if _any_matches(values, HEXADECIMAL if self.leading_zeros else f"{LEADING_ZERO}|{HEXADECIMAL}", start="0"):
                return None
            return numbers if kind == pa.int64() else _check_floats(numbers, values)
        return None

    def _types(self) -> list[pa.DataType]:
        return [pa.int64(), pa.float64()] if self.whole else [pa.float64()]

    def _parse_slowly(self, values: pa.Array) -> pa.Array | None:
        coded = drop_markers(values).dictionary_encode()
        texts = coded.dictionary
        matches = pc.match_substring_regex(texts, NUMBERS[self.decimal])
        digits = pc.match_substring_regex(texts, r"\d")
        zeros = not self.leading_zeros and _any_matches(texts, LEADING_ZERO, start="")
        if zeros or not pc.all(pc.and_(matches, digits), min_count=0).as_py():
            return None
        plain = pc.replace_substring_regex(texts, GROUPS[self.decimal], "")
        plain = pc.replace_substring(plain, self.decimal, ".") if self.decimal != "." else plain
        plain = pc.replace_substring_regex(plain, r"^\+", "")
        for kind in self._types():
            numbers = _try_cast(plain, kind)
            if numbers is None:
                continue
            checked = numbers if kind == pa.int64() else _check_floats(numbers, plain)
            return None if checked is None else checked.take(coded.indices)
        return None


@dataclass(frozen=True)
class Truth(Reading):
    """The words true and false, in any case."""

    type: FeatureType = "boolean"

    def parse(self, values: pa.Array) -> pa.Array | None:
        """See the base class."""
        coded = drop_markers(values).dictionary_encode()
        words = pc.utf8_lower(coded.dictionary)
        if not pc.all(pc.is_in(words, pa.array(["true", "false"])), min_count=0).as_py():
            return None
        return pc.equal(words, "true").take(coded.indices)


@dataclass(frozen=True)
class Date(Reading):
    """Dates and times of one format; an empty one is ISO 8601."""

    format: str = ""
    zoned: bool = False
    type: FeatureType = "date"

    def parse(self, values: pa.Array) -> pa.Array | None:
        """See the base class. The result has microseconds, and the zone UTC if the text has zones."""
        coded = drop_markers(values).dictionary_encode()
        dates = self._parse_texts(coded.dictionary)
        return None if dates is None else dates.take(coded.indices)

    def _parse_texts(self, texts: pa.Array) -> pa.Array | None:
        try:
            if not self.format:
                zone = "UTC" if self.zoned else None
                try:
                    return texts.cast(pa.timestamp("us", zone))
                except pa.ArrowInvalid:
                    return texts.cast(pa.timestamp("ns", zone)).cast(pa.timestamp("us", zone), safe=False)
            if not len(texts):
                return pa.array([], pa.timestamp("us"))
            parsed = pd.to_datetime(pd.Series(texts.to_pylist(), dtype=object), format=self.format)
            return pa.array(parsed.astype("datetime64[us]"), pa.timestamp("us"))
        except (pa.ArrowInvalid, ValueError, OverflowError):
            return None


@dataclass(frozen=True)
class Epoch(Reading):
    """Numbers that count seconds, milliseconds … since 1970; the years 1973 to 2200, so that no number fits two units."""

    format: str
    type: FeatureType = "date"

    def parse(self, values: pa.Array) -> pa.Array | None:
        """See the base class."""
        numbers = Number().parse(values)
        if numbers is None:
            return None
        seconds = pc.divide(numbers.cast(pa.float64(), safe=False), EPOCH_UNITS[self.format])
        span = pc.min_max(seconds).as_py()
        if span["min"] is not None and not (EPOCH_SPAN_S[0] <= span["min"] and span["max"] < EPOCH_SPAN_S[1]):
            return None
        return pc.round(pc.multiply(seconds, 1e6)).cast(pa.int64()).cast(pa.timestamp("us"))


@dataclass(frozen=True)
class Text(Reading):
    """Text as it is; only an empty field is missing."""

    type: FeatureType = "category"

    def parse(self, values: pa.Array) -> pa.Array | None:
        """See the base class."""
        return pc.if_else(pc.equal(values, ""), None, values)


def _try_cast(texts: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """Return texts as numbers, or None. Arrow makes an error for each wrong value, so a few values are tried first."""
    try:
        texts[:FIRST_VALUES].cast(kind)
        return texts.cast(kind)
    except pa.ArrowInvalid:
        return None


def _check_floats(numbers: pa.Array, texts: pa.Array) -> pa.Array | None:
    """Return numbers with null for NaN, or None if a whole number is too long for one: it is a code."""
    span = pc.min_max(numbers).as_py()
    if (
        span["max"] is not None
        and max(abs(span["min"]), abs(span["max"])) >= LONGEST_INTEGER
        and _any_matches(texts, r"^[+-]?\d{19,}$")
    ):
        return None
    missing = pc.is_nan(numbers)
    return pc.if_else(missing, None, numbers) if pc.any(missing).as_py() else numbers


def drop_markers(values: pa.Array) -> pa.Array:
    """Return text without spaces around it, null where it means a missing value."""
    trimmed = pc.utf8_trim_whitespace(values)
    return pc.if_else(pc.is_in(trimmed, pa.array(MARKERS)), None, trimmed)


def _any_matches(values: pa.Array, pattern: str, *, start: str = "") -> bool:
    """Tell whether a value matches a regular expression; `start` excludes most values faster."""
    some = values.filter(pc.starts_with(values, start)) if start else values
    return bool(len(some) and pc.any(pc.match_substring_regex(some, pattern)).as_py())


def is_number(text: str) -> bool:
    """Tell whether a text reads as a number other than NaN."""
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False
