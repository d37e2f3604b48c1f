"""Where rows are put: in memory if they fit, on disk if not or if asked for."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.settings import make_settings

from boostlab.data import placement
from boostlab.data.free_memory import FreeMemory
from boostlab.data.settings import ReadSettings
from boostlab.data.sources import open_source
from boostlab.data.table import Table, load_table
from boostlab.errors import DataError

FRAME = pd.DataFrame(np.random.default_rng(0).random((20_000, 5)), columns=["a", "b", "c", "d", "y"])


def load(path: Path, **options: Any) -> Table:
    return load_table(make_settings(dataset=str(path), target="y", **options))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    FRAME.to_parquet(tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


def leave(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let `size` bytes of memory be free."""
    monkeypatch.setattr(placement, "find_free_memory", lambda: FreeMemory(size, "the control group"))


def test_auto_keeps_a_small_table_in_memory_and_says_nothing(table: Path, cache_root: Path) -> None:
    found = load(table)
    assert (found.placement.name, found.placement.reason) == ("internal", "")
    assert not cache_root.exists()


def test_auto_says_that_a_notable_table_is_in_memory(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, 20_000_000)
    assert (
        "needs about 0.0043 GB, and 0.02 GB (the control group) are free: the rows are in memory." in load(table).placement.reason
    )


def test_auto_puts_a_table_on_disk_that_does_not_fit(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, 4_000_000)
    found = load(table)
    assert found.tags() == {"boostlab.task": "regression", "boostlab.memory": "external"}
    assert "0.0043 GB, and 0.004 GB (the control group) are free. The rows are on disk, where they need" in found.placement.reason
    assert found.placement.reason.rstrip(".") in found.describe_reading().replace("\\", "")
    assert load(table, tree_method="exact").placement.name == "internal"
    assert load(table, memory="internal").placement.name == "internal"


def test_auto_stays_in_memory_and_says_so_if_the_disk_is_too_small(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, 1_000)
    monkeypatch.setattr(placement, "find_free_disk", lambda: 1_000)
    found = load(table)
    assert found.placement.name == "internal"
    assert "and 1e-06 GB are free. The rows are in memory, which may not suffice." in found.placement.reason


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_estimates_a_text_file(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"table{ending}"
    FRAME.to_csv(path, index=False)
    leave(monkeypatch, 1_000_000)
    assert load(path).placement.name == "external"
    leave(monkeypatch, 20_000_000)
    assert load(path).placement.name == "internal"


def test_counts_the_test_table(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FRAME.iloc[::-1].to_csv(tmp_path / "test.csv", index=False)
    leave(monkeypatch, 7_000_000)
    assert load(table).placement.name == "internal"
    both = load(table, test_dataset=str(tmp_path / "test.csv"))
    assert both.placement.name == "external"
    assert both.data.equals(load(table, test_dataset=str(tmp_path / "test.csv"), memory="internal").data)


def test_puts_a_data_set_on_disk_if_asked(cache_root: Path) -> None:
    found = load_table(make_settings(dataset="iris", memory="external"))
    assert found.placement.name == "external"
    assert list(cache_root.glob("table-*"))
    assert found.digest == load_table(make_settings(dataset="iris")).digest


@pytest.mark.parametrize("memory", ["internal", "external"])
def test_reads_files_without_rows_and_rows_without_a_target(memory: str, tmp_path: Path) -> None:
    FRAME.iloc[:0].to_parquet(tmp_path / "table.parquet")
    with pytest.raises(DataError, match=r"has column names and no rows"):
        load(tmp_path / "table.parquet", memory=memory)
    FRAME.assign(y=None).to_parquet(tmp_path / "table.parquet")
    with pytest.raises(DataError, match=r"is missing in all 20000 rows"):
        load(tmp_path / "table.parquet", memory=memory)
    FRAME.assign(y=FRAME["y"].where(FRAME.index % 2 == 0)).to_parquet(tmp_path / "table.parquet")
    found = load(tmp_path / "table.parquet", memory=memory)
    assert (len(found), found.rows_without_target) == (10_000, 10_000)
    assert found.data.column("a").to_pylist() == FRAME["a"][::2].to_list()


def test_the_disk_limits_the_size_of_rows_on_disk(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 100_000, "available": 10**9}))
    limit = r"unpacks to 0\.0008 GB .* The limit is 5e-05 GB, half of the memory.* Or keep the rows on disk: -p memory external\."
    with pytest.raises(DataError, match=limit):
        load(table)
    assert load(table, memory="external").placement.name == "external"
    with pytest.raises(DataError, match=r"The limit is 0\.0001 GB\. "):
        load(table, memory="external", read={"max_gb": 0.0001})
    monkeypatch.setattr(placement, "find_free_disk", lambda: 1_000_000)
    with gzip.open(tmp_path / "bomb.csv.gz", "wt") as file:
        file.write("a,y\n" + "1.00000000000000,2\n" * 200_000)
    with pytest.raises(DataError, match=r"bomb\.csv\.gz unpacks to 0\.00\d+ GB or more\. The limit is 0\.001 GB"):
        load(tmp_path / "bomb.csv.gz", memory="external")


def test_reads_files_of_other_types_in_pieces_as_the_scanner_does(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    for year, frame in (("2023", FRAME.assign(a=range(len(FRAME)), t="ü")), ("2024", FRAME.drop(columns="b").assign(t=None))):
        (folder / f"year={year}").mkdir(parents=True)
        frame.to_parquet(folder / f"year={year}" / "rows.parquet", row_group_size=7_000)
    FRAME.iloc[:0].to_parquet(folder / "empty.parquet")
    inside, outside = (load(folder, memory=memory) for memory in ("internal", "external"))
    assert outside.data.equals(inside.data)
    assert outside.data.schema == inside.data.schema
    assert outside.describe() == inside.describe()


def test_holds_a_piece_of_a_row_group_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    columns = {f"x{place}": np.random.default_rng(place).random(100_000) for place in range(200)}
    pq.write_table(pa.table(columns), path, row_group_size=100_000, use_dictionary=False)
    source = replace(open_source(str(path), ReadSettings()), in_pieces=True)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in source.batches(source.names)]
    assert len(held) > 4
    assert max(held) < 80 << 20  # of 160 MB
