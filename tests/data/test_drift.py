"""Drift of each column: found where there is some, and not elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from boostlab.data.drift import Drift, judge, measure_drift, stability_index
from boostlab.models.contract import Feature

FEATURES = [
    Feature("number", "number", "double"),
    Feature("optional", "number", "double", optional=True),
    Feature("category", "category", "string", categories=("x", "y")),
    Feature("date", "date", "datetime", parts=("days",)),
    Feature("boolean", "boolean", "boolean"),
]
ROWS = 4000


def make_rows(shift: float, missing: float, unseen: float, *, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "number": draw.normal(shift, 1, ROWS),
            "optional": np.where(draw.random(ROWS) < missing, np.nan, draw.normal(size=ROWS)),
            "category": np.where(draw.random(ROWS) < unseen, "z", draw.choice(["x", "y"], ROWS)),
            "date": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 300, ROWS), unit="D"),
            "boolean": draw.random(ROWS) < 0.5,
        }
    )


@pytest.fixture(scope="module")
def table() -> Any:
    """Return the drift of rows that were added in chunks."""
    drift = Drift(FEATURES, make_rows(0, 0.1, 0, seed=0))
    new = make_rows(1.0, 0.6, 0.3, seed=1)
    for start in range(0, ROWS, 1000):
        drift.add(drift.count(new.iloc[start : start + 1000]))
    return drift.tabulate()


def test_finds_the_columns_that_drifted_and_no_other(table: Any) -> None:
    changed = dict.fromkeys(["number", "optional", "category"], "drifted")

    assert table["verdict"].to_dict() == changed | dict.fromkeys(["date", "boolean"], "as before")
    assert table["drift"].is_monotonic_decreasing


def test_reports_unseen_categories_and_missing_values(table: Any) -> None:
    share, _, names = table.loc["category", "unseen"].partition("% ")

    assert names == "(z)" and 25 < float(share) < 35
    assert [round(float(table.loc["optional", f"missing {when}"][:-1]), -1) for when in ("before", "now")] == [10, 60]


def test_an_optional_column_that_is_left_out_counts_as_missing() -> None:
    reference = make_rows(0, 0.1, 0, seed=0)
    drift = Drift(FEATURES, reference)
    drift.add(drift.count(reference.drop(columns="optional")))

    assert drift.tabulate().loc["optional", "missing now"] == "100.0%"


def judge_file(old: dict[str, Any], new: dict[str, Any], features: list[Feature] | None = None) -> dict[str, str]:
    """Return the verdict on each column of a file."""
    drift = Drift(features or [Feature(name, "number", "double") for name in old], pd.DataFrame(old))
    drift.add(drift.count(pd.DataFrame(new)))
    return dict(drift.tabulate()["verdict"])


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_sees_a_rare_flag_that_becomes_frequent(share: float) -> None:
    draw = np.random.default_rng(2)
    old, new = draw.random(400) < 0.05, draw.random(400) < share
    flags = [Feature("flag", "boolean", "boolean"), Feature("number", "number", "double"), Feature("date", "date", "datetime")]
    before, after = (
        {"flag": flag, "number": flag * 1.0, "date": pd.Timestamp("2026-01-01") + pd.to_timedelta(flag * 1.0, "D")}
        for flag in (old, new)
    )

    assert judge_file(before, after, flags) == dict.fromkeys(before, "drifted")


def test_sees_that_mostly_zero_numbers_are_no_longer_zero() -> None:
    draw = np.random.default_rng(3)
    old, new = ({"rain": np.where(draw.random(400) < share, draw.exponential(size=400), 0)} for share in (0.05, 0.5))

    assert judge_file(old, new) == {"rain": "drifted"}
    assert judge_file(old, old) == {"rain": "as before"}


def test_sees_a_value_between_the_few_values_of_before() -> None:
    assert judge_file({"rooms": [1.0, 2.0] * 50}, {"rooms": [1.5] * 50}) == {"rooms": "drifted"}


def test_small_files_raise_no_alarm() -> None:
    draw = np.random.default_rng(4)
    alarms = 0
    for _ in range(40):
        old, new = ({f"c{number}": draw.standard_normal(rows) for number in range(10)} for rows in (88, 10))
        alarms += set(judge_file(old, new).values()) != {"as before"}

    assert alarms <= 6  # 2 are expected; of 5 %, more than 6 of 40 have a probability of 0.3 %


def test_sees_drift_in_one_of_a_hundred_columns_of_a_small_file() -> None:
    draw = np.random.default_rng(5)
    old, new = ({f"c{number}": draw.standard_normal(rows) for number in range(100)} for rows in (200, 100))
    found = judge_file(old, new | {"c7": new["c7"] + 2})

    assert found["c7"] == "drifted" and sum(verdict != "as before" for verdict in found.values()) == 1


def test_a_small_drift_is_none_however_many_rows_prove_it() -> None:
    assert measure_drift(np.array([50_000, 50_000]), np.array([52_000, 48_000]))[1] < 1e-9
    assert judge(measure_drift(np.array([50_000, 50_000]), np.array([52_000, 48_000]))[0], 1e-9) == "as before"


@pytest.mark.parametrize(("old", "new"), [([10, 20], [0, 0]), ([30, 0], [8, 0]), ([30], [30])])
def test_knows_no_drift_without_rows_or_with_one_value(old: list[int], new: list[int]) -> None:
    assert measure_drift(np.array(old), np.array(new)) == (0.0, 1.0)


def test_takes_a_file_of_any_length() -> None:
    index, p = measure_drift(np.array([50, 50]), np.array([10**10, 10**10]))

    assert index < 0.1 and p > 0.5


def test_the_probability_is_that_of_the_exact_test_of_two_by_two_counts() -> None:
    exact = stats.fisher_exact([[20, 30], [35, 15]]).pvalue

    assert measure_drift(np.array([20, 30]), np.array([35, 15]))[1] == pytest.approx(exact, abs=0.003)


def test_computes_the_textbook_index() -> None:
    assert stability_index(np.array([50, 50]), np.array([25, 75])) == pytest.approx(0.2747, abs=1e-4)
    assert stability_index(np.array([50, 50]), np.array([5, 5])) == 0.0


@pytest.mark.parametrize(("index", "verdict"), [(0.05, "as before"), (0.2, "worth a look"), (0.4, "drifted")])
def test_judges_by_size_and_by_chance(index: float, verdict: str) -> None:
    assert judge(index, 0.04) == verdict
    assert judge(index, 0.06) == "as before"
