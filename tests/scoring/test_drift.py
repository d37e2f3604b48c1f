"""Drift of each column against the holdout: found where there is some, and not elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from boostlab.models.contract import Feature
from boostlab.scoring.drift import MAX_BARS, Drift, judge, plot_drift, stability_index

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
        drift.add(new.iloc[start : start + 1000])
    return drift.tabulate()


def test_finds_the_columns_that_drifted_and_no_other(table: Any) -> None:
    changed = dict.fromkeys(["number", "optional", "category"], "drifted")

    assert table["verdict"].to_dict() == changed | dict.fromkeys(["date", "boolean"], "as before")
    assert table["drift (PSI)"].is_monotonic_decreasing


def test_reports_unseen_categories_and_missing_values(table: Any) -> None:
    share, _, names = table.loc["category", "unseen"].partition("% ")

    assert names == "(z)" and 25 < float(share) < 35
    assert [round(float(table.loc["optional", f"missing {when}"][:-1]), -1) for when in ("before", "now")] == [10, 60]


def test_an_optional_column_that_is_left_out_counts_as_missing() -> None:
    reference = make_rows(0, 0.1, 0, seed=0)
    drift = Drift(FEATURES, reference)
    drift.add(reference.drop(columns="optional"))

    assert drift.tabulate().loc["optional", "missing now"] == "100.0%"


def test_computes_the_textbook_index() -> None:
    assert stability_index(np.array([50.0, 50.0]), np.array([25.0, 75.0])) == pytest.approx(0.2747, abs=1e-4)
    assert stability_index(np.array([50.0, 50.0]), np.array([5.0, 5.0])) == 0.0


@pytest.mark.parametrize(("index", "verdict"), [(0.05, "as before"), (0.2, "worth a look"), (0.4, "drifted")])
def test_judges_the_index_beyond_chance(index: float, verdict: str) -> None:
    assert judge(index, 0.01) == verdict
    assert judge(index + 1, 1.01) == verdict


def test_draws_the_largest_indices_with_the_thresholds() -> None:
    axes = plot_drift(pd.Series({f"column {number}": number / 100 for number in range(MAX_BARS + 5)})).axes[0]

    assert len(axes.patches) == MAX_BARS
    assert axes.get_yticklabels()[-1].get_text() == f"column {MAX_BARS + 4}"
    assert [line.get_label() for line in axes.lines] == ["worth a look from 0.1", "drifted from 0.25"]
