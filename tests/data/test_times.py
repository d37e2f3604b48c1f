"""Times of rows: dates and numbers, and gaps between them."""

from __future__ import annotations

import datetime

import pandas as pd
import pytest

from boostlab.data.times import check_times, parse_gap
from boostlab.errors import DataError

TIMES = pd.Series(pd.date_range("2022-11-29 08:05", periods=60, freq="37h"), name="sold")


@pytest.mark.parametrize("values", [TIMES, TIMES.dt.tz_localize("Europe/Lisbon"), pd.Series([3, 1, 2]), pd.Series([0.5, -1])])
def test_keeps_dates_and_numbers(values: pd.Series) -> None:
    assert check_times(values) is values


def test_takes_days_until_the_end_of_time() -> None:
    assert check_times(pd.Series([datetime.date(2023, 1, 2), datetime.date(9999, 12, 31)])).dt.year.tolist() == [2023, 9999]


@pytest.mark.parametrize("values", [["early", "late"], [True, False], [datetime.time(1), datetime.time(2)]])
def test_refuses_what_is_no_time(values: list[object]) -> None:
    with pytest.raises(DataError, match=r"The time column 'sold' holds \w+ values\. A split by time takes dates or numbers\."):
        check_times(pd.Series(values, name="sold"))


def test_a_gap_is_a_duration_for_dates_and_a_number_for_numbers() -> None:
    assert parse_gap("12h", TIMES) == pd.Timedelta(hours=12)
    assert parse_gap("2.5", pd.Series([1, 2])) == 2.5
    with pytest.raises(DataError, match=r"time_gap = '7' has no unit, but the times 'sold' are dates. Give a unit, as '7 days'"):
        parse_gap("7", TIMES)
    with pytest.raises(DataError, match="time_gap = '7 days' is a duration, but the times 'n' are numbers"):
        parse_gap("7 days", pd.Series([1, 2], name="n"))
