"""The health check that a container runs: it follows the port, and fails as the server does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest
from tests.support.servers import free_port

from boostlab.serving import health


def check(**environment: object) -> int:
    env = os.environ | {name: str(value) for name, value in environment.items()}
    command = [sys.executable, "-IS", str(health.__file__)]
    return subprocess.run(command, env=env, capture_output=True, timeout=60, check=False).returncode


@pytest.mark.parametrize("variable", ["PORT", "BOOSTLAB_PORT", "AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT"])
def test_follows_the_port(variable: str, address: str) -> None:
    assert check(**{variable: urlsplit(address).port}) == 0


def test_ours_counts_first_and_an_address_of_kubernetes_does_not(address: str) -> None:
    port = urlsplit(address).port
    assert check(BOOSTLAB_PORT=port, PORT=free_port()) == 0
    assert check(BOOSTLAB_PORT="tcp://10.0.0.1:80", PORT=port) == 0


def test_fails_where_nobody_listens() -> None:
    assert check(PORT=free_port()) != 0


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b""])
def test_fails_where_the_server_does_not_answer_200(answer: bytes) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def respond() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.send(answer)

        thread = threading.Thread(target=respond)
        thread.start()
        assert check(PORT=listener.getsockname()[1]) == 1
        thread.join()
