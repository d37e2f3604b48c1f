"""A running server of a model: its address, its health, and how to run one as a process of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from tenacity import RetryError, Retrying, retry_if_not_result, stop_after_delay, wait_fixed

from boostlab.errors import DeploymentError

START_TIMEOUT_S = 120.0
POLL_S = 0.05


@dataclass(frozen=True)
class Service:
    """A server: its base URL, the time until its first answer, and its container's name (empty for a process)."""

    address: str
    start_s: float
    name: str = ""


@contextmanager
def run_process(model: Path) -> Iterator[Service]:
    """Serve the MLflow Model in a folder as a process, without Docker, until the block ends.

    Raises
    ------
    DeploymentError
        If the server exits or does not answer in time.
    """
    started = time.monotonic()
    command = [sys.executable, "-m", "boostlab.serving", str(model), "--port", "0"]
    with tempfile.NamedTemporaryFile("r") as file:  # not a pipe: a full pipe that nobody reads would block the server
        process, log = subprocess.Popen(command, stdout=file.fileno(), stderr=file.fileno()), Path(file.name)

        def find_address() -> str:
            if process.poll() is not None:
                raise DeploymentError(explain())
            first, complete, _ = log.read_text(encoding="utf-8").partition("\n")
            if not complete or not first.startswith("{"):  # an error message precedes the exit
                return ""
            return f"http://127.0.0.1:{json.loads(first)['port']}"

        def explain() -> str:
            return f"The server does not start. Its log:\n{log.read_text(encoding='utf-8').strip()}"

        try:
            address = wait_until_healthy(find_address, explain=explain)
            yield Service(address, time.monotonic() - started)
        finally:
            process.terminate()
            process.wait()


def wait_until_healthy(find_address: Callable[[], str], *, explain: Callable[[], str], timeout_s: float = START_TIMEOUT_S) -> str:
    """Call `find_address` until a healthy server has the address that it returns, and return that address.

    Raises
    ------
    DeploymentError
        With the message of `explain`, after `timeout_s` seconds.
    """
    retrying = Retrying(stop=stop_after_delay(timeout_s), wait=wait_fixed(POLL_S), retry=retry_if_not_result(is_healthy))
    try:
        return retrying(find_address)
    except RetryError:
        raise DeploymentError(explain()) from None


def is_healthy(address: str) -> bool:
    """Tell whether a server's ``/health`` answers with status 200; an empty address has no server."""
    try:
        return requests.get(f"{address}/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False
