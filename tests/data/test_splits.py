"""Splits are disjoint and complete: no group on both sides, no future in training, each class in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.settings import make_settings

from boostlab.data.splits import Split, split_table
from boostlab.data.table import Table, load_table
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
    return write_table(tmp_path, frame, **roles)


def write_table(tmp_path: Path, frame: pd.DataFrame, **roles: str) -> Table:
    path = tmp_path / "t.parquet"
    frame.to_parquet(path, index=False)
    return load_table(make_settings(dataset=str(path), target="y", **roles))


def make_classes(tmp_path: Path, classes: dict[str, int]) -> Table:
    target = [name for name, count in classes.items() for _ in range(count)]
    return write_table(tmp_path, pd.DataFrame({"a": np.arange(len(target), dtype=float), "y": target}))


def split(table: Table, *, by_time: bool = False, **options: Any) -> Split:
    own = {"dataset": __file__, "target": "y", "time": "when", "split": "time"} if by_time else {}
    return split_table(table, make_settings(**{"test_size": 0.2, "valid_size": 0.25, "split_seed": 3, **own, **options}))


def column(table: Table, name: str) -> np.ndarray:
    return np.asarray(table.data.column(name).to_pandas())


@pytest.mark.parametrize(("roles", "by_time"), [({}, False), ({"group": "who"}, False), ({"time": "when"}, True)])
def test_parts_are_disjoint_and_complete(tmp_path: Path, roles: dict[str, str], by_time: bool) -> None:
    parts = split(make_table(tmp_path, **roles), by_time=by_time)
    rows = np.concatenate([parts.train.rows, parts.valid.rows, parts.test.rows])
    assert sorted(rows) == list(range(ROWS))
    assert all((np.diff(part.rows) > 0).all() for part in (parts.train, parts.valid, parts.test))


def test_a_random_split_keeps_the_shares_of_classes_unless_stratify_is_off(tmp_path: Path) -> None:
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


def test_a_split_by_time_trains_on_the_past_and_keeps_equal_times_together(tmp_path: Path) -> None:
    table = make_table(tmp_path, time="when")
    parts = split(table, by_time=True)
    times = [column(table, "when")[part.rows] for part in (parts.train, parts.valid, parts.test)]
    assert times[0].max() < times[1].min()
    assert times[1].max() < times[2].min()


def test_weights_follow_their_rows(tmp_path: Path) -> None:
    table = make_table(tmp_path, sample_weight="weight")
    part = split(table).valid
    assert part.weight == pytest.approx(column(table, "weight")[part.rows].astype(np.float32))


def test_split_seed_alone_draws_the_split(tmp_path: Path) -> None:
    """Runs with different seeds of the sampling share their test rows, so that their figures can be ranked."""
    table = make_table(tmp_path)
    assert (split(table, seed=1).test.rows == split(table, seed=2).test.rows).all()
    assert (split(table, split_seed=4).test.rows != split(table).test.rows).any()


@pytest.mark.parametrize(
    ("frame", "roles", "message"),
    [
        ({"y": ["a"] * 9}, {}, "has one class only, 'a'"),
        ({"y": ["a"] * 9 + ["b"]}, {}, "The class 'b' of 'y' has 1 row"),
        ({"y": ["a", "b"] * 20, "g": [1, 2] * 20}, {"group": "g"}, "of 2 groups"),
        ({"y": ["a", "b"] * 20, "g": [None, 2.0] * 20}, {"group": "g"}, "The group column 'g' has 20 missing values"),
        ({"y": ["a", "b"] * 20, "w": [-1.0, 2.0] * 20}, {"sample_weight": "w"}, "The sample weights 'w' must be numbers"),
    ],
)
def test_refuses_a_split_that_cannot_be_made(
    tmp_path: Path, frame: dict[str, list[object]], roles: dict[str, str], message: str
) -> None:
    table = write_table(tmp_path, pd.DataFrame({"x": range(len(frame["y"])), **frame}), **roles)
    with pytest.raises(DataError, match=message):
        split(table)


def test_refuses_a_class_that_is_absent_from_the_training_part(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(40), "when": pd.date_range("2024-01-01", periods=40), "y": ["a", "b"] * 15 + ["c"] * 10})
    table = write_table(tmp_path, frame, time="when")
    with pytest.raises(DataError, match="The class 'c' of 'y' has no row in the training part"):
        split(table, by_time=True)


def test_makes_parts_of_the_requested_sizes_and_tabulates_them() -> None:
    table = load_table(make_settings(dataset="diabetes"))
    parts = split(table, test_size=0.3, valid_size=0.1)

    assert parts.sizes()["rows"].to_dict() == {"train": 442 - 133 - 44, "valid": 44, "test": 133}
    assert parts.sizes()["share"].tolist() == ["60%", "10%", "30%"]


@pytest.mark.parametrize(
    ("classes", "test", "valid"),
    [({"a": 3, "b": 3}, 1 / 3, 1 / 3), ({"a": 97, "b": 3}, 0.2, 0.2), ({"a": 97, "b": 3}, 0.05, 0.05)],
)
def test_each_class_is_in_the_training_part(tmp_path: Path, classes: dict[str, int], test: float, valid: float) -> None:
    parts = split(make_classes(tmp_path, classes), test_size=test, valid_size=valid)

    assert set(parts.train.target) == set(classes)


def test_refuses_a_class_that_is_too_rare_for_a_split_by_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be split by class: .* set stratify to False\."):
        split(make_classes(tmp_path, {"a": 12, "b": 3}), test_size=0.5, valid_size=0.2)


@pytest.mark.parametrize(
    ("task", "test", "valid", "words"),
    [
        ("regression", 0.01, 0.2, "The test part of 't.parquet' would have 0 of 21 rows, and needs at least 1"),
        ("regression", 0.2, 0.01, "The validation part of 't.parquet' would have 0 of 21 rows"),
        ("regression", 0.52, 0.47, "The training part of 't.parquet' would have 0 of 21 rows"),
        ("classification", 0.1, 0.2, "The test part of 't.parquet' would have 2 of 21 rows, and needs at least 3"),
    ],
)
def test_refuses_a_part_that_is_too_small(tmp_path: Path, task: str, test: float, valid: float, words: str) -> None:
    frame = pd.DataFrame({"a": range(21), "y": [0.5, 1.5, 2.5] * 7 if task == "regression" else ["a", "b", "c"] * 7})

    with pytest.raises(DataError, match=rf"{words}.*Change test_size or valid_size"):
        split(write_table(tmp_path, frame), test_size=test, valid_size=valid)
