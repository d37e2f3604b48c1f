"""Each row is tested once, by models that know neither it, nor its group, nor its future."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings as hypothesis_settings, strategies as st
from sklearn.model_selection import StratifiedKFold, TimeSeriesSplit
from tests.support.settings import make_settings

from boostlab.data.folds import split_folds
from boostlab.data.splits import Split
from boostlab.data.table import Table, load_table
from boostlab.errors import DataError

ROWS = 240


def make_frame(rows: int = ROWS) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "a": draw.normal(size=rows),
            "who": draw.integers(0, 30, rows),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.permutation(rows), unit="h"),
            "y": draw.choice(["no", "yes"], rows, p=[0.8, 0.2]),
        }
    )


def read(folder: Path, frame: pd.DataFrame, **roles: Any) -> Table:
    frame.to_parquet(folder / "t.parquet", index=False)
    return load_table(make_settings(dataset=str(folder / "t.parquet"), target="y", **roles))


def draw(table: Table, **options: Any) -> tuple[Split, ...]:
    own = {"dataset": __file__, "target": "y", "time": "when", "split": "time"} if options.pop("by_time", False) else {}
    return split_folds(table, make_settings(**{"folds": 5, "split_seed": 3, **own, **options}))


def list_tested(folds: tuple[Split, ...]) -> np.ndarray[Any, Any]:
    return np.concatenate([fold.test.rows for fold in folds])


def list_known(fold: Split) -> np.ndarray[Any, Any]:
    return np.concatenate([fold.train.rows, fold.valid.rows])


@pytest.mark.parametrize("roles", [{}, {"group": "who"}])
@pytest.mark.parametrize("stratify", [True, False])
def test_each_row_is_tested_once_in_each_repeat(tmp_path: Path, roles: dict[str, str], stratify: bool) -> None:
    folds = draw(read(tmp_path, make_frame(), **roles), repeats=2, stratify=stratify)

    assert len(folds) == 10
    for repeat in (folds[:5], folds[5:]):
        assert sorted(list_tested(repeat)) == list(range(ROWS))
        assert all(sorted([*list_known(fold), *fold.test.rows]) == list(range(ROWS)) for fold in repeat)
    assert {*folds[0].test.rows} != {*folds[5].test.rows}


def test_folds_keep_the_shares_of_classes_and_are_those_of_scikit_learn(tmp_path: Path) -> None:
    frame = make_frame()
    folds = draw(read(tmp_path, frame))
    codes = (frame["y"] == "yes").astype(int)
    expected = StratifiedKFold(5, shuffle=True, random_state=3).split(codes, codes)

    for fold, (_, test) in zip(folds, expected, strict=True):
        assert fold.test.rows.tolist() == sorted(test)
        assert (fold.test.target == "yes").mean() == pytest.approx(codes.mean(), abs=0.02)
        assert (fold.valid.target == "yes").mean() == pytest.approx(codes.mean(), abs=0.02)
        assert len(fold.valid) == pytest.approx(len(list_known(fold)) / 4, abs=1)  # 0.2 of 0.8


def test_no_group_is_both_known_and_tested(tmp_path: Path) -> None:
    frame = make_frame()
    frame["who"] = np.repeat(np.arange(60), 4)
    folds = draw(read(tmp_path, frame, group="who"), stratify=False)
    who = frame["who"].to_numpy()

    for fold in folds:
        parts = [set(who[part.rows]) for part in (fold.train, fold.valid, fold.test)]
        assert not parts[0] & parts[1] and not parts[2] & (parts[0] | parts[1])
    assert {len(fold.test) for fold in folds} == {48}


def test_equal_rows_are_in_one_part_of_each_fold(tmp_path: Path) -> None:
    frame = pd.concat([make_frame(120)] * 2, ignore_index=True)
    together = draw(read(tmp_path, frame))
    apart = draw(read(tmp_path, frame), duplicates="apart")

    assert all(not set(list_known(fold) % 120) & set(fold.test.rows % 120) for fold in together)
    assert any(set(list_known(fold) % 120) & set(fold.test.rows % 120) for fold in apart)


def test_a_split_by_time_tests_each_block_on_its_past(tmp_path: Path) -> None:
    frame = make_frame()
    folds = draw(read(tmp_path, frame, time="when"), by_time=True)
    order = np.argsort(frame["when"].to_numpy())
    expected = TimeSeriesSplit(5).split(order)

    for fold, (past, test) in zip(folds, expected, strict=True):
        assert set(fold.test.rows) == set(order[test])
        assert set(list_known(fold)) == set(order[past])
        when = frame["when"].to_numpy()
        assert when[fold.train.rows].max() < when[fold.valid.rows].min() < when[fold.test.rows].min()
        assert len(fold.valid) == pytest.approx(len(past) / 4, abs=1)


def test_a_gap_and_groups_that_go_on_are_left_out_of_the_past(tmp_path: Path) -> None:
    frame = make_frame()
    table = read(tmp_path, frame, time="when", group="who")
    when = frame["when"].to_numpy()
    gap = draw(read(tmp_path, frame, time="when"), by_time=True, time_gap="3h")

    for fold in gap:
        assert when[fold.test.rows].min() - when[list_known(fold)].max() > np.timedelta64(2, "h")
        assert fold.left_out["in the gap of time"] == 4
    with pytest.raises(DataError, match="Fold 1 of 5"):  # each group goes on: no past is left
        draw(table, by_time=True)


def test_rows_of_a_test_table_are_in_no_fold(tmp_path: Path) -> None:
    frame = make_frame()
    frame.iloc[:50].to_parquet(tmp_path / "later.parquet", index=False)
    table = read(tmp_path, frame, test_dataset=str(tmp_path / "later.parquet"))
    folds = draw(table)

    assert sorted(list_tested(folds)) == list(range(ROWS))
    assert len(folds[0].valid) == pytest.approx(0.2 * len(list_known(folds[0])), abs=1)  # no test_size: valid_size of the rest


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"y": ["a", "b"] * 5 + ["c"] * 4}, {}, r"folds = 5 is more than the 4 different rows of the class 'c'.*at most 4 folds"),
        ({"y": np.arange(4.0)}, {}, "folds = 5 is more than the 4 different rows"),
        ({"y": np.arange(20.0), "who": [1, 2] * 10}, {"group": "who"}, "folds = 5 is more than the 2 groups"),
        (
            {"y": ["a"] * 15 + ["b"] * 5, "who": [*range(15), *[99] * 5]},
            {"group": "who"},
            "folds = 5 is more than the 1 groups of the class 'b'.*Drop the class",
        ),
        (
            {"y": np.arange(20.0), "when": [1, 2] * 10},
            {"by_time": True},
            "folds = 5 is too many for the times 'when'.*There are 2 different times",
        ),
    ],
)
def test_refuses_folds_that_cannot_be_drawn(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    frame = pd.DataFrame(changes)
    frame["a"] = np.arange(len(frame), dtype=float)
    roles = {"group": options.pop("group", ""), "time": "when" if options.get("by_time") else ""}
    with pytest.raises(DataError, match=f"^{message}"):
        draw(read(tmp_path, frame, **roles), **options)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(30, 90),
    folds=st.integers(2, 6),
    seed=st.integers(0, 5),
    stratify=st.booleans(),
    role=st.sampled_from(["", "group", "time", "both"]),
    spread=st.integers(1, 12),
)
def test_no_fold_knows_what_it_tests(
    tmp_path: Path, rows: int, folds: int, seed: int, stratify: bool, role: str, spread: int
) -> None:
    source = np.random.default_rng(seed)
    who = np.sort(source.integers(0, max(2, rows // spread), rows))
    frame = pd.DataFrame({"a": source.normal(size=rows), "who": who, "when": np.arange(rows) // 2, "y": source.normal(size=rows)})
    group, by_time = "who" if role in ("group", "both") else "", role in ("time", "both")
    table = read(tmp_path, frame, group=group, time="when" if by_time else "")
    try:
        drawn = draw(table, folds=folds, split_seed=seed, stratify=stratify, by_time=by_time)
    except DataError:
        assume(False)
    assert len(drawn) == folds
    for fold in drawn:
        assert not set(list_known(fold)) & set(fold.test.rows)
        assert not group or not set(who[list_known(fold)]) & set(who[fold.test.rows])
        assert not by_time or frame["when"][list_known(fold)].max() < frame["when"][fold.test.rows].min()
    rows_tested = list_tested(drawn)
    assert len(set(rows_tested)) == len(rows_tested)
    assert by_time or len(rows_tested) == rows
