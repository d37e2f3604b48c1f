"""Splits are disjoint, complete and honest: no group on both sides, no future in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boostlab.data.splits import Split, split_table
from boostlab.data.table import Roles, Table, load_table
from boostlab.errors import DataError

ROWS = 300


def make_table(tmp_path: Path, **roles: str) -> Table:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": draw.normal(size=ROWS),
            "who": draw.integers(0, 40, ROWS),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 60, ROWS), unit="D"),
            "weight": draw.uniform(0.5, 2, ROWS),
            "y": draw.choice(["no", "yes"], ROWS, p=[0.8, 0.2]),
        }
    )
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    return load_table(str(tmp_path / "t.parquet"), roles=Roles(target="y", **roles))


def split(table: Table, **options: bool) -> Split:
    return split_table(table, task="classification", test_size=0.2, valid_size=0.25, seed=3, **options)


def column(table: Table, name: str) -> np.ndarray:
    return np.asarray(table.data.column(name).to_pandas())


@pytest.mark.parametrize(("roles", "by_time"), [({}, False), ({"group": "who"}, False), ({"time": "when"}, True)])
def test_parts_are_disjoint_and_complete(tmp_path: Path, roles: dict[str, str], by_time: bool) -> None:
    parts = split(make_table(tmp_path, **roles), by_time=by_time)
    rows = np.concatenate([parts.train.rows, parts.valid.rows, parts.test.rows])
    assert sorted(rows) == list(range(ROWS))
    assert all((np.diff(part.rows) > 0).all() for part in (parts.train, parts.valid, parts.test))


def test_a_random_split_keeps_the_shares_of_classes_unless_told_not_to(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    share = (table.target == "yes").mean()
    parts = split(table)
    assert [len(parts.test), len(parts.valid)] == [60, 75]
    assert all(abs((part.target == "yes").mean() - share) < 0.02 for part in (parts.train, parts.valid, parts.test))
    assert (split(table, stratify=False).test.rows != parts.test.rows).any()


def test_no_group_stands_on_both_sides(tmp_path: Path) -> None:
    table = make_table(tmp_path, group="who")
    parts = split(table)
    groups = [set(column(table, "who")[part.rows]) for part in (parts.train, parts.valid, parts.test)]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    assert "who" not in table.features


def test_a_split_by_time_trains_on_the_past_and_keeps_a_moment_together(tmp_path: Path) -> None:
    table = make_table(tmp_path, time="when")
    parts = split(table, by_time=True)
    times = [column(table, "when")[part.rows] for part in (parts.train, parts.valid, parts.test)]
    assert times[0].max() < times[1].min()
    assert times[1].max() < times[2].min()


def test_weights_follow_their_rows(tmp_path: Path) -> None:
    table = make_table(tmp_path, weight="weight")
    part = split(table).valid
    assert part.weight == pytest.approx(column(table, "weight")[part.rows].astype(np.float32))


def test_the_same_seed_gives_the_same_split(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    assert (split(table).test.rows == split(table).test.rows).all()


def write_table(tmp_path: Path, frame: pd.DataFrame, **roles: str) -> Table:
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    return load_table(str(tmp_path / "t.parquet"), roles=Roles(target="y", **roles))


@pytest.mark.parametrize(
    ("frame", "roles", "message"),
    [
        ({"y": ["a"] * 9}, {}, "has one class only, 'a'"),
        ({"y": ["a"] * 9 + ["b"]}, {}, "The class 'b' of 'y' has 1 row"),
        ({"y": ["a", "b"] * 20, "g": [1, 2] * 20}, {"group": "g"}, "of 2 groups"),
        ({"y": ["a", "b"] * 20, "g": [None, 2.0] * 20}, {"group": "g"}, "The group column 'g' has 20 gaps"),
        ({"y": ["a", "b"] * 20, "w": [-1.0, 2.0] * 20}, {"weight": "w"}, "The sample weights 'w' must be numbers"),
    ],
)
def test_refuses_a_split_that_cannot_be_made(
    tmp_path: Path, frame: dict[str, list[object]], roles: dict[str, str], message: str
) -> None:
    table = write_table(tmp_path, pd.DataFrame({"x": range(len(frame["y"])), **frame}), **roles)
    with pytest.raises(DataError, match=message):
        split(table)


def test_refuses_a_class_that_only_the_future_knows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(40), "when": pd.date_range("2024-01-01", periods=40), "y": ["a", "b"] * 15 + ["c"] * 10})
    table = write_table(tmp_path, frame, time="when")
    with pytest.raises(DataError, match="The class 'c' of 'y' has no row in the training part"):
        split(table, by_time=True)
