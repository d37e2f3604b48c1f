"""Parquet files read in pieces, for rows on disk: the rows, types and conditions of a reading as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest
from tests.support.settings import make_settings

from boostlab.data.row_groups import read_pieces
from boostlab.data.table import load_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file for each of two years; the second one lacks a column, and holds whole numbers in another."""
    for year in (2024, 2025):
        place = tmp_path / "homes" / f"year={year}"
        place.mkdir(parents=True)
        rows = np.arange(1000) + 1000 * (year - 2024)
        table = pd.DataFrame({"number": rows, "size": rows / 2, "city": [f"c{row % 5}" for row in rows], "price": rows * 3.0})
        table = table.astype({"size": "int64"}).drop(columns="city") if year == 2025 else table
        table.to_parquet(place / "rows.parquet", row_group_size=100)
    return tmp_path / "homes"


@pytest.mark.parametrize(
    ("where", "column_types"),
    [
        ("", {}),
        ("year == 2025 and number < 1250", {}),
        ("city in ['c1', 'c2'] or number >= 1990", {}),
        ("size > 100", {"number": "category"}),
        ("number == '1007' or city is null", {"number": "category"}),
    ],
)
def test_holds_the_rows_of_a_reading_in_memory(folder: Path, where: str, column_types: dict[str, Any]) -> None:
    values: dict[str, Any] = {"dataset": str(folder), "target": "price", "where": where, "column_types": column_types}
    inside, outside = (load_table(make_settings(**values, memory=memory)) for memory in ("internal", "external"))
    assert outside.digest == inside.digest and len(outside) == len(inside) > 0
    assert outside.rows_not_selected == inside.rows_not_selected and (outside.rows_not_selected > 0) == bool(where)


def test_row_groups_without_a_wanted_row_are_not_read(folder: Path) -> None:
    rows = ds.dataset(folder, partitioning="hive")
    pieces = list(
        read_pieces(rows, ["number"], (ds.field("year") == 2024) & (ds.field("number") >= 350) & (ds.field("number") < 420))
    )
    assert [value for piece in pieces for value in piece.column("number").to_pylist()] == list(range(300, 500))
