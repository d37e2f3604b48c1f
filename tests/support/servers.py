"""Servers on loopback, for tests: MLflow's own, each a real process that ends with the block."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from tests.support.stores import NewStore
from tests.support.waiting import TIMEOUT_S, wait_until

MLFLOW = [sys.executable, "-m", "mlflow"]


@contextmanager
def serve_mlflow(folder: Path, new_store: NewStore) -> Iterator[str]:
    """Serve an empty store that lies in a folder, and yield its address once it answers."""
    kept = ["--backend-store-uri", new_store(folder), "--artifacts-destination", str(folder / "kept")]
    with _serve([*MLFLOW, "server", *kept], "/health") as address:
        yield address


@contextmanager
def serve_model(model: str, store: str) -> Iterator[str]:
    """Serve a model as ``mlflow models serve`` does, and yield its address once it answers."""
    with _serve(
        [*MLFLOW, "models", "serve", "-m", model, "--env-manager", "local"], "/ping", MLFLOW_TRACKING_URI=store
    ) as address:
        yield address


@contextmanager
def _serve(command: list[str], health: str, **env: str) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: process.poll() is not None or _answers(f"{address}{health}"), TIMEOUT_S)
        assert process.poll() is None, f"it ended: {' '.join(command)}"
        yield address
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False
