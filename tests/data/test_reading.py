"""Reading CSV and Parquet files, and the messages for files that cannot be read."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv
from tests.support.settings import make_settings

from boostlab.data import reading
from boostlab.data.table import Table, load_table
from boostlab.errors import DataError
from boostlab.models.contract import MISSING_MARKERS

FRAME = pd.DataFrame(
    {
        "size": [1.5, 2.0, None, 4.0, 5.5],
        "rooms": [1, 2, 3, 4, 5],
        "city": ["Porto", None, "Faro", "Porto", "Lisboa, PT"],
        "new": [True, False, True, False, True],
        "sold": pd.to_datetime(["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01", "2020-05-01"]),
        "price": [10.5, 20.0, 30.25, 40.0, None],
    }
)


def load(path: object, target: str = "price", **options: list[str]) -> Table:
    return load_table(make_settings(dataset=str(path), target=target, **options))


def write_csv(path: Path) -> None:
    FRAME.to_csv(path, index=False)


def write_zipped(path: Path) -> None:
    with gzip.open(path, "wt") as out:
        FRAME.to_csv(out, index=False)


def write_parquet(path: Path) -> None:
    FRAME.to_parquet(path, index=False)


def write_dictionary(path: Path) -> None:
    table = pa.Table.from_pandas(FRAME.assign(rooms=FRAME.rooms.astype("int8")), preserve_index=False)
    position = table.column_names.index("city")
    pq.write_table(table.set_column(position, "city", table.column("city").dictionary_encode()), path, row_group_size=2)


@pytest.mark.parametrize(
    ("name", "write"),
    [("t.csv", write_csv), ("t.csv.gz", write_zipped), ("t.parquet", write_parquet), ("t.parquet", write_dictionary)],
)
def test_every_format_gives_the_same_content(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write_parquet(tmp_path / "reference.parquet")
    write(tmp_path / name)
    table = load(tmp_path / name)
    assert table.features == ("size", "rooms", "city", "new", "sold")
    assert (len(table), table.rows_without_target) == (4, 1)
    assert table.digest == load(tmp_path / "reference.parquet").digest
    frame = pd.concat(table.batches(["city", "size"], np.arange(len(table))))
    assert frame["city"].tolist()[0] == "Porto"
    assert frame["city"].isna().tolist() == [False, True, False, False]
    assert frame["size"].isna().sum() == 1


def test_a_folder_and_a_glob_are_read_as_one_table(tmp_path: Path) -> None:
    (tmp_path / "parts" / "deep").mkdir(parents=True)
    FRAME.iloc[:2].to_parquet(tmp_path / "parts" / "a.parquet", index=False)
    FRAME.iloc[2:].to_parquet(tmp_path / "parts" / "deep" / "b.parquet", index=False)
    FRAME.iloc[:2].to_csv(tmp_path / "1.csv", index=False)
    FRAME.iloc[2:].to_csv(tmp_path / "2.csv", index=False)
    assert [len(load(tmp_path / "parts")), len(load(tmp_path / "*.csv"))] == [4, 4]


def test_only_the_columns_that_are_needed_are_read(tmp_path: Path) -> None:
    write_parquet(tmp_path / "t.parquet")
    assert load(tmp_path / "t.parquet", features=["city", "rooms"]).data.column_names == ["rooms", "city", "price"]
    assert load(tmp_path / "t.parquet", drop=["city", "sold"]).features == ("size", "rooms", "new")


def test_a_column_that_begins_with_numbers_and_goes_on_with_text_is_text(tmp_path: Path) -> None:
    lines = ["a,b,price", *(f"{n},{n},{n}.5" for n in range(200_000)), "x7,1,2.5"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = load(tmp_path / "t.csv")
    assert pa.types.is_string(table.data.schema.field("a").type)
    assert pa.types.is_integer(table.data.schema.field("b").type)


def write(tmp_path: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("a,price\n", "has column names and no rows"),
        ("a,prize\n1,2\n", "has no column 'price'. Did you mean 'prize'? It has: a, prize."),
        ("a,price\n1,\n2,NA\n", "is missing in all 2 rows"),
        ("a,a,price\n1,2,3\n", "more than one column 'a'"),
        ("a,price\n1,2\n1,2,3\n", "Expected 2 columns, got 3"),
        ("a,price\ncaf\xe9,2\n".encode("latin-1"), "is not encoded in UTF-8"),
        ("a,price\n1.5,2\ninf,3\n-inf,4\n", "The column 'a' is infinite in 2 rows (first: 2, 3)"),
    ],
)
def test_refuses_a_file_that_is_no_table(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as refusal:
        load(write(tmp_path, content))
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "holds no .parquet file"),
        ("t.txt", "has the format .txt"),
        ("t.parquet", "cannot be read"),
    ],
)
def test_refuses_what_is_no_file_of_a_known_kind(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    write(tmp_path, "hello", "t.txt")
    write(tmp_path, "hello", "t.parquet")
    with pytest.raises(DataError, match=message):
        load(tmp_path / name)


def test_refuses_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a,price\n1,2\n")
    read = csv.read_csv

    def append_then_read(*arguments: Any, **options: Any) -> pa.Table:
        with path.open("a") as out:
            out.write("3,4\n")
        return read(*arguments, **options)

    monkeypatch.setattr(csv, "read_csv", append_then_read)
    with pytest.raises(DataError, match="changed while it was read"):
        load(path)


def test_reads_each_marker_of_a_missing_value(tmp_path: Path) -> None:
    lines = [f"{number},{marker}" for number, marker in enumerate(sorted(MISSING_MARKERS))]
    table = reading.read_files([write(tmp_path, "\n".join(["a,b", "x,text", *lines]))], ["b"])

    assert table.column("b").to_pylist() == ["text", *[None] * len(MISSING_MARKERS)]


def test_refuses_a_path_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no file .*Relative paths start from the current folder"):
        reading.find_files(str(tmp_path / "nothing.csv"))
