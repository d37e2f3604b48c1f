"""Tracking stores for tests, and what tests look up in them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

NewStore = Callable[[Path], str]


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> NewStore:
    """Return a function that puts an empty SQLite store, ``mlflow.db``, into a folder and returns its address.

    MLflow makes some fifty tables in each new store, which takes seconds. All workers copy one store instead.
    """
    shared = tmp_path_factory.getbasetemp()
    shared = shared if worker_id == "master" else shared.parent
    made = shared / "empty_store" / "mlflow.db"
    with FileLock(shared / "empty_store.lock"):
        if not made.exists():
            from boostlab.tracking.store import find_store, open_store

            made.parent.mkdir()
            open_store(find_store(f"sqlite:///{made}", project=made.parent))

    def copy(folder: Path) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        database = folder / made.name
        shutil.copy(made, database)
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE experiments SET artifact_location = ?", [f"{(folder / 'mlartifacts').as_uri()}/0"])
        return f"sqlite:///{database}"

    return copy


def all_runs(client: Any) -> list[Any]:
    """Return all runs of a store, the newest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, order_by=["start_time DESC"]))


def only_run(client: Any) -> Any:
    """Return the one run of a store."""
    (run,) = all_runs(client)
    return run


def artifacts(client: Any, run_id: str, folder: str | None = None) -> set[str]:
    """Return the paths of a run's artifacts."""
    found: set[str] = set()
    for item in client.list_artifacts(run_id, folder):
        found |= artifacts(client, run_id, item.path) if item.is_dir else {item.path}
    return found


def read_artifact(client: Any, run_id: str, path: str) -> str:
    """Return the text of an artifact."""
    return Path(client.download_artifacts(run_id, path)).read_text(encoding="utf-8")
