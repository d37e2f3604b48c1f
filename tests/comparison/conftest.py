"""Stores for the tests of comparisons: real ones of each kind, made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers import serve_mlflow

from boostlab.tracking.store import find_store, open_store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an empty SQLite store; tests copy it."""
    folder = tmp_path_factory.mktemp("empty")
    open_store(find_store(f"sqlite:///{folder}/mlflow.db", project=folder))
    return folder


@pytest.fixture
def client(empty_store: Path, tmp_path: Path) -> Any:
    """Return a client of an empty SQLite store of the test's own."""
    shutil.copytree(empty_store, tmp_path / "store")
    return open_store(find_store(f"sqlite:///{tmp_path}/store/mlflow.db", project=tmp_path)).client


@pytest.fixture(scope="module", params=["sqlite", "file", "http"])
def client_of_each_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Yield a client of a store of each kind, which the tests of a module share."""
    folder = tmp_path_factory.mktemp(request.param)
    addresses = {"sqlite": f"sqlite:///{folder}/mlflow.db", "file": f"file://{folder}/mlruns"}
    served: AbstractContextManager[str] = (
        serve_mlflow(folder) if request.param == "http" else nullcontext(addresses[request.param])
    )
    with served as address:
        yield open_store(find_store(address, project=folder)).client
