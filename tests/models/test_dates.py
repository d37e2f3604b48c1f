"""Dates are read as pandas reads them; each is exact or refused."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, given, settings, strategies as st

from boostlab.models.dates import parse_date

TIMES = st.datetimes(pd.Timestamp("1000-01-02"), pd.Timestamp("9999-12-30"))
FORMATS = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%dT%H%M",
    "%Y%m%d",
    "%Y-%m",
    "%Y",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H",
]


@settings(deadline=None)
@given(
    timestamp=TIMES,
    form=st.sampled_from(FORMATS),
    zone=st.sampled_from(["", "Z", "+02:00", "-0530", "+01"]),
    digits=st.sampled_from(["", "123"]),
)
def test_reads_dates_as_pandas_does(timestamp: Any, form: str, zone: str, digits: str) -> None:
    text = timestamp.strftime(form) + (digits if form.endswith("%f") else "") + (zone if "%H:" in form else "")
    assume(not form.endswith("%f") or not digits or 1700 < timestamp.year < 2200)  # pandas holds nanoseconds of these years

    assert parse_date(text) == pd.to_datetime([text], format="ISO8601", utc=True).tz_localize(None).to_numpy()[0].astype("M8[us]")


@pytest.mark.parametrize(
    "text", ["", "5", "01/02/2020", "tomorrow", "2020-1/1", "２０２０-01-01", "2020-01-01T1200Y", "10000-01-01"]
)
def test_refuses_text_that_is_not_a_date(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date such as 2026-01-31"):
        parse_date(text)


@pytest.mark.parametrize("text", ["2020-13-01", "2020-02-30", "2020-01-01T25:00", "0000-01-01", "2020-01-01T12+24:00"])
def test_refuses_a_date_that_does_not_exist(text: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        parse_date(text)
