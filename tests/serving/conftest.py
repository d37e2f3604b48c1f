"""Models and servers that the tests of the server share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.packages import Packaged
from tests.support.serving import ROW, serve

from boostlab.serving.inference import DATATYPES
from boostlab.serving.model import ServedModel

collect_ignore = ["clients"]  # programs with packages of their own


@pytest.fixture(scope="session")
def folder(package: Callable[[str], Packaged]) -> Path:
    """Return the MLflow Model of a classifier with columns of every type."""
    return package("own_classes")[0]


@pytest.fixture(scope="session")
def address(folder: Path) -> Iterator[str]:
    """Return the address of a server with default settings that does not log requests."""
    with serve(folder, log_requests=0) as found:
        yield found


@pytest.fixture(scope="session")
def strict_address(folder: Path) -> Iterator[str]:
    """Return the address of a server with small limits: 0.5 MB and 0.5 s."""
    with serve(folder, max_body_mb=0.5, header_timeout_s=0.5, body_timeout_s=0.5, log_requests=0) as found:
        yield found


@pytest.fixture(scope="session")
def as_tensors(folder: Path) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that makes tensors of the inference protocol from rows; the default is one row."""
    model = ServedModel(folder)

    def make(*rows: dict[str, Any]) -> list[dict[str, Any]]:
        found = rows or (ROW,)
        return [
            {
                "name": item.name,
                "shape": [len(found)],
                "datatype": DATATYPES[item.mlflow_type],
                "data": [row[item.name] for row in found],
            }
            for item in model.features
            if not item.optional or all(row.get(item.name) is not None for row in found)
        ]

    return make
