"""Queries as tables: the answer of DuckDB or PostgreSQL, kept in an unnamed file while it is read.

The answer is a snapshot: a second pass over it sees the same rows. It has an order: the one that the query states, else that of
its columns, so that the same rows are split in the same way each time.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NoReturn

import pyarrow as pa
import pyarrow.dataset as ds

from boostlab.data.answers import keep_answer
from boostlab.data.locations import read_query
from boostlab.data.settings import ReadSettings
from boostlab.data.storage import UnnamedFile
from boostlab.data.types import find_type
from boostlab.errors import DataError
from boostlab.redaction import environment_secrets, redact

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

CONNECT_S = 10
QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$\w*\$.*?\$\w*\$|--[^\n]*|/\*.*?\*/""", re.DOTALL)
LIMIT = re.compile(r"\b(limit|fetch\s+(first|next))\b", re.IGNORECASE)
SAMPLE = re.compile(r"\b(using\s+sample|tablesample)\b", re.IGNORECASE)
IN_BRACKETS = re.compile(r"\([^()]*\)")
ALONE = {  # DuckDB fetches nothing, and sees neither variables of Python nor secrets that it has kept
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "allow_persistent_secrets": "false",
}
CASTS = {"numeric": "::float8", "money": "::numeric::float8"} | dict.fromkeys(("uuid", "inet", "cidr", "macaddr"), "::text")
TEXTS = ("text", "varchar", "bpchar")
INSTALL = "pip install 'boostlab[sql]'"


def run_query(dataset: str, connection: str, read: ReadSettings) -> tuple[ds.Dataset, UnnamedFile]:
    """Return the answer of a query as a table, and the file that holds it and has to live as long.

    Parameters
    ----------
    dataset : str
        ``sql:`` and one statement that reads.
    connection : str
        The address of a PostgreSQL database; empty: DuckDB reads the files that the statement names.

    Raises
    ------
    DataError
        If the driver is not installed, the database cannot be reached, the statement does more than read or fails, two columns of
        the answer have one name, or the answer is larger than the settings allow.
    """
    statement = read_query(dataset)
    ordered = _states_order(statement)
    answer = _ask_postgresql(statement, connection, ordered=ordered) if connection else _ask_duckdb(statement, ordered=ordered)
    with answer as reader:
        return keep_answer(reader, read, "The answer of the query", fail=_fail)


def _states_order(statement: str) -> bool:
    """Tell whether a statement orders its rows; one that takes some rows without an order, also in brackets, is refused."""
    outer = QUOTED.sub(" ", statement)
    if SAMPLE.search(outer):
        raise DataError("The query has SAMPLE, which takes other rows each time. Leave it out, and select rows by a condition.")
    while inner := IN_BRACKETS.search(outer):
        _is_ordered(inner[0])
        outer = outer[: inner.start()] + " " + outer[inner.end() :]
    return _is_ordered(outer)


def _is_ordered(part: str) -> bool:
    ordered = re.search(r"\border\s+by\b", part, re.IGNORECASE) is not None
    if not ordered and LIMIT.search(part):
        raise DataError("The query has LIMIT without ORDER BY, which takes other rows each time. Add ORDER BY with a unique key.")
    return ordered


@contextmanager
def _ask_duckdb(statement: str, *, ordered: bool) -> Iterator[pa.RecordBatchReader]:
    try:
        import duckdb
    except ImportError:
        raise DataError(f"A query needs DuckDB, which is not installed: {INSTALL}.") from None
    with (
        tempfile.TemporaryDirectory(prefix="boostlab-") as folder,
        closing(duckdb.connect(config=ALONE | {"temp_directory": folder})) as base,
    ):
        try:
            base.execute("SET TimeZone = 'UTC'")
            if [item.type for item in base.extract_statements(statement)] != [duckdb.StatementType.SELECT]:
                raise DataError("The query is not one statement that reads. Write one SELECT.")
            _refuse_equal_names([name.lower() for name in base.sql(statement).columns])  # DuckDB makes no difference of case
            sorted_by_all = f"SELECT * FROM ({statement}\n) AS answer ORDER BY ALL"  # noqa: S608  # the user's own statement
            reader = base.sql(statement if ordered else sorted_by_all).to_arrow_reader()
        except duckdb.Error as error:
            _fail(error)
        yield reader


@contextmanager
def _ask_postgresql(statement: str, connection: str, *, ordered: bool) -> Iterator[pa.RecordBatchReader]:
    try:
        from adbc_driver_manager import Error
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise DataError(f"A query to PostgreSQL needs its driver, which is not installed: {INSTALL}.") from None
    try:
        base = dbapi.connect(_complete(connection), autocommit=True)
    except Error as error:
        _refuse_connection(connection, error)
    with closing(base), closing(base.cursor()) as cursor:
        try:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            cursor.execute(_wrap(statement, cursor, ordered=ordered))
            reader = cursor.fetch_record_batch()
        except Error as error:
            _fail(error)
        yield reader


def _complete(connection: str) -> str:
    """Return an address with a limit of the time to connect, unless the user sets one."""
    if "PGCONNECT_TIMEOUT" in os.environ or "connect_timeout=" in connection:
        return connection
    return f"{connection}{'&' if '?' in connection else '?'}connect_timeout={CONNECT_S}"


def _wrap(statement: str, cursor: Cursor, *, ordered: bool) -> str:
    """Return a statement whose answer has types that a model takes, in a stable order.

    As a part of another statement it cannot change anything. The driver gives exact numerics as text, and money in cents.
    """
    inner = f"({statement}\n) AS answer"
    schema = cursor.adbc_execute_schema(f"SELECT * FROM {inner}")  # noqa: S608  # the user's own statement
    _refuse_equal_names(schema.names)
    columns, keys = [], []
    for column in schema:
        kind = (column.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
        name = '"' + column.name.replace('"', '""') + '"'
        columns.append(f"{name}{CASTS.get(kind, '')} AS {name}")
        if kind in CASTS or find_type(column.type) != "other":
            keys.append(f'answer.{name} COLLATE "C"' if kind in TEXTS else f"answer.{name}")
    order = "" if ordered or not keys else f" ORDER BY {', '.join(keys)}"
    return f"SELECT {', '.join(columns)} FROM {inner}{order}"  # noqa: S608


def _refuse_equal_names(names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"The query gives more than one column {twice!r}. Name them: SELECT a.id AS first_id, b.id AS second_id …"
        )


def _fail(error: Exception) -> NoReturn:
    """Raise the error of a statement, as the database words it."""
    text = redact(str(error).partition("Query was:")[0].strip(), environment_secrets())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(("LINE ", "^"))]
    said = " ".join(lines[:3]).removeprefix("INVALID_ARGUMENT: ").removeprefix("NOT_FOUND: ")
    if "httpfs" in said:
        raise DataError(
            "The query names an address, and DuckDB reads files of this machine. Name the address as dataset, with where."
        )
    raise DataError(f"The query fails: {said}") from None


def _refuse_connection(connection: str, error: Exception) -> NoReturn:
    text = str(redact(str(error), environment_secrets()))
    said = " ".join(line.strip() for line in text.splitlines() if line.strip())
    said = said.partition("Failed to connect: ")[2] or said
    advice = "Check host, port, database and user."
    if re.search(r"password|authentication|no pg_hba", said):
        advice = "Set PGPASSWORD in the environment, or add a line to ~/.pgpass."
    raise DataError(f"The database {connection} cannot be opened: {said} {advice}") from None
