"""A server as a process of this machine, and the wait for an answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.support.servers import free_port

from boostlab.deployment.service import is_healthy, run_process, wait_until_healthy
from boostlab.errors import DeploymentError


def test_serves_a_model_until_the_block_ends(package: Callable[[str], Any]) -> None:
    with run_process(package("iris")[0]) as service:
        assert is_healthy(service.address) and service.start_s > 0 and not service.name
        assert requests.get(f"{service.address}/ping", timeout=60).ok
    assert not is_healthy(service.address)


def test_shows_the_log_of_a_server_that_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=f"The server does not start(?s:.*){tmp_path}"), run_process(tmp_path):
        pass


def test_a_server_that_refuses_connections_is_not_healthy() -> None:
    assert not is_healthy(f"http://127.0.0.1:{free_port()}")


def test_waits_until_the_address_is_that_of_a_healthy_server(package: Callable[[str], Any]) -> None:
    with run_process(package("iris")[0]) as service:
        addresses = iter(["", f"http://127.0.0.1:{free_port()}", service.address])
        assert wait_until_healthy(lambda: next(addresses), explain=lambda: "late") == service.address


def test_explains_why_the_wait_was_too_long() -> None:
    with pytest.raises(DeploymentError, match="late"):
        wait_until_healthy(lambda: "", timeout_s=0.05, explain=lambda: "late")
