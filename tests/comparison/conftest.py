"""Stores for the tests of comparisons: real ones of each kind, made once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers import serve_mlflow
from tests.support.stores import NewStore

from boostlab.tracking.store import find_store, open_store


@pytest.fixture
def client(store: str, tmp_path: Path) -> Any:
    """Return a client of an empty SQLite store of the test's own."""
    return open_store(find_store(store, project=tmp_path)).client


@pytest.fixture(scope="module", params=["sqlite", "file", "http"])
def client_of_each_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_store: NewStore
) -> Iterator[Any]:
    """Yield a client of a store of each kind, which the tests of a module share."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        if request.param == "http":
            address = stack.enter_context(serve_mlflow(folder, new_store))
        else:
            address = new_store(folder) if request.param == "sqlite" else f"file://{folder}/mlruns"
        yield open_store(find_store(address, project=folder)).client
