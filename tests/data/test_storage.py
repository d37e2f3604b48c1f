"""Tables in object storage, read from a real server of S3 on loopback."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import requests
from pyarrow import fs
from tests.support.servers import free_port
from tests.support.settings import make_settings
from tests.support.team import serve_s3

from boostlab.data.contents import copy_here, identify_files
from boostlab.data.files import find_files
from boostlab.data.settings import ReadSettings
from boostlab.data.sources import open_source
from boostlab.data.storage import File, describe_fault
from boostlab.data.table import load_table
from boostlab.errors import DataError

FRAME = pd.DataFrame({"size": [1.5, None, 4.0], "city": ["Porto", "Faro", None], "price": [10, 20, 30]})
SECRET = "s3-s3cret"


@pytest.fixture(scope="module")
def lake() -> Iterator[dict[str, str]]:
    """A bucket with tables; yields what clients find in their environment."""
    with serve_s3("lake") as access:
        yield {name: value for name, value in access.items() if name.startswith("AWS")} | {
            "AWS_ENDPOINT_URL": access["MLFLOW_S3_ENDPOINT_URL"]
        }


@pytest.fixture
def bucket(lake: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> fs.S3FileSystem:
    for name, value in lake.items():
        monkeypatch.setenv(name, value)
    return fs.S3FileSystem(endpoint_override=lake["AWS_ENDPOINT_URL"], region="us-east-1")


def put(bucket: fs.S3FileSystem, path: str, frame: pd.DataFrame = FRAME) -> None:
    kind = path.partition(".")[2]
    content = frame.to_parquet(index=False) if kind == "parquet" else frame.to_csv(index=False).encode()
    with bucket.open_output_stream(path, compression="gzip" if kind == "csv.gz" else None) as stream:
        stream.write(content)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.csv.gz"])
def test_a_table_in_object_storage_is_that_of_this_machine(name: str, bucket: fs.S3FileSystem, tmp_path: Path) -> None:
    put(bucket, f"lake/one/{name}")
    FRAME.to_parquet(tmp_path / "t.parquet", index=False)
    here = load_table(make_settings(dataset=str(tmp_path / "t.parquet"), target="price"))
    there = load_table(make_settings(dataset=f"s3://lake/one/{name}", target="price"))
    assert there.digest == here.digest
    about = there.describe()
    assert (about["name"], about["source_type"], about["source"]) == (name, "s3", f'{{"uri": "s3://lake/one/{name}"}}')


def test_mlflow_knows_the_source_that_is_recorded(bucket: fs.S3FileSystem) -> None:
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json

    put(bucket, "lake/one/t.parquet")
    about = load_table(make_settings(dataset="s3://lake/one/t.parquet", target="price")).describe()
    assert get_dataset_source_from_json(about["source"], about["source_type"]).uri == "s3://lake/one/t.parquet"


@pytest.mark.parametrize(
    ("address", "rows"),
    [
        ("s3://lake/many", 6),
        ("s3://lake/many/", 6),
        ("s3://lake/many/*/*.parquet", 6),
        ("s3://lake/many/**/*.parquet", 6),
        ("s3://lake/many/year=2024/*.parquet", 3),
        ("s3://lake/many/year=202[!4]/?.parquet", 3),
    ],
)
def test_a_folder_and_a_glob_are_read_as_one_table(address: str, rows: int, bucket: fs.S3FileSystem) -> None:
    for year in (2024, 2025):
        put(bucket, f"lake/many/year={year}/a.parquet")
    table = load_table(make_settings(dataset=address, target="price"))
    assert len(table) == rows
    assert "year" in table.features


def test_test_rows_come_from_object_storage_too(bucket: fs.S3FileSystem) -> None:
    put(bucket, "lake/one/t.csv")
    table = load_table(make_settings(dataset="s3://lake/one/t.csv", test_dataset="s3://lake/one/t.csv", target="price"))
    assert (len(table), table.test_rows) == (6, 3)


def test_a_csv_file_is_fetched_once(bucket: fs.S3FileSystem, caplog: pytest.LogCaptureFixture) -> None:
    put(bucket, "lake/one/t.csv")
    with caplog.at_level("INFO", logger="werkzeug"):  # the server's log of requests
        load_table(make_settings(dataset="s3://lake/one/t.csv", target="price"))
    assert len([line for line in caplog.messages if "GET /lake/one/t.csv" in line]) == 1


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://lake/nothing.parquet", "There is no file s3://lake/nothing.parquet"),
        ("s3://lake/none/*.csv", r"There is no file s3://lake/none/\*.csv"),
        ("s3://elsewhere/t.parquet", "There is no bucket 'elsewhere'"),
        ("s3://elsewhere/*.parquet", "There is no bucket 'elsewhere'"),
        ("s3://lake/text", "The folder s3://lake/text holds no .parquet file"),
        ("s3://lake/empty.parquet", "s3://lake/empty.parquet is empty"),
        ("s3://lake/broken.parquet", "s3://lake/broken.parquet cannot be read"),
        ("s3://lake/delta/year=2024/*.parquet", "lake/delta is a table of Delta Lake.* Name that folder"),
    ],
)
def test_says_what_cannot_be_read(address: str, message: str, bucket: fs.S3FileSystem) -> None:
    put(bucket, "lake/text/t.csv")
    put(bucket, "lake/delta/year=2024/a.parquet")
    for path, content in (("empty.parquet", b""), ("broken.parquet", b"PAR1 no table"), ("delta/_delta_log/0.json", b"{}")):
        with bucket.open_output_stream(f"lake/{path}") as stream:
            stream.write(content)
    with pytest.raises(DataError, match=message):
        open_source(address, ReadSettings())


@pytest.mark.usefixtures("bucket")
def test_says_that_a_server_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    started = time.monotonic()
    with pytest.raises(DataError, match=rf"s3://lake/t.parquet does not answer at {endpoint}\. Check the network") as caught:
        find_files("s3://lake/t.parquet")
    assert time.monotonic() - started < 30
    assert SECRET not in str(caught.value)


def test_says_that_access_is_refused(bucket: fs.S3FileSystem, lake: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, "lake/one/t.parquet")
    endpoint = lake["AWS_ENDPOINT_URL"]
    requests.post(f"{endpoint}/moto-api/reset-auth", data=b"0", timeout=10)  # from now on, the keys are checked
    try:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-s3cret")
        with pytest.raises(DataError, match=r"refuses access to s3://lake/one/t.parquet\. Set AWS_ACCESS_KEY_ID") as caught:
            find_files("s3://lake/one/t.parquet")
        assert "wrong-s3cret" not in str(caught.value)
    finally:
        requests.post(f"{endpoint}/moto-api/reset-auth", data=b"Infinity", timeout=10)


def test_refuses_an_object_that_changes_while_it_is_read(bucket: fs.S3FileSystem) -> None:
    put(bucket, "lake/one/t.parquet")
    source = open_source("s3://lake/one/t.parquet", ReadSettings())
    original = source.batches

    def change_and_read(*args: object) -> object:
        yield from original(*args)  # type: ignore[arg-type]
        put(bucket, "lake/one/t.parquet", pd.concat([FRAME, FRAME]))

    object.__setattr__(source, "batches", change_and_read)
    with pytest.raises(DataError, match=r"s3://lake/one/t.parquet changed while it was read"):
        source.read(dict.fromkeys(source.names))


def test_a_copy_has_no_name_and_the_content(bucket: fs.S3FileSystem) -> None:
    put(bucket, "lake/one/t.csv")
    (file,) = find_files("s3://lake/one/t.csv")
    copy = copy_here(file)
    assert (str(copy), copy.name, copy.is_text) == ("s3://lake/one/t.csv", "t.csv", True)
    assert Path(copy.path).read_bytes() == FRAME.to_csv(index=False).encode()
    assert Path(copy.path).readlink().name.endswith("(deleted)")


@pytest.mark.parametrize(
    ("address", "text", "message"),
    [
        ("gs://b/t.csv", "google::cloud::Status(UNAVAILABLE: Retry policy exhausted)", "does not answer"),
        ("gs://b/t.csv", "UNAVAILABLE: Retry policy exhausted: Could not create a OAuth2 access token", "refuses access"),
        ("gs://b/t.csv", "PERMISSION_DENIED: Permanent error", "Set GOOGLE_APPLICATION_CREDENTIALS"),
        ("abfs://c@a.dfs.core.windows.net/t.csv", "AuthenticationFailed", "Set AZURE_STORAGE_KEY"),
        ("abfs://c@a.dfs.core.windows.net/t.csv", "Fail to get a new connection for: https://a", "does not answer"),
    ],
)
def test_each_storage_has_its_advice(address: str, text: str, message: str) -> None:
    assert message in str(describe_fault(address, OSError(text)))


def test_files_of_this_machine_are_known_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "t.csv").touch()
    assert File.here(tmp_path / "t.csv").local_path == (tmp_path / "t.csv").resolve()
    assert File("lake/t.csv", "s3://lake/t.csv").local_path is None


@pytest.mark.parametrize("name", ["same.parquet", "same.csv"])
def test_an_object_of_the_same_size_is_another_one(name: str, bucket: fs.S3FileSystem) -> None:
    identities = []
    for frame in (FRAME, FRAME.iloc[::-1]):
        put(bucket, f"lake/identity/{name}", frame)
        identities += [identify_files(open_source(f"s3://lake/identity/{name}", ReadSettings()).files) for _ in range(2)]
    assert identities[0] and identities[0] == identities[1]  # the same object, read or copied twice
    assert identities[2] == identities[3] != identities[0]


def test_a_file_that_was_moved_or_replaced_is_another_one(tmp_path: Path) -> None:
    for year in ("2024", "2025"):
        (tmp_path / f"year={year}").mkdir()
    path, other = tmp_path / "year=2024" / "a.parquet", tmp_path / "year=2025" / "a.parquet"
    FRAME.to_parquet(path)
    first = identify_files([File.here(path)])
    assert first and identify_files([File.here(path)]) == first
    path.rename(other)
    moved = identify_files([File.here(other)])
    times = other.stat().st_atime_ns, other.stat().st_mtime_ns
    (tmp_path / "b").write_bytes(other.read_bytes())
    (tmp_path / "b").rename(other)
    os.utime(other, ns=times)
    assert len({str(each) for each in (first, moved, identify_files([File.here(other)]))}) == 3
    assert identify_files([]) is None
    other.unlink()
    with pytest.raises(DataError, match="cannot be read any more: No such file"):
        identify_files([File(str(other), str(other))])
