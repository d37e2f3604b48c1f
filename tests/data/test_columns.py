"""What columns become, what is left out and why; and that rows outside the training part have no say in it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from boostlab.data.columns import Column, list_features, study_columns, tabulate_columns
from boostlab.data.splits import Split, split_table
from boostlab.data.table import Roles, find_task, load_table
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


def study(frame: pd.DataFrame, features: list[str] | None = None) -> tuple[dict[str, Column], Split]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        frame.to_parquet(path, index=False)
        table = load_table(str(path), roles=Roles(target="price"), features=features or [])
    split = split_table(table, task=find_task(table.target), test_size=0.2, valid_size=0.2, seed=0)
    return {column.name: column for column in study_columns(table, split.train, task="regression")}, split


def test_kinds_gaps_and_examples_are_found() -> None:
    columns, split = study(make_frame())
    kinds = {name: column.kind for name, column in columns.items()}
    assert kinds == {
        "row": "number", "key": "category", "name": "category", "one": "number", "size": "number", "many": "number",
        "city": "category",
        "new": "boolean", "day": "date", "gap": "number",
        "copy": "number", "lists": "other",
    }  # fmt: skip
    assert columns["gap"].missing == pytest.approx(0.3, abs=0.1)
    assert columns["city"].distinct == 3
    assert columns["city"].feature == Feature("city", "category", "string", categories=("Faro", "Lisboa", "Porto"))
    assert columns["day"].feature is not None
    assert columns["day"].feature.parts == ("month", "day", "weekday", "days")
    shown = tabulate_columns(list(columns.values()))
    assert list(shown.columns) == ["type", "used as", "missing", "distinct", "example", "why left out"]
    assert len(split.train) == 120


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("row", "it counts the rows"),
        ("key", "an identifier: 120 values in 120 rows"),
        ("name", "nearly an identifier"),
        ("one", "one value only"),
        ("copy", "gives the target away"),
        ("lists", "nothing that a tree can split"),
    ],
)
def test_what_cannot_be_used_is_left_out_with_its_reason(name: str, reason: str) -> None:
    columns, _ = study(make_frame())
    assert reason in columns[name].left_out
    assert columns[name].feature is None


def test_honest_columns_stay_and_named_ones_do_too() -> None:
    columns, _ = study(make_frame())
    assert [name for name, column in columns.items() if column.feature] == ["size", "many", "city", "new", "day", "gap"]
    named, _ = study(make_frame(), features=["row", "key", "one", "copy"])
    assert all(column.feature for column in named.values())


def test_refuses_a_table_without_a_usable_column() -> None:
    with pytest.raises(DataError, match=r"No column of 't\.parquet' can be used"):
        study(make_frame()[["one", "key", "price"]])


def test_what_training_did_not_see_counts_as_missing() -> None:
    columns, _ = study(make_frame())
    features = list_features(list(columns.values()))
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
    truth=st.booleans(),
)
def test_nothing_outside_the_training_part_influences_what_is_learned(
    seed: int, scale: float, cities: list[str | None], truth: bool
) -> None:
    """Change every cell of the test rows: the decisions on columns, the inputs and the model stay as they were."""
    draw = np.random.default_rng(seed)
    frame = make_frame()[["size", "city", "new", "day", "gap", "price"]]
    features, split, booster = learn(frame)
    changed = frame.astype({"city": object})
    for row in split.test.rows:
        moment = pd.Timestamp("1990-01-01") + pd.Timedelta(hours=int(draw.integers(0, 200_000)))
        gap = None if draw.random() < 0.5 else draw.normal() * scale
        changed.loc[row] = [draw.normal() * scale, cities[draw.integers(len(cities))], truth, moment, gap, draw.normal() * scale]
    other_features, other_split, other_booster = learn(changed.astype({"gap": float, "new": bool}))
    assert (other_split.train.rows == split.train.rows).all()
    assert other_features == features
    assert other_booster == booster


def learn(frame: pd.DataFrame) -> tuple[list[Any], Split, bytes]:
    """Return the features, the split and the booster that a table gives."""
    columns, split = study(frame)
    features = list_features(list(columns.values()))
    fit = fit_booster(
        split, features, task="regression", params={"seed": 0, "nthread": 1}, num_boost_round=5, early_stopping_rounds=0
    )
    return features, split, bytes(fit.predictor.booster.save_raw("ubj"))
