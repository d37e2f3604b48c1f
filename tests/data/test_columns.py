"""Profiles of columns: types, features, reasons for leaving a column out; all of it from the training rows alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from tests.support.settings import make_settings

from boostlab.data.columns import ColumnProfile, Columns, profile_columns
from boostlab.data.splits import Split, split_table
from boostlab.data.table import load_table
from boostlab.errors import DataError
from boostlab.models.contract import Feature
from boostlab.models.predictor import encode_rows, input_names
from boostlab.training.fit import fit_booster

ROWS = 200


def make_frame(seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "row": range(ROWS),
            "key": [f"k{n:03d}" for n in range(ROWS)],
            "name": [f"n{n // 2 * 7 % 150}" for n in range(ROWS)],
            "one": 7,
            "size": draw.normal(size=ROWS),
            "many": draw.permutation(ROWS) * 1000 + draw.integers(0, 900, ROWS),
            "city": draw.choice(["Faro", "Porto", "Lisboa"], ROWS),
            "new": draw.random(ROWS) < 0.4,
            "day": pd.date_range("2023-01-30", periods=ROWS, freq="D"),
            "gap": np.where(draw.random(ROWS) < 0.3, np.nan, draw.random(ROWS)),
        }
    )
    frame["price"] = frame["size"] * 2 + (frame.city == "Porto") + draw.normal(size=ROWS) * 0.3
    frame["copy"] = frame.price.rank()
    frame["lists"] = [[1, 2]] * ROWS
    return frame


def profile(frame: pd.DataFrame, features: list[str] | None = None) -> tuple[Columns, Split]:
    """Return the profiles of a table with the target `price`, and its split."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        frame.to_parquet(path, index=False)
        settings = make_settings(dataset=str(path), target="price", features=features or [])
        split = split_table(load_table(settings), settings)
    return profile_columns(split), split


def by_name(columns: Columns) -> dict[str, ColumnProfile]:
    return {column.name: column for column in columns.profiles}


def test_an_example_has_few_digits() -> None:
    columns, _ = profile(make_frame())
    assert all(len(column.example) <= 10 for column in columns.profiles if column.arrow_type == "double")


def test_finds_types_missing_values_and_examples() -> None:
    columns, split = profile(make_frame())
    profiles = by_name(columns)
    assert {name: column.type for name, column in profiles.items()} == {
        "row": "number", "key": "category", "name": "category", "one": "number", "size": "number", "many": "number",
        "city": "category",
        "new": "boolean", "day": "date", "gap": "number",
        "copy": "number", "lists": "other",
    }  # fmt: skip
    assert profiles["gap"].missing == pytest.approx(0.3, abs=0.1)
    assert profiles["city"].distinct == 3
    assert profiles["city"].feature == Feature(
        "city", "category", "string", categories=("Faro", "Lisboa", "Porto"), any_type=True
    )
    assert profiles["day"].feature is not None
    assert profiles["day"].feature.parts == ("month", "day", "weekday", "days")
    assert len(split.train) == 120


def test_tabulates_what_each_column_is_used_as() -> None:
    shown = profile(make_frame())[0].tabulate()

    rows = {row[0]: row[1:] for row in shown.rows}
    assert rows["city"][1] == "category (3)"
    assert rows["day"][1] == "date: month, day, weekday, days"
    assert rows["key"][1] == "left out"
    assert rows["copy"][-1] in shown._repr_html_().replace("&#39;", "'")  # the reason is not cut before its remedy


def test_a_table_of_very_many_columns_shows_first_what_is_left_out() -> None:
    frame = make_frame()
    wide = pd.concat([frame, *(frame["size"].rename(f"size {number}") for number in range(150))], axis=1)
    shown = profile(wide)[0].tabulate()
    assert (len(shown.rows), shown.rows[0][0]) == (100, "row")
    assert shown.title.startswith("Columns, as the training rows show them, 100 of 16")


def test_says_which_numbers_fall_together_and_which_texts_make_numbers_text() -> None:
    count = 200
    frame = pd.DataFrame(
        {
            "account": 2**53 + np.arange(count) * 7 % 101,
            "code": [str(row % 50) if row % 20 else "unknown" for row in range(count)],
            "words": [f"w{row % 3}" for row in range(count)],
            "price": np.random.default_rng(0).normal(size=count),
        }
    )
    columns, _ = profile(frame)
    found = {column.name: column.finding for column in columns.profiles}
    assert "which tells 1 of its " in found["account"] and "column_types: {account: category}" in found["account"]
    assert "'code' is text because of 'unknown' in " in found["code"] and "name them in missing of read" in found["code"]
    assert found["words"] == ""


def test_a_flag_with_one_value_and_gaps_is_kept() -> None:
    frame = make_frame().assign(flag=pd.Series(["Y", None] * (ROWS // 2), dtype=object))
    assert by_name(profile(frame)[0])["flag"].feature == Feature(
        "flag", "category", "string", optional=True, categories=("Y",), any_type=True
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("row", "it counts the rows"),
        ("key", "an identifier: 120 values in 120 rows"),
        ("name", "nearly an identifier"),
        ("one", "one value only"),
        ("copy", "reveals the target"),
        ("lists", "no tree can split values of type list"),
    ],
)
def test_leaves_an_unusable_column_out_with_a_reason(name: str, reason: str) -> None:
    column = by_name(profile(make_frame())[0])[name]
    assert reason in column.left_out
    assert column.feature is None


def test_keeps_usable_columns_and_all_that_the_user_named() -> None:
    assert [item.name for item in profile(make_frame())[0].features] == ["size", "many", "city", "new", "day", "gap"]
    named = ["row", "key", "one", "copy"]
    assert [item.name for item in profile(make_frame(), features=named)[0].features] == named


def test_refuses_a_table_without_a_usable_column() -> None:
    with pytest.raises(DataError, match=r"No column of 't\.parquet' can be used"):
        profile(make_frame()[["one", "key", "price"]])


def test_a_category_that_training_did_not_see_counts_as_missing() -> None:
    features = profile(make_frame())[0].features
    rows = make_frame(1).head(2).assign(city=pd.Series(["Braga", None]), gap=[0.5, np.nan])
    encoded = pd.DataFrame(encode_rows(rows.drop(columns="gap"), features), columns=input_names(features))
    assert encoded["city"].isna().all()
    assert encoded["gap"].isna().all()
    assert encoded["day.month"].tolist() == [1, 1]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(1e-3, 1e6),
    cities=st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=1, max_size=5),
    boolean=st.booleans(),
)
def test_nothing_outside_the_training_part_influences_what_is_learned(
    seed: int, scale: float, cities: list[str | None], boolean: bool
) -> None:
    """Change every cell of the test rows: the decisions on columns, the inputs and the model stay as they were."""
    draw = np.random.default_rng(seed)
    frame = make_frame()[["size", "city", "new", "day", "gap", "price"]]
    columns, split, booster = learn(frame)
    changed = frame.astype({"city": object})
    for row in split.test.rows:
        time = pd.Timestamp("1990-01-01") + pd.Timedelta(hours=int(draw.integers(0, 200_000)))
        gap = None if draw.random() < 0.5 else draw.normal() * scale
        changed.loc[row] = [draw.normal() * scale, cities[draw.integers(len(cities))], boolean, time, gap, draw.normal() * scale]
    other_columns, other_split, other_booster = learn(changed.astype({"gap": float, "new": bool}))
    assert (other_split.train.rows == split.train.rows).all()
    assert other_columns.features == columns.features
    assert other_booster == booster


def learn(frame: pd.DataFrame) -> tuple[Columns, Split, bytes]:
    """Return the profiles, the split and the booster of a table."""
    columns, split = profile(frame)
    fit = fit_booster(split, columns, make_settings(num_boost_round=5))
    return columns, split, bytes(fit.predictor.booster.save_raw("ubj"))
