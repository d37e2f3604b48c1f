"""The search for the reading of a CSV column, among all that :mod:`boostlab.data.readings` knows.

A column starts with every possible reading. Each batch of its text removes those that a value does not fit. What remains at the
end is the reading of the column. Two that remain and give different values are an error, which states both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import combinations, product

import pyarrow as pa
import pyarrow.compute as pc

from boostlab.data.readings import FIRST_VALUES, Date, Epoch, Number, Reading, Text, Truth, drop_markers, is_number
from boostlab.data.settings import ReadSettings
from boostlab.errors import DataError
from boostlab.models.contract import COMPACT_DATE, EPOCH_UNITS, FeatureType

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


FIRST_TEXTS = 3


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
    clash: str = ""  #: where numbers have a decimal sign that the numbers before do not have, in words

    def add(self, values: pa.Array, file: object = None, row: int = 0) -> None:
        """Keep the readings that fit a batch, which begins at a row of a file.

        Raises
        ------
        DataError
            If a value has not the type that is wanted.
        """
        if not self.readings:
            known = drop_markers(values).drop_null()
            if not len(known):
                return
            self.readings = list_readings(self.wanted, self.read, known[:FIRST_TEXTS].to_pylist())
        if self.is_text:
            self.clash = self.clash if self._find_sign(values) else ""
            return
        likely = [reading for reading in self.readings if reading.parse(values[:FIRST_VALUES]) is not None]
        results = [(reading, reading.parse(values)) for reading in likely]
        parsed = {reading: result for reading, result in results if result is not None}
        if not parsed:
            raise DataError(self._describe_misfit(values, file, row))
        if len(parsed) < len(self.readings) and all(isinstance(reading, Text) for reading in parsed):
            self._note_clash(values, file)
        typed = {reading: result for reading, result in parsed.items() if not isinstance(reading, Text | Epoch)}
        for pair in combinations(typed, 2):
            if pair not in self.examples and not _equal(typed[pair[0]], typed[pair[1]]):
                self.examples[pair] = _find_example(values, typed[pair[0]], typed[pair[1]])
        if typed:
            self._note_markers(values, next(iter(typed.values())))
        self.fraction |= any(pa.types.is_floating(result.type) for result in typed.values())
        self.readings = [self._settle(reading) for reading in parsed]

    def _note_clash(self, values: pa.Array, file: object) -> None:
        """Note a batch of numbers that has not the decimal sign of the batches before."""
        numbers = [reading for reading in self.readings if isinstance(reading, Number)]
        if numbers and self._find_sign(values):
            texts = (text for text in values.to_pylist() if text)
            example = next(text for text in texts if numbers[0].parse(pa.array([text])) is None)
            self.clash = f"{example!r}{f' in {file}' if file else ''}"

    def _find_sign(self, values: pa.Array) -> str:
        """Return the decimal sign by which all values are numbers, if there is one."""
        signs = [self.read.decimal] if self.read.decimal else [".", ","]
        return next((sign for sign in signs if Number(sign).parse(values) is not None), "")

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
            If two readings give different values, and nothing tells which one is meant; or if the numbers have two decimal signs.
        """
        if strict and self.clash:
            choice = "" if self.wanted else f", or state that they are texts: column_types: {{{self.name}: category}}"
            raise DataError(
                f"The numbers of the column {self.name!r} have two decimal signs: {self.clash} has not the sign of the numbers "
                f"before. Write one sign{choice}."
            )
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

    def _describe_misfit(self, values: pa.Array, file: object, row: int) -> str:
        """Return a message with the first value that does not fit."""
        alone = (values[position : position + 1] for position in range(len(values)))
        position = next((number for number, one in enumerate(alone) if all(item.parse(one) is None for item in self.readings)), 0)
        return (
            f"The column {self.name!r} is not of the type {self.wanted}: {values[position].as_py()!r} in row {row + position + 1}"
            f"{f' of {file}' if file else ''}. "
            "Correct the value, name it in missing of read, or set another type."
        )


def _equal(one: pa.Array, other: pa.Array) -> bool:
    if one.type != other.type:
        one, other = one.cast(pa.float64(), safe=False), other.cast(pa.float64(), safe=False)
    return bool(one.equals(other))


def _find_example(values: pa.Array, one: pa.Array, other: pa.Array) -> str:
    pairs = zip(values.to_pylist(), one.to_pylist(), other.to_pylist(), strict=True)
    return str(next(text for text, left, right in pairs if left != right))


def _has_format(text: str, form: str) -> bool:
    try:
        datetime.strptime(text.strip(), form)  # times of a table have no zone
        return True
    except ValueError:
        return False
