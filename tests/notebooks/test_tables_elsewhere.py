"""Whole trainings on tables that are elsewhere: what a run records of them, and that no secret is in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest
from pyarrow import fs
from tests.support.executions import run_here
from tests.support.paths import PROJECT
from tests.support.postgresql import PASSWORD, NewDatabase
from tests.support.stores import NewStore, all_runs, only_run
from tests.support.team import serve_s3

from boostlab.tracking.store import find_store, open_store

pytestmark = pytest.mark.slow

SECRET = "s3-s3cret"
TINY = {"target": "price", "num_boost_round": 3, "max_depth": 2, "nthread": 1}
rng = np.random.default_rng(0)
HOMES = pd.DataFrame({"year": np.repeat([2023, 2024], 100), "size": rng.normal(size=200), "rooms": rng.integers(1, 6, 200)})
HOMES["price"] = HOMES["size"] * 3 + HOMES["rooms"] + rng.normal(size=200)


@pytest.fixture
def client(tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return open_store(find_store("", project=tmp_path)).client


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with serve_s3("lake") as access:
        for name, value in access.items():
            monkeypatch.setenv(name, value)
        endpoint = access["MLFLOW_S3_ENDPOINT_URL"]
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.delenv("MLFLOW_S3_ENDPOINT_URL")
        with fs.S3FileSystem(endpoint_override=endpoint).open_output_stream("lake/homes.parquet") as stream:
            stream.write(HOMES.to_parquet(index=False))
        yield


def run(name: str, numbers: Mapping[str, object], **texts: str) -> subprocess.CompletedProcess[str]:
    options = [word for option, value in numbers.items() for word in ("-p", option, value)]
    options += [word for option, value in texts.items() for word in ("-r", option, value)]
    return run_here(PROJECT / "notebooks" / f"{name}.ipynb", f"{name}-out.ipynb", *options)


def find_in_files(folder: Path, text: str) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.usefixtures("lake")
def test_a_table_of_object_storage_is_trained_on_and_scored(client: Any, tmp_path: Path) -> None:
    done = run("train", TINY, dataset="s3://lake/homes.parquet", where="year >= 2024", register_as="homes")
    assert done.returncode == 0, done.stderr
    trained = only_run(client)
    assert trained.data.params["where"] == "year >= 2024"
    assert trained.data.metrics["rows"] == 100
    about = trained.inputs.dataset_inputs[0].dataset
    assert (about.name, about.source_type, about.source) == ("homes.parquet", "s3", '{"uri": "s3://lake/homes.parquet"}')
    assert "100 rows that do not meet `where` were left out." in Path("train-out.ipynb").read_text()

    rows = {"rows": "s3://lake/homes.parquet", "where": "year == 2023"}
    done = run("score", {"version": 1}, model="homes", output="scored.csv", **rows)
    assert done.returncode == 0, done.stderr
    assert pd.read_csv("scored.csv")["year"].tolist() == [2023] * 100
    assert "100 rows that do not meet" in Path("score-out.ipynb").read_text()
    assert find_in_files(tmp_path, SECRET) == []


def test_a_query_is_trained_on_and_no_password_is_kept(
    client: Any, tmp_path: Path, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = new_database()
    with psycopg.connect(address) as connection:
        connection.execute('CREATE TABLE homes (year int, "size" float8, rooms int, price float8)')
        with connection.cursor().copy("COPY homes FROM STDIN") as copy:
            for row in HOMES.itertuples(index=False):
                copy.write_row(row)
    query = "sql:SELECT * FROM homes WHERE year = 2024"

    refused = run("train", TINY, dataset=query, connection=address)
    assert refused.returncode == 1
    assert "connection: it holds a password, which the run would record" in refused.stderr
    assert PASSWORD not in refused.stdout + refused.stderr
    assert all_runs(client) == [] and not Path("train-out.ipynb").exists()

    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    done = run("train", TINY, dataset=query, connection=address.replace(f":{PASSWORD}", ""))
    assert done.returncode == 0, done.stderr
    trained = only_run(client)
    assert trained.data.metrics["rows"] == 100
    assert trained.data.params["dataset"] == query
    assert PASSWORD not in done.stdout + done.stderr
    assert find_in_files(tmp_path, PASSWORD) == []


def test_a_cell_that_fails_shows_no_secret(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    failed = run("train", TINY, dataset="sql:SELECT 1", connection="postgresql://me@127.0.0.1:9/db")
    assert failed.returncode == 1
    assert "The database postgresql://me@127.0.0.1:9/db cannot be opened" in failed.stderr
    assert only_run(client).info.status == "FAILED"
    assert PASSWORD not in failed.stdout + failed.stderr
    assert find_in_files(tmp_path, PASSWORD) == []
