"""Each beginning of the order is like the whole: nested, with all classes, with whole groups, and by time the latest."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.settings import make_settings

from boostlab.data.splits import Part, split_table
from boostlab.data.table import load_table
from boostlab.training.row_order import RowOrder, order_rows

ROWS = 1000


def make_rows() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    classes = draw.choice(["a", "b", "c"], ROWS, p=[0.9, 0.09, 0.01])
    return pd.DataFrame(
        {"x": draw.normal(size=ROWS), "y": classes, "day": draw.permutation(ROWS), "shop": draw.integers(0, 60, ROWS)}
    )


def order(folder: Path, frame: pd.DataFrame, *, seed: int = 0, **options: Any) -> tuple[Part, RowOrder]:
    frame.to_parquet(folder / "t.parquet", index=False)
    settings = make_settings(dataset=str(folder / "t.parquet"), target="y", **options)
    part = split_table(load_table(settings), settings).train
    return part, order_rows(part, settings, seed=seed)


def test_each_beginning_contains_the_smaller_ones_and_the_last_is_all(tmp_path: Path) -> None:
    part, found = order(tmp_path, make_rows())
    beginnings = [found.take(share) for share in (0.1, 0.3, 1.0)]

    assert [len(rows) for rows in beginnings] == [60, 180, 600]
    assert all(set(small) < set(large) for small, large in pairwise(beginnings))
    assert beginnings[2].tolist() == list(range(len(part)))
    assert found.take(0.1).tolist() != order(tmp_path, make_rows(), seed=1)[1].take(0.1).tolist()
    assert found.take(0.1).tolist() == order(tmp_path, make_rows())[1].take(0.1).tolist()


def test_each_beginning_has_the_shares_of_the_classes(tmp_path: Path) -> None:
    part, found = order(tmp_path, make_rows())
    whole = part.target.value_counts()

    for share in (1 / 16, 0.25, 0.5):
        counts = part.target.iloc[found.take(share)].value_counts()
        assert ((counts - share * whole).abs() <= 1.5).all(), counts


def test_a_model_of_few_rows_knows_all_classes(tmp_path: Path) -> None:
    part, found = order(tmp_path, make_rows(), stratify=False)
    assert set(part.target.iloc[found.take(0.01)]) == {"a", "b", "c"}


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_groups_are_whole(tmp_path: Path, share: float) -> None:
    frame = make_rows()
    part, found = order(tmp_path, frame, group="shop")
    rows = part.rows[found.take(share)]
    shops = frame["shop"].iloc[part.rows]

    assert set(rows) == set(part.rows[shops.isin(frame["shop"].iloc[rows])])
    assert share * len(part) <= len(rows) < share * len(part) + shops.value_counts().max()
    assert found.units == shops.nunique()


def test_groups_of_each_class_are_spread_evenly(tmp_path: Path) -> None:
    frame = make_rows().assign(y=lambda rows: np.where(rows["shop"] % 5 == 0, "rare", "usual"))
    part, found = order(tmp_path, frame, group="shop")
    shares = [(part.target.iloc[found.take(share)] == "rare").mean() for share in (0.25, 0.5, 1)]

    assert np.ptp(shares) < 0.1, shares


def test_equal_rows_join_together_unless_they_are_apart(tmp_path: Path) -> None:
    frame = pd.concat([make_rows()[["x", "y"]].head(200)] * 5)
    part, found = order(tmp_path, frame)
    rows = frame.iloc[part.rows[found.take(0.25)]]

    assert (rows.groupby("x").size() == 5).all()
    part, found = order(tmp_path, frame, duplicates="apart")
    assert (frame.iloc[part.rows[found.take(0.25)]].groupby("x").size() < 5).any()


def test_by_time_the_latest_rows_join_first(tmp_path: Path) -> None:
    frame = make_rows().assign(y=lambda rows: rows["x"])
    part, found = order(tmp_path, frame, time="day", split="time")
    days = frame["day"].iloc[part.rows]

    assert set(days.iloc[found.take(0.25)]) == set(days.nlargest(150))


def test_rows_without_weight_do_not_join(tmp_path: Path) -> None:
    part, found = order(tmp_path, make_rows().assign(w=lambda rows: rows["day"] % 2), sample_weight="w")
    assert part.weight is not None and (part.weight[found.take(1)] == 1).all() and found.rows == part.weight.sum()
