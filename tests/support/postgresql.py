"""A PostgreSQL server for tests: a process of the system's package, with files in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers import free_port
from tests.support.waiting import wait_until

NewDatabase = Callable[..., str]
USER, PASSWORD = "lab", "pg-s3cret"
SETTINGS = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"]


@pytest.fixture(scope="session")
def new_database() -> Iterator[NewDatabase]:
    """Return a function that makes a database and returns its address; skipped where PostgreSQL is not installed.

    The database is empty, or with `made` an empty store: MLflow takes seconds to make its tables, so all are copies of one.
    """
    if find_program("initdb") is None:
        pytest.skip("no PostgreSQL here: install the system's package `postgresql` to run the tests with a database server")
    with serve_postgresql() as address:
        import psycopg

        def execute(statement: Any) -> None:
            with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
                connection.execute(statement)

        @cache
        def make_template() -> str:
            execute("CREATE DATABASE template_store")
            command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"{address}/template_store"]
            subprocess.run(command, check=True, capture_output=True)  # a process of its own: no copy of a database in use
            return "TEMPLATE template_store"

        def create(*, made: bool = False) -> str:
            name = f"d{os.urandom(6).hex()}"
            execute(f"CREATE DATABASE {name} {make_template() if made else ''}")
            return f"{address}/{name}"

        yield create


@contextmanager
def serve_postgresql() -> Iterator[str]:
    """Serve a new cluster, and yield the address of its server, without a database's name, once it answers."""
    import psycopg

    initdb, postgres = find_program("initdb"), find_program("postgres")
    assert initdb and postgres
    account = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses root
    folder = Path(tempfile.mkdtemp(prefix="boostlab-pg-"))  # a path of pytest is closed to other users, and too long for a socket
    process = None
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if account:
            for path in (folder, secret):
                shutil.chown(path, account)
        make = [initdb, "-D", str(folder / "data"), "-U", USER, f"--pwfile={secret}", "--auth=scram-sha-256", "--no-sync"]
        subprocess.run(make, user=account, check=True, capture_output=True)
        port = free_port()
        command = [postgres, "-D", str(folder / "data"), "-p", str(port), "-k", str(folder), *SETTINGS]
        process = subprocess.Popen(command, user=account, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        address = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}"

        def answers() -> bool:
            with suppress(psycopg.OperationalError):
                psycopg.connect(f"{address}/postgres").close()
                return True
            return False

        wait_until(answers)
        yield address
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # a fast shutdown; SIGTERM waits for clients
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def find_program(program: str) -> str | None:
    """Return the path of a program of PostgreSQL; Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True)
    return str(found[0]) if found else shutil.which(program)
