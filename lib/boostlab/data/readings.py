"""Readings of a CSV column: numbers, truth values, dates or text, found from all its values.

A column starts with every possible reading. Each batch of its text removes those that a value does not fit. What remains at the
end is the reading of the column. Two that remain and give different values are an error, which states both.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import combinations, product
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from boostlab.data.settings import ReadSettings
from boostlab.errors import DataError
from boostlab.models.contract import COMPACT_DATE, EPOCH_UNITS, MISSING_MARKERS, FeatureType

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
LEADING_ZERO = r"^[+-]?0[0-9]"
HEXADECIMAL = r"^0[xX]"  # which Arrow reads as a number
LONGEST_INTEGER = 2.0**63
EPOCH_SPAN_S = (1e8, 7.26e9)
FIRST_TEXTS = 3
DAYS: tuple[str, ...] = (
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d %b %Y",
    "%d %B %Y",
)
DAYS += ("%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d-%b-%Y", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%b-%y")
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M", "T%H:%M:%S")
EITHER_FIRST = ("%d/%m", "%m/", "%d-%m", "%m-")  # the beginnings of formats that day_first decides about


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
            try:
                numbers = values.cast(kind)
            except pa.ArrowInvalid:
                continue
            if _any_matches(values, HEXADECIMAL if self.leading_zeros else f"{LEADING_ZERO}|{HEXADECIMAL}", start="0"):
                return None
            return numbers if kind == pa.int64() else _check_floats(numbers, values)
        return None

    def _types(self) -> list[pa.DataType]:
        return [pa.int64(), pa.float64()] if self.whole else [pa.float64()]

    def _parse_slowly(self, values: pa.Array) -> pa.Array | None:
        coded = _drop_markers(values).dictionary_encode()
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
            try:
                numbers = plain.cast(kind)
            except pa.ArrowInvalid:
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
        coded = _drop_markers(values).dictionary_encode()
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
        coded = _drop_markers(values).dictionary_encode()
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


def list_readings(wanted: FeatureType | None, read: ReadSettings, texts: Iterable[str]) -> list[Reading]:
    """Return the readings that a column may have, in the order of preference; the formats of dates fit the given texts."""
    decimals = [read.decimal] if read.decimal else [".", ","]
    if wanted == "category":
        return [Text()]
    if wanted == "number":
        return [Number(sign, leading_zeros=True) for sign in decimals]
    if wanted == "boolean":
        return [Truth()]
    dated = [day for day in DAYS if read.day_first in (None, day.startswith("%d")) or not day.startswith(EITHER_FIRST)]
    shown = [] if all(map(is_number, texts)) else [day + time for day, time in product(dated, TIMES)]
    formats = [form for form in shown if all(_has_format(text, form) for text in texts)]
    dates = [Date(), Date(zoned=True), *map(Date, formats)]
    if wanted == "date":
        return [*dates, Date(COMPACT_DATE), *map(Epoch, EPOCH_UNITS)]
    numbers = [Number(sign) for sign in decimals]
    return [*numbers, Text()] if not shown else [*numbers, Truth(), *dates, Text()]


@dataclass
class Column:
    """A column while its values are read: the readings that fit all of them so far."""

    name: str
    read: ReadSettings
    wanted: FeatureType | None = None  #: the type that the user or a model states
    readings: list[Reading] = field(default_factory=list)
    fraction: bool = False  #: whether a number is not whole
    markers: set[str] = field(default_factory=set)  #: the texts that mean a missing value if the column is no text
    examples: dict[tuple[Reading, Reading], str] = field(default_factory=dict)  #: a text that two readings read differently

    def add(self, values: pa.Array, path: Path | None = None, row: int = 0) -> None:
        """Keep the readings that fit a batch, which begins at a row of a file.

        Raises
        ------
        DataError
            If a value has not the type that is wanted.
        """
        if not self.readings:
            known = _drop_markers(values).drop_null()
            if not len(known):
                return
            self.readings = list_readings(self.wanted, self.read, known[:FIRST_TEXTS].to_pylist())
        if self.is_text:
            return
        results = [(reading, reading.parse(values)) for reading in self.readings]
        parsed = {reading: result for reading, result in results if result is not None}
        if not parsed:
            raise DataError(self._describe_misfit(values, path, row))
        typed = {reading: result for reading, result in parsed.items() if not isinstance(reading, Text | Epoch)}
        for pair in combinations(typed, 2):
            if pair not in self.examples and not _equal(typed[pair[0]], typed[pair[1]]):
                self.examples[pair] = _find_example(values, typed[pair[0]], typed[pair[1]])
        if typed:
            self._note_markers(values, next(iter(typed.values())))
        self.fraction |= any(pa.types.is_floating(result.type) for result in typed.values())
        self.readings = [self._settle(reading) for reading in parsed]

    def _note_markers(self, values: pa.Array, parsed: pa.Array) -> None:
        if parsed.null_count > values.null_count:
            self.markers.update(values.filter(pc.and_(pc.is_null(parsed), pc.is_valid(values))).unique().to_pylist())

    def _settle(self, reading: Reading) -> Reading:
        """Return the reading without a search for whole numbers once a fraction was seen."""
        return replace(reading, whole=False) if isinstance(reading, Number) and self.fraction and reading.whole else reading

    @property
    def is_text(self) -> bool:
        """Whether text is the only reading left."""
        return all(isinstance(reading, Text) for reading in self.readings)

    def certain_numbers(self) -> list[Number]:
        """Return the only reading of numbers with a decimal sign, if there is only one."""
        numbers = [reading for reading in self.readings if isinstance(reading, Number)]
        return numbers if len(numbers) == 1 and self.fraction else []

    def choose(self, *, decimal: str = "", date_format: str = "", strict: bool = True) -> Reading:
        """Return the reading of the column.

        Parameters
        ----------
        decimal : str
            The decimal sign of the other columns, if they have one.
        date_format : str
            The format of dates that wins where two fit.
        strict : bool
            Whether two readings are an error; otherwise the column is text.

        Raises
        ------
        DataError
            If two readings give different values, and nothing tells which one is meant.
        """
        if not self.readings:  # no value at all
            return list_readings(self.wanted, self.read, [])[0] if self.wanted else Text()
        differing = [pair for pair in self.examples if set(pair) <= set(self.readings)]
        if not differing:
            return self.readings[0]
        for reading in self.readings:
            if isinstance(reading, Number) and reading.decimal == decimal:
                return reading
            if isinstance(reading, Date) and reading.format == date_format != "":
                return reading
        if not strict:
            return Text()
        raise DataError(self._describe_pair(differing[0]))

    def _describe_pair(self, pair: tuple[Reading, Reading]) -> str:
        """Return a message on a text that two readings read differently."""
        text = self.examples[pair]
        one, other = (reading.parse(pa.array([text])) for reading in pair)
        setting = "decimal: '.'} or {decimal: ','" if isinstance(pair[0], Number) else "day_first: true} or {day_first: false"
        return (
            f"The column {self.name!r} has two readings: {text!r} is {one[0] if one else text} or {other[0] if other else text}. "
            f"State which one is meant in read: {{{setting}}}."
        )

    def _describe_misfit(self, values: pa.Array, path: Path | None, row: int) -> str:
        """Return a message with the first value that does not fit."""
        alone = (values[position : position + 1] for position in range(len(values)))
        position = next((number for number, one in enumerate(alone) if all(item.parse(one) is None for item in self.readings)), 0)
        return (
            f"The column {self.name!r} is not of the type {self.wanted}: {values[position].as_py()!r} in row {row + position + 1}"
            f"{f' of {path}' if path else ''}. "
            "Correct the value, name it in missing of read, or set another type."
        )


def _equal(one: pa.Array, other: pa.Array) -> bool:
    if one.type != other.type:
        one, other = one.cast(pa.float64(), safe=False), other.cast(pa.float64(), safe=False)
    return bool(one.equals(other))


def _find_example(values: pa.Array, one: pa.Array, other: pa.Array) -> str:
    pairs = zip(values.to_pylist(), one.to_pylist(), other.to_pylist(), strict=True)
    return str(next(text for text, left, right in pairs if left != right))


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


def _drop_markers(values: pa.Array) -> pa.Array:
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


def _has_format(text: str, form: str) -> bool:
    try:
        datetime.strptime(text.strip(), form)  # times of a table have no zone
        return True
    except ValueError:
        return False
