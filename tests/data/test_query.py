"""Queries as tables: DuckDB over files, and a real PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.support.postgresql import PASSWORD, USER, NewDatabase
from tests.support.servers import free_port
from tests.support.settings import make_settings

from boostlab.data.locations import check_connection
from boostlab.data.settings import ReadSettings
from boostlab.data.sources import open_source
from boostlab.data.table import Table, load_table
from boostlab.errors import DataError, ParameterError

SECRET = "hunter2-s3cret"
FRAME = pd.DataFrame(
    {
        "size": [1.5, 2.0, None, 4.0],
        "rooms": [4, 2, 3, 1],
        "city": ["Porto", None, "Faro", "Lisboa"],
        "new": [True, False, None, True],
        "sold": pd.to_datetime(["2020-01-01", "2020-02-01", "2020-03-01", ""]),
        "price": [10.5, 20.0, 30.25, 40.0],
    }
)
POSTGRESQL = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE homes (size numeric(8, 2), rooms integer, city text, new boolean, sold timestamp, price double precision);
INSERT INTO homes VALUES (1.5, 4, 'Porto', true, '2020-01-01', 10.5), (2, 2, NULL, false, '2020-02-01', 20),
    (NULL, 3, 'Faro', NULL, '2020-03-01', 30.25), (4, 1, 'Lisboa', true, NULL, 40);
CREATE TABLE types AS SELECT 12.5::numeric AS exact, 'NaN'::numeric AS no_number, 1.25::money AS paid, true AS truth,
    date '2024-01-31' AS day, timestamptz '2024-01-31 12:00+01' AS zoned, 'x'::text AS word, NULL::text AS nothing,
    'ok'::mood AS feeling,
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS code, 7::smallint AS small, 1.5::real AS single, '{}'::jsonb AS document,
    ARRAY[1] AS list, interval '1 day' AS span, 'a'::char(3) AS padded, 1 AS "odd 'name'", 2 AS price;
"""


@pytest.fixture(scope="module")
def homes(new_database: NewDatabase) -> str:
    """The address of a database with tables, without its password."""
    import psycopg

    address = new_database()
    with psycopg.connect(address, autocommit=True) as connection:
        for statement in POSTGRESQL.split(";\n"):
            connection.execute(statement)
    return address.replace(f":{PASSWORD}", "")


@pytest.fixture
def database(homes: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return homes


def load(statement: str, connection: str = "", **changes: Any) -> Table:
    return load_table(make_settings(**{"dataset": f"sql:{statement}", "target": "price", "connection": connection} | changes))


def test_files_and_databases_give_one_content(database: str, tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "t.parquet", index=False)
    order = " ORDER BY price"
    file = load_table(make_settings(dataset=str(tmp_path / "t.parquet"), target="price"))
    tables = [load(f"SELECT * FROM '{tmp_path}/*.parquet'{order}"), load(f"SELECT * FROM homes{order};", database)]
    assert [table.digest for table in tables] == [file.digest] * 2
    assert [table.name for table in tables] == ["query"] * 2
    assert [table.describe()["source_type"] for table in tables] == ["code"] * 2
    assert [table.reading for table in tables] == ["the answer of DuckDB", "the answer of PostgreSQL"]
    for where in ("size > 1.5", "city != 'Porto'", "new is null or sold >= '2020-02-01'"):
        rows = load_table(make_settings(dataset=str(tmp_path / "t.parquet"), target="price", where=where))
        assert load(f"SELECT * FROM homes{order}", database, where=where).digest == rows.digest


def test_mlflow_knows_the_source_that_is_recorded(database: str) -> None:
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json

    about = load("SELECT * FROM homes", database).describe()
    source = get_dataset_source_from_json(about["source"], about["source_type"])
    assert source.to_dict() == {"tags": {"mlflow.source.name": f"sql:SELECT * FROM homes from {database}"}}


@pytest.mark.parametrize("place", ["DuckDB", "PostgreSQL"])
def test_a_query_without_order_gives_its_rows_in_one_order(place: str, database: str, tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "t.parquet", index=False)
    FRAME.iloc[::-1].to_parquet(tmp_path / "back.parquet", index=False)
    names = {
        "DuckDB": (f"'{tmp_path}/t.parquet'", f"'{tmp_path}/back.parquet'"),
        "PostgreSQL": ("homes", "(SELECT * FROM homes ORDER BY price DESC) AS h"),
    }
    connection = database if place == "PostgreSQL" else ""
    one, other = (load(f"SELECT * FROM {name} -- a comment", connection) for name in names[place])
    assert one.digest == other.digest
    stated = load(f"SELECT * FROM {names[place][0]} ORDER BY rooms", connection)
    assert stated.data["rooms"].to_pylist() == [1, 2, 3, 4]


def test_types_of_postgresql_are_those_that_a_model_takes(database: str) -> None:
    source = open_source("sql:SELECT * FROM types", ReadSettings(), connection=database)
    unusable = source.find_unusable(source.names)
    assert set(unusable) == {"document", "list", "span"}
    row = source.read({name: None for name in source.names if name not in unusable})[0].to_pylist()[0]
    assert row["no_number"] != row["no_number"]
    assert row.pop("zoned").isoformat() == "2024-01-31T11:00:00+00:00"
    assert row.pop("day").isoformat() == "2024-01-31"
    assert {name: value for name, value in row.items() if name != "no_number"} == {
        "exact": 12.5, "paid": 1.25, "truth": True, "word": "x", "nothing": None, "feeling": "ok", "small": 7, "single": 1.5,
        "code": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "padded": "a  ", "odd 'name'": 1, "price": 2,
    }  # fmt: skip


def test_a_large_answer_is_streamed_and_has_a_limit(database: str) -> None:
    many = "SELECT i AS x, i * 2.5 AS price FROM generate_series(1, 300000) AS i"
    table = load(many, database)
    assert (len(table), table.data["price"][299_999].as_py()) == (300_000, 750_000.0)
    with pytest.raises(DataError, match=r"The answer of the query unpacks to .* The limit is 0\.001 GB"):
        load(many, database, read={"max_gb": 0.001})
    assert len(load("SELECT range AS x, range AS price FROM range(300000)")) == 300_000


def test_an_answer_is_a_snapshot(database: str) -> None:
    source = open_source("sql:SELECT random() AS x FROM generate_series(1, 1000)", ReadSettings(), connection=database)
    assert source.read({"x": None})[0] == source.read({"x": None})[0]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT nope FROM homes", 'column "nope" does not exist'),
        ("SELECT * FROM nothing", 'relation "nothing" does not exist'),
        ("SELECT * FRO homes", "syntax error"),
        ("SELECT 1 / (rooms - 1) AS price FROM homes", "division by zero"),
        ("WITH gone AS (DELETE FROM homes RETURNING *) SELECT * FROM gone", "must be at the top level"),
        ("SELECT 1 AS price; DROP TABLE homes", "syntax error"),
        ("SELECT 1) AS answer; DROP TABLE homes; SELECT * FROM (SELECT 1", "cannot insert multiple commands"),
        ("SELECT nextval(pg_get_serial_sequence('s', 'id'))", "does not exist"),
        ("SELECT rooms, rooms FROM homes", "more than one column 'rooms'"),
        ("SELECT * FROM homes LIMIT 2", "LIMIT without ORDER BY"),
        ("SELECT * FROM homes WHERE false", "has column names and no rows"),
        ("SELECT rooms FROM homes", "has no column 'price'"),
    ],
)
def test_postgresql_says_what_is_wrong(statement: str, message: str, database: str) -> None:
    with pytest.raises(DataError) as caught:
        load(statement, database)
    assert message in str(caught.value)
    assert len(load("SELECT * FROM homes", database)) == 4


def test_what_changes_the_database_is_refused_by_it(database: str) -> None:
    import psycopg

    with psycopg.connect(database, password=PASSWORD, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS numbers")
        connection.execute("CREATE OR REPLACE FUNCTION empty() RETURNS int LANGUAGE sql AS 'DELETE FROM homes; SELECT 1'")
    for change in ("nextval('numbers')", "empty()"):
        with pytest.raises(DataError, match="in a read-only transaction"):
            load(f"SELECT {change} AS price", database)
    assert len(load("SELECT * FROM homes", database)) == 4


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT * FROM 'nowhere/*.parquet'", "No files found that match the pattern"),
        ("SELECT nope FROM range(3)", 'column "nope" not found'),
        ("SELECT * FRO t", "syntax error"),
        ("SELECT 1 AS price, 2 AS Price", "more than one column 'price'"),
        ("SELECT 1 AS price; SELECT 2", "not one statement that reads"),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", "not one statement that reads"),
        ("SELECT * FROM 's3://lake/t.parquet'", "Name the address as dataset"),
        ("SELECT * FROM 'https://lake.example/t.parquet'", "Name the address as dataset"),
        ("SELECT * FROM frame", "Table with name frame does not exist"),
        ("SELECT * FROM range(9) FETCH FIRST 3 ROWS ONLY", "LIMIT without ORDER BY"),
        ("SELECT * FROM (SELECT * FROM range(9) LIMIT 3)", "LIMIT without ORDER BY"),
        ("SELECT * FROM range(9) USING SAMPLE 3", "SAMPLE, which takes other rows each time"),
        ("SELECT * FROM (SELECT * FROM range(9) TABLESAMPLE 30%)", "SAMPLE, which takes other rows each time"),
    ],
)
def test_duckdb_says_what_is_wrong(statement: str, message: str) -> None:
    frame = FRAME  # which DuckDB would read
    with pytest.raises(DataError) as caught:
        load(statement)
    assert message in str(caught.value) and len(frame) == 4


def test_a_stored_index_is_no_column(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": [3.0, 1.0, 2.0], "price": [1.0, 2.0, 3.0]}, index=[7, 9, 8])
    table.to_parquet(tmp_path / "homes.parquet")
    assert load(f"SELECT * FROM '{tmp_path}/homes.parquet'").features == ("x",)


def test_an_order_inside_the_query_is_none() -> None:
    inner = (
        "SELECT row_number() OVER (ORDER BY price) AS n, 'order by' AS word, price "
        "FROM (SELECT range AS price FROM range(9) ORDER BY 1)"
    )
    assert len(load(f"{inner} /* ORDER BY */")) == 9
    with pytest.raises(DataError, match="LIMIT without ORDER BY"):
        load(f"{inner} LIMIT 3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "wrong-s3cret"}, "password authentication failed .* Set PGPASSWORD"),
        ({"password": ""}, "no password supplied Set PGPASSWORD"),
        ({"port": True}, "Connection refused .* Check host, port"),
        ({"name": "/nowhere"}, 'database "nowhere" does not exist'),
        ({"host": "nowhere.invalid"}, "could not translate host name"),
    ],
)
def test_says_why_a_database_cannot_be_opened(
    change: dict[str, Any], message: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, _, port = database.rpartition("/")[0].rpartition(":")
    port = str(free_port()) if "port" in change else port
    start = start.replace("127.0.0.1", change.get("host", "127.0.0.1"))
    monkeypatch.setenv("PGPASSWORD", change.get("password", PASSWORD))
    with pytest.raises(DataError, match=message) as caught:
        load("SELECT 1", f"{start}:{port}{change.get('name', '/' + database.rpartition('/')[2])}")
    assert PASSWORD not in str(caught.value) and "wrong-s3cret" not in str(caught.value)


def test_a_password_file_is_read(homes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pgpass").write_text(f"*:*:*:{USER}:{PASSWORD}\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    assert len(load("SELECT * FROM homes", homes)) == 4


def test_options_of_an_address_are_kept(database: str) -> None:
    connection = f"{database}?application_name=a%20b+c&options=-c%20search_path%3Dpublic%20-c%20extra_float_digits%3D1"
    table = load("SELECT current_setting('application_name') AS name, 1 AS price", connection)
    assert table.data["name"].to_pylist() == ["a b+c"]


def test_a_query_is_scored_and_tested_on(database: str, tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "t.parquet", index=False)
    table = load("SELECT * FROM homes", database, dataset=str(tmp_path / "t.parquet"), test_dataset="sql:SELECT * FROM homes")
    assert (len(table), table.test_rows) == (8, 4)


@pytest.mark.parametrize("connection", ["", "postgresql://me@host/db"])
def test_says_which_package_is_missing(connection: str) -> None:
    code = f"""
        import sys
        sys.modules.update(duckdb=None, adbc_driver_postgresql=None)
        from boostlab.data.query import run_query
        from boostlab.data.settings import ReadSettings
        run_query("sql:SELECT 1", {connection!r}, ReadSettings())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert "which is not installed: pip install 'boostlab[sql]'." in done.stderr.splitlines()[-1]


def test_a_connection_is_for_a_query() -> None:
    with pytest.raises(ParameterError, match="connection is for a query, and wine is none"):
        make_settings(dataset="wine", connection="postgresql://host/db")


@pytest.mark.parametrize("address", ["", "postgresql://me@host/db", "postgres://host", "postgresql:///db?host=/run"])
def test_takes_the_address_of_a_database(address: str) -> None:
    assert check_connection(address) == address


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("mysql://host/db", "It takes postgresql://USER@HOST:PORT/DATABASE"),
        ("host=h dbname=d", "It takes postgresql://"),
        (f"postgresql://me:{SECRET}@host/db", "holds a password"),
        (f"postgresql://me:a/{SECRET}@host/db", "holds a password"),
        (f"postgresql://host/db?user=me&password={SECRET}", "holds a password"),
        (f"postgresql://host/db?sslpassword={SECRET}", "holds a password"),
    ],
)
def test_refuses_an_address_with_a_password(address: str, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make_settings(dataset="sql:SELECT 1 AS price", target="price", connection=address)
    assert message in str(caught.value) and SECRET not in str(caught.value)
