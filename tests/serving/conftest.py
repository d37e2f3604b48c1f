"""Models and servers that the tests of the server share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.packages import Packaged
from tests.support.serving import serve


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
