"""The form of a table's location, and what may not stand in it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.support.settings import make_settings

from boostlab.data.locations import check_location, read_query
from boostlab.errors import ParameterError

SECRET = "hunter2-s3cret"


@pytest.mark.parametrize(
    "name",
    [
        "s3://lake/homes.parquet",
        "S3://lake/year=2024/part-?.parquet",
        "gs://lake",
        "abfss://lake@account.dfs.core.windows.net/homes",
        "sql:SELECT 1",
        "sql: with a as (select 1) select * from a;",
        "sql:-- a comment\nSELECT 1",
        "sql:FROM 'homes.parquet'",
        "sql:SELECT * FROM t WHERE word = 'x' AND password = 'y'",
    ],
)
def test_takes_addresses_and_queries_without_opening_them(name: str) -> None:
    assert check_location(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("s4://lake/t.csv", "no table can be read from s4://. It takes the path"),
        ("file:///data/my%20homes.parquet", "a file of this machine is named by its path /data/my homes.parquet. It takes"),
        ("file://homes#1.parquet", "a file of this machine is named by its path. It takes"),
        ("wasbs://lake@account.blob.core.windows.net/t.csv", "has addresses of the form abfs://CONTAINER@ACCOUNT"),
        ("abfs://Lake@account.dfs.core.windows.net/t.csv", "with small letters"),
        ("abfs://@account.dfs.core.windows.net/t.csv", "takes abfs://CONTAINER@ACCOUNT"),
        (f"abfs://lake@account.dfs.core.windows.net/t.csv?sig={SECRET}", "Keys come from the environment: set AZURE_STORAGE_KEY"),
        ("s3a://lake/t.csv", "Did you mean 's3'?"),
        ("s3://", "names no bucket"),
        ("s3:///t.csv", "names no bucket"),
        ("s3://lake//t.csv", "has an empty part"),
        ("s3://lake@account/t.csv", "takes s3://BUCKET/KEY"),
        ("abfs://lake/t.csv", "takes abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH"),
        (f"s3://key:{SECRET}@lake/t.csv", "takes no keys and no options"),
        (f"s3://lake/t.csv?access_key=a&secret_key={SECRET}", "takes no keys and no options"),
        ("s3://lake/t.csv?region=eu-west-1", "takes no keys and no options"),
        (f"https://lake.example/t.csv?X-Amz-Signature={SECRET}", "no table can be read from https://"),
        ("sql:", "not a query"),
        ("sql:DROP TABLE homes", "not a query. It takes one statement that reads"),
        ("sql:/* SELECT */ DELETE FROM homes", "not a query"),
        (f"sql:SELECT * FROM dblink('host=h password={SECRET}', 'SELECT 1')", "the query holds a password"),
        (f"sql:SELECT * FROM dblink($$host=h password={SECRET}$$, 'SELECT 1')", "the query holds a password"),
        (f"sql:SELECT * FROM dblink($a$host=h\npassword = {SECRET}$a$, 'SELECT 1')", "the query holds a password"),
        (f"sql:SELECT * FROM postgres_scan('postgresql://me:{SECRET}@h/d', 'public', 't')", "the query holds a password"),
    ],
)
def test_refuses_what_is_no_location_or_holds_a_secret(name: str, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make_settings(dataset=name, target="price")
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)


def test_reads_a_statement_without_its_end() -> None:
    assert read_query(" SQL: SELECT 1 ;; \n") == "SELECT 1"


def test_settings_load_no_arrow() -> None:
    heavy = "{'pyarrow', 'pandas', 'fsspec'}"
    code = f"import sys, boostlab.training.settings, boostlab.scoring.settings; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
