"""Fixtures of the registry's tests: one store of each scheme for the session, and a model name of each test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.registry import copy_version
from tests.support.servers import serve_mlflow
from tests.support.stores import NewStore

from boostlab.registry.transition import apply_transition, request_transition
from boostlab.registry.view import ModelView, view_model
from boostlab.tracking.store import find_store, open_store


@pytest.fixture(scope="session", params=["sqlite", "file", "http"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> Iterator[str]:
    """Yield the address of a store of each scheme."""
    folder = tmp_path_factory.mktemp("stores")
    if request.param == "http":
        with serve_mlflow(folder, new_store) as served:
            yield served
    else:
        yield new_store(folder) if request.param == "sqlite" else str(folder / "mlruns")


@pytest.fixture(scope="session")
def client(address: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a plain MLflow client of the store."""
    return open_store(find_store(address, project=tmp_path_factory.mktemp("project"))).client


@pytest.fixture(scope="session")
def local_client(tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> Any:
    """Return a client of a SQLite store, for tests that need no other scheme."""
    folder = tmp_path_factory.mktemp("local")
    return open_store(find_store(new_store(folder), project=folder)).client


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of a model of the test's own."""
    return f"{request.node.originalname}-{os.urandom(4).hex()}"


@pytest.fixture(scope="session")
def staged(local_client: Any) -> ModelView:
    """Return a model with version 1 in test and version 2 in no stage."""
    for _ in range(2):
        copy_version(local_client, "requested")
    request = request_transition(view_model(local_client, "requested"), "promote", version=1, stage="test", reason="new")
    return apply_transition(local_client, request, who="ana")[1]
