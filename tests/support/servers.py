"""Servers on loopback, for tests: MLflow's own, each a real process that ends with the block."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from tests.support.stores import NewStore
from tests.support.waiting import TIMEOUT_S, wait_until

MLFLOW = [sys.executable, "-m", "mlflow"]


@contextmanager
def serve_mlflow(folder: Path, new_store: NewStore) -> Iterator[str]:
    """Serve an empty store that lies in a folder, and yield its address once it answers."""
    with serve_database(new_store(folder), "--artifacts-destination", str(folder / "kept")) as address:
        yield address


@contextmanager
def serve_database(database: str, *options: str, authority: str = "", host: str = "127.0.0.1", **env: str) -> Iterator[str]:
    """Serve a database with MLflow's server, and yield the address once it answers; with TLS, `authority` is a file."""
    command = [*MLFLOW, "server", "--backend-store-uri", database, *options]
    with serve_command(command, "/health", authority=authority, host=host, **env) as address:
        yield address


@contextmanager
def serve_model(model: str, store: str) -> Iterator[str]:
    """Serve a model as ``mlflow models serve`` does, and yield its address once it answers."""
    with serve_command(
        [*MLFLOW, "models", "serve", "-m", model, "--env-manager", "local"], "/ping", MLFLOW_TRACKING_URI=store
    ) as address:
        yield address


@contextmanager
def serve_command(
    command: list[str], health: str, *, authority: str = "", host: str = "127.0.0.1", log: str = os.devnull, **env: str
) -> Iterator[str]:
    """Run a server's command with options for a free port, and yield the address once it answers; `log` gets its output."""
    port = free_port()
    with Path(log).open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", host, "--port", str(port), "--workers", "1"],
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    address = f"{'https' if authority else 'http'}://{host}:{port}"
    try:
        wait_until(lambda: process.poll() is not None or _answers(f"{address}{health}", authority), TIMEOUT_S)
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


def listens(host: str, port: int) -> bool:
    """Tell whether someone accepts connections on a port."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def _answers(address: str, authority: str) -> bool:
    try:
        return requests.get(address, timeout=5, verify=authority or True).ok
    except requests.RequestException:
        return False


class Relay:
    """A server in front of another one: it notes requests and passes them on, but answers 403 if the path ends in `refused`.

    Attributes
    ----------
    received : list of str
        Method and path of each request.
    """

    def __init__(self, address: str, *, refused: str = "") -> None:
        self.target, self.refused, self.is_open = address, refused, not refused
        self.received: list[str] = []
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):  # one for each method of HTTP
                    return self._pass_on
                raise AttributeError(name)

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                relay.received.append(f"{self.command} {path}")
                if not relay.is_open and path.endswith(relay.refused):
                    self.send_response(403)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
                answer = requests.request(self.command, relay.target + self.path, data=body, headers=headers, timeout=TIMEOUT_S)
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Relay:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
