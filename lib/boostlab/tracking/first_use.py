"""The first use of a database: one process at a time makes its tables, because several would crash."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from platformdirs import user_state_path

from boostlab.tracking.relocation import find_moves

if TYPE_CHECKING:
    from boostlab.tracking.store import Store

LOCK_TIMEOUT_S = 600.0  # the holder makes tables; the lock ends with its process
POSTGRESQL_LOCK = 0x626F6F7374  # "boost"
MADE = "SELECT 1 FROM experiments LIMIT 1"


@contextmanager
def alone_while_new(store: Store) -> Iterator[None]:
    """Let one process at a time open a database until its tables are made; a server makes its own."""
    if store.scheme in ("http", "https") or is_ready(store):
        yield
    elif store.scheme == "postgresql":
        with _lock_postgresql(store):
            yield
    else:
        with FileLock(_lock_path(store), timeout=LOCK_TIMEOUT_S):
            yield


def is_ready(store: Store) -> bool:
    """Tell whether a SQLite store was made completely, and not moved since. MLflow adds the default experiment last."""
    if store.scheme != "sqlite" or find_moves(store.path, store.artifact_root):
        return False
    try:
        with closing(sqlite3.connect(f"{store.path.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(MADE).fetchone() is not None
    except sqlite3.Error:
        return False


@contextmanager
def _lock_postgresql(store: Store) -> Iterator[None]:
    """Hold a lock of the database, which all hosts share, unless its tables are made; the lock ends with its connection."""
    import sqlalchemy

    with sqlalchemy.create_engine(store.uri, poolclass=sqlalchemy.NullPool).connect() as connection:
        try:
            is_made = connection.execute(sqlalchemy.text(MADE)).first() is not None
        except sqlalchemy.exc.ProgrammingError:  # there is no table yet
            is_made = False
        connection.rollback()  # a transaction that has read the table would block the change of the table
        if not is_made:
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({POSTGRESQL_LOCK})"))
            connection.commit()
        yield


def _lock_path(store: Store) -> Path:
    if store.scheme == "sqlite":
        return store.path.with_name(store.path.name + ".lock")
    folder = user_state_path("boostlab", ensure_exists=True)
    return folder / f"store-{hashlib.sha256(store.uri.encode()).hexdigest()[:16]}.lock"
