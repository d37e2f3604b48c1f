"""A running server of a model: its address, its health, and how to run one as a process of this machine."""

from __future__ import annotations

import os
import re
import shutil
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
from boostlab.models.signature import state_types

STOCK_APP = "mlflow.pyfunc.scoring_server.app:app"
LISTENS = re.compile(r'^\{.*"port": ?(?P<lean>\d+).*\n|running on http://127\.0\.0\.1:(?P<stock>\d+) ')  # in a server's log
START_TIMEOUT_S = 120.0
POLL_S = 0.05


@dataclass(frozen=True)
class Service:
    """A server: its base URL, the time until its first answer, and its container's name (empty for a process)."""

    address: str
    start_s: float
    name: str = ""


@contextmanager
def run_process(model: Path, *, trust_code: bool = False) -> Iterator[Service]:
    """Serve the MLflow Model in a folder as a process, without Docker, until the block ends.

    Parameters
    ----------
    trust_code : bool
        Whether MLflow's server runs the model's own code. Otherwise the lean server answers, which runs none.

    Raises
    ------
    DeploymentError
        If the server exits or does not answer in time.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="boostlab-service-") as temporary:
        log = Path(temporary) / "log"  # not a pipe: a full pipe that nobody reads would block the server
        if trust_code:
            copy = shutil.copytree(model, Path(temporary) / "model")
            state_types(copy)
            command, env = ["uvicorn", STOCK_APP, "--port", "0"], os.environ | {"__pyfunc_model_path__": str(copy)}
        else:
            command, env = ["boostlab.serving", str(model), "--port", "0"], dict(os.environ)
        with log.open("wb") as output:
            process = subprocess.Popen([sys.executable, "-m", *command], stdout=output, stderr=output, env=env)

        def find_address() -> str:
            if process.poll() is not None:
                raise DeploymentError(explain())
            found = LISTENS.search(log.read_text(encoding="utf-8", errors="replace"))
            return f"http://127.0.0.1:{found['lean'] or found['stock']}" if found else ""

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
