"""Paths, commands and small questions that many tests share."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
PAPERMILL = str(Path(sys.executable).with_name("papermill"))
BOOSTLAB = str(Path(sys.executable).with_name("boostlab"))
TIMEOUT_S = 600  # a stuck process, not a slow machine
PARAMETERS = """\
x: int = 1  # a number
experiment: str = "tiny"  # experiment
run_name: str = ""  # name
tracking_uri: str = ""  # store
"""


def all_runs(client: Any) -> list[Any]:
    """Return all runs of a store, the newest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, order_by=["start_time DESC"]))


def artifacts(client: Any, run_id: str, folder: str | None = None) -> set[str]:
    """Return the paths of a run's artifacts."""
    found: set[str] = set()
    for item in client.list_artifacts(run_id, folder):
        found |= artifacts(client, run_id, item.path) if item.is_dir else {item.path}
    return found


def read_artifact(client: Any, run_id: str, path: str) -> str:
    """Return the text of an artifact."""
    return Path(client.download_artifacts(run_id, path)).read_text(encoding="utf-8")


def free_port() -> int:
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until(condition: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> Any:
    """Wait until `condition` gives something true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found
