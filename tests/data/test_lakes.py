"""Tables of Delta Lake and its like: the rows that count are read, and parts of such a table are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable, write_deltalake
from tests.support.settings import make_settings
from tests.support.team import serve_s3

from boostlab.data.table import Table, load_table
from boostlab.errors import DataError

FRAME = pd.DataFrame({"year": [2023, 2023, 2024, 2024], "city": ["Porto", None, "Faro", "Lisboa"], "price": [1, 2, 3, 4]})


def load(location: object, where: str = "") -> Table:
    return load_table(make_settings(dataset=str(location), target="price", where=where))


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A partitioned table with one deleted row, which is still in a file."""
    write_deltalake(tmp_path / "homes", FRAME, partition_by=["year"])
    DeltaTable(tmp_path / "homes").delete("price = 3")
    return tmp_path / "homes"


def test_deleted_rows_are_not_read(lake: Path) -> None:
    assert ds.dataset(sorted(map(str, lake.rglob("*.parquet")))).count_rows() > 3
    table = load(lake)
    assert sorted(table.data["price"].to_pylist()) == [1, 2, 4]
    assert table.reading == "Delta Lake, version 1"
    assert (table.name, table.describe()["source_type"]) == ("homes", "local")
    assert sorted(load(lake, "year == 2024").data["price"].to_pylist()) == [4]
    assert "1 rows that do not meet" in load(lake, "city is not null").describe_reading()


def test_a_table_in_object_storage_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_s3("lake") as access:
        for name, value in access.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", access["MLFLOW_S3_ENDPOINT_URL"])
        write_deltalake("s3://lake/homes", FRAME, storage_options={"aws_allow_http": "true"})
        DeltaTable("s3://lake/homes", storage_options={"aws_allow_http": "true"}).delete("price = 3")
        assert sorted(load("s3://lake/homes").data["price"].to_pylist()) == [1, 2, 4]


@pytest.mark.parametrize("part", ["*/*.parquet", "year=2024", "year=2024/*.parquet"])
def test_a_part_of_a_table_is_refused(part: str, lake: Path) -> None:
    with pytest.raises(DataError, match=r"homes is a table of Delta Lake: its files hold deleted .* Name that folder"):
        load(lake / part)


def test_a_format_that_is_not_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "homes" / "data").mkdir(parents=True)
    FRAME.to_parquet(tmp_path / "homes" / "data" / "a.parquet")
    (tmp_path / "homes" / ".hoodie").mkdir()
    for location in ("homes", "homes/data", "homes/data/*.parquet", "homes/data/a.parquet"):
        with pytest.raises(DataError, match=r"homes is a table of Apache Hudi: its files hold deleted .* Write its present rows"):
            load(tmp_path / location)


def test_a_folder_that_is_called_metadata_makes_no_table_of_iceberg(tmp_path: Path) -> None:
    (tmp_path / "homes" / "metadata").mkdir(parents=True)
    FRAME.to_parquet(tmp_path / "homes" / "a.parquet")
    assert len(load(tmp_path / "homes")) == 4


def test_says_that_a_table_is_damaged(lake: Path) -> None:
    for path in (lake / "_delta_log").iterdir():
        path.write_text("{}")
    with pytest.raises(DataError, match="is a table of Delta Lake that cannot be read"):
        load(lake)


def test_refuses_a_table_with_a_feature_that_the_reader_does_not_know(lake: Path) -> None:
    protocol = {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"]}}
    protocol["protocol"]["writerFeatures"] = ["deletionVectors"]
    (lake / "_delta_log" / f"{2:020}.json").write_text(json.dumps(protocol))
    with pytest.raises(DataError, match=r"is a table of Delta Lake that cannot be read: .*deletion"):
        load(lake)


def test_says_which_package_is_missing(lake: Path) -> None:
    code = f"import sys; sys.modules['deltalake'] = None; from boostlab.data.lakes import open_delta; open_delta({str(lake)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "is not installed: pip install 'boostlab[delta]'." in done.stderr.splitlines()[-1]
