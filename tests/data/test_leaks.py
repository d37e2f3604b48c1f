"""A column that reveals the target is found with enough rows; a good feature is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.support.settings import make_settings

from boostlab.data.columns import ColumnProfile, profile_columns
from boostlab.data.splits import split_table
from boostlab.data.table import load_table

Array = np.ndarray


def judge(tmp_path: Path, column: Array, target: Array, *, seed: int = 0) -> ColumnProfile:
    """Return the profile of a column that stands beside a feature of noise."""
    noise = np.random.default_rng(9).normal(size=len(target))
    pd.DataFrame({"noise": noise, "x": column, "y": target}).to_parquet(tmp_path / "t.parquet", index=False)
    settings = make_settings(dataset=str(tmp_path / "t.parquet"), target="y", split_seed=seed)
    columns = profile_columns(split_table(load_table(settings), settings))
    return next(profile for profile in columns.profiles if profile.name == "x")


def make_classes(positives: int, rows: int = 2000) -> Array:
    return np.random.default_rng(3).permutation(np.arange(rows) < positives)


@pytest.mark.parametrize("distance", [4.07, 5.01])  # of the classes' means in standard deviations: AUC 0.998 and 0.9998
def test_keeps_a_good_feature_of_a_rare_class(tmp_path: Path, distance: float) -> None:
    """The rule by rows dropped it in 15 % and 57 % of the splits."""
    target = make_classes(20)
    for seed in range(10):
        column = np.random.default_rng(seed).normal(size=2000) + distance * target
        assert judge(tmp_path, column, target, seed=seed).feature


@pytest.mark.parametrize(
    "write", [lambda y: y * 2.0 + 1, lambda y: np.where(y, "late", "never"), lambda y: y], ids=["number", "text", "bool"]
)
def test_leaves_out_a_copy_of_the_target(tmp_path: Path, write: object) -> None:
    target = make_classes(500)
    found = judge(tmp_path, write(target), target)  # type: ignore[operator]

    assert found.feature is None
    assert found.left_out == (
        "reveals the target: alone it tells 300 of 300 rows of the rarer class and 900 of 900 others. Name it in keep to use it"
    )
    assert found.finding == f"The column 'x' is left out: it {found.left_out}."


def test_leaves_out_a_copy_of_one_of_many_classes(tmp_path: Path) -> None:
    classes = np.random.default_rng(0).integers(0, 10, 1000)
    assert judge(tmp_path, classes * 7 % 10, classes.astype(str)).feature is None


def test_finds_a_copy_of_a_rare_class_among_many_rows(tmp_path: Path) -> None:
    """Rows are chosen by class: a sample of rows would hold 30 of the 600 events."""
    target = make_classes(1000, rows=100_000)
    assert judge(tmp_path, target * 3.0, target).feature is None


def test_says_that_too_few_events_leave_a_doubt(tmp_path: Path) -> None:
    target = make_classes(20)
    found = judge(tmp_path, target * 3.0, target)

    assert found.feature
    assert found.finding == (
        "The column 'x' may reveal the target: alone it tells 12 of 12 rows of the rarer class and 1188 of 1188 others. "
        "Drop it if it is not known before the target."
    )


@pytest.mark.parametrize("reveal", [np.exp, lambda y: -y, lambda y: y.round(3) * 1000], ids=["exp", "negative", "rounded"])
def test_leaves_out_a_monotone_function_of_a_quantity(tmp_path: Path, reveal: object) -> None:
    target = np.random.default_rng(0).normal(size=200)
    assert judge(tmp_path, reveal(target), target).feature is None  # type: ignore[operator]


def test_leaves_out_an_invertible_function_of_a_quantity_with_many_rows(tmp_path: Path) -> None:
    target = np.random.default_rng(0).normal(size=5000)
    assert judge(tmp_path, np.where(target > 0, target, target - 100) * np.where(target > 1, -1, 1), target).feature is None


def test_keeps_a_good_feature_of_a_quantity_that_few_rows_decide(tmp_path: Path) -> None:
    """Five large values carry the variance: R² is 0.9999 as soon as the column tells them."""
    draw = np.random.default_rng(0)
    target = draw.normal(size=400) * np.where(np.arange(400) % 80 == 0, 1e4, 1)
    column = np.where(np.abs(target) > 100, target, draw.normal(size=400))
    assert judge(tmp_path, column, target).feature


def test_keeps_a_strong_feature_of_a_quantity(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    target = draw.normal(size=1000)
    assert judge(tmp_path, target + draw.normal(size=1000) * 0.1, target).feature


def test_keeps_each_column_where_the_training_part_has_one_value(tmp_path: Path) -> None:
    frame = pd.DataFrame({"when": range(200), "x": np.random.default_rng(0).normal(size=200), "y": [1.5] * 170 + [2.5, 0.5] * 15})
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    settings = make_settings(dataset=str(tmp_path / "t.parquet"), target="y", time="when", split="time")
    assert [feature.name for feature in profile_columns(split_table(load_table(settings), settings)).features] == ["x"]
