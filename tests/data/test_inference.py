"""Readings of CSV columns: what all values of a column say, over several batches, with one error where two readings differ."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from boostlab.data.inference import Column
from boostlab.data.readings import Reading
from boostlab.data.settings import ReadSettings
from boostlab.errors import DataError
from boostlab.models.contract import FeatureType


def parse(reading: Reading, values: pa.Array) -> list[Any]:
    parsed = reading.parse(values)
    assert parsed is not None
    return list(parsed.to_pylist())


def read(*batches: list[str | None], wanted: FeatureType | None = None, decimal: str = ".", **settings: Any) -> list[Any]:
    column = Column("c", ReadSettings(**settings), wanted=wanted)
    arrays = [pa.array(values, pa.string()) for values in batches]
    for values in arrays:
        column.add(values)
    reading = column.choose(decimal=decimal)
    return [value for values in arrays for value in parse(reading, values)]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "-2"], [1, -2]),
        (["1", "2.5", "1e3", ".5"], [1, 2.5, 1000, 0.5]),
        (["1,5", "-2,25"], [1.5, -2.25]),
        (["1.234,5", "12", "1.234.567"], [1234.5, 12, 1234567]),
        (["1,234.5", "1,234,567"], [1234.5, 1234567]),
        (["1 234,5", "2\u00a0345"], [1234.5, 2345]),
        (["1'234.5", "+7"], [1234.5, 7]),
        ([" 1.5", "2 "], [1.5, 2]),
        (["1.5", " ", "?", "-", "NA", "null", "nan", "#N/A", None, ""], [1.5, *[None] * 9]),
        (["True", "FALSE", "true"], [True, False, True]),
        (["Yes", "No"], ["Yes", "No"]),
        (["01234", "80331"], ["01234", "80331"]),
        (["0x10", "7"], ["0x10", "7"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["NA", "EU", "None"], ["NA", "EU", "None"]),
        (["NA", "NA"], ["NA", "NA"]),
        (["12345678901234567890123", "1"], ["12345678901234567890123", "1"]),
        (["9007199254740993"], [9007199254740993]),
        (["1.2.3", "4"], ["1.2.3", "4"]),
        (["12,34,5", "1"], ["12,34,5", "1"]),
    ],
)
def test_numbers_truth_values_and_text(texts: list[str | None], values: list[Any]) -> None:
    assert read(texts) == values


@pytest.mark.parametrize(
    "form",
    [
        *("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%b %d, %Y", "%d %B %Y", "%Y/%m/%d", "%d/%m/%y", "%d-%b-%Y"),
        *("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p"),
    ],
)
def test_dates_of_one_format(form: str) -> None:
    dates = [datetime(2024, 2, 29), datetime(2023, 12, 31), datetime(1999, 1, 5)]
    assert read([date.strftime(form) for date in dates], ["NA", " "]) == [*dates, None, None]


def test_unpadded_dates_and_the_end_of_time() -> None:
    assert read(["1/13/2023", "12/1/2023"]) == [datetime(2023, 1, 13), datetime(2023, 12, 1)]
    assert read(["2023-1-5", "2023-11-25"]) == [datetime(2023, 1, 5), datetime(2023, 11, 25)]
    assert read(["9999-12-31", "2020-01-01"])[0] == datetime(9999, 12, 31)
    assert [value.isoformat() for value in read(["2020-01-01T10:00:00+02:00"])] == ["2020-01-01T08:00:00+00:00"]
    assert read(["30/02/2023", "13/01/2023"]) == ["30/02/2023", "13/01/2023"]  # no date


def test_a_later_batch_decides_about_the_whole_column() -> None:
    assert read(["1", "2"], ["x7"]) == ["1", "2", "x7"]
    assert read(["1", "2"], ["007"]) == ["1", "2", "007"]
    assert read(["1", "2"], ["3,5"]) == [1, 2, 3.5]
    assert read(["01/02/2023"], ["31/12/2023"])[0] == datetime(2023, 2, 1)
    assert read([None, ""], ["5"]) == [None, None, 5]


def test_two_readings_are_an_error_with_both() -> None:
    with pytest.raises(
        DataError, match=r"'c' has two readings: '1,234' is 1234 or 1.234. .* \{decimal: '.'\} or \{decimal: ','\}"
    ):
        read(["1", "1,234"], decimal="")
    with pytest.raises(DataError, match=r"'01/02/2023' is 2023-02-01 00:00:00 or 2023-01-02 00:00:00. .*day_first: true"):
        read(["01/02/2023", "03/04/2023"])


def test_a_stated_form_decides_between_two_readings() -> None:
    column = Column("c", ReadSettings(decimal=","))
    column.add(pa.array(["1,234"]))
    assert parse(column.choose(), pa.array(["1,234"])) == [1.234]
    assert read(["01/02/2023"], day_first=False) == [datetime(2023, 1, 2)]
    assert read(["01/02/2023"], day_first=True) == [datetime(2023, 2, 1)]
    assert read(["31-Dec-2022", "01-Feb-2023"], day_first=False)[0] == datetime(2022, 12, 31)
    assert read(["05/05/2023"]) == [datetime(2023, 5, 5)]  # equal by both


@pytest.mark.parametrize(
    ("wanted", "texts", "values"),
    [
        ("category", ["1", "02"], ["1", "02"]),
        ("number", ["007", "?"], [7, None]),
        ("number", ["NA", "?", ""], [None, None, None]),
        ("boolean", ["NA"], [None]),
        ("date", ["NA"], [None]),
        ("date", ["20240229"], [datetime(2024, 2, 29)]),
        ("date", ["1700000000", "1700000060"], [datetime(2023, 11, 14, 22, 13, 20), datetime(2023, 11, 14, 22, 14, 20)]),
        ("date", ["1700000000123"], [datetime(2023, 11, 14, 22, 13, 20, 123000)]),
    ],
)
def test_a_stated_type_wins(wanted: FeatureType, texts: list[str | None], values: list[Any]) -> None:
    assert read(texts, wanted=wanted) == values


def test_a_value_without_the_stated_type_is_named() -> None:
    for wrong in ("three", "0x10", "-0x10", "1_000"):
        with pytest.raises(DataError, match=rf"'c' is not of the type number: '{wrong}' in row 3"):
            read(["1", "2", wrong], wanted="number")
