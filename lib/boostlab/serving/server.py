"""The server's command: worker processes that share a port and a model, and a graceful stop.

The parent loads the model and then forks. So the model is in memory once, and workers start at once.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from boostlab.serving.app import App
from boostlab.serving.log import write_line
from boostlab.serving.metrics import Metrics
from boostlab.serving.model import ServedModel
from boostlab.serving.protocol import GuardedProtocol
from boostlab.serving.settings import (
    PREFIX,
    ServerSettings,
    ServingError,
    check_certificate,
    read_keys,
    read_settings,
    tabulate_settings,
)
from boostlab.serving.shared_port import is_closed, join, listen
from boostlab.serving.workers import WorkerPool

TICK_S = 0.1  # uvicorn calls on_tick this often


def main(arguments: list[str] | None = None) -> None:
    """Serve the model in a folder until SIGTERM or Ctrl-C."""
    variables = "\n".join(f"  {name:<26} {meaning} (default: {default})" for name, default, meaning in tabulate_settings())
    parser = argparse.ArgumentParser(
        prog="python -m boostlab.serving",
        description="Serve a model made by boostlab.",
        epilog=f"environment variables:\n{variables}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="an MLflow Model: the folder that contains MLmodel")
    parser.add_argument("command", nargs="?", choices=["serve"], help="SageMaker adds it; it changes nothing")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", help="port to listen on; 0: any free one")
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the first process of a container has no default
    given = {f"{PREFIX}{name.upper()}": getattr(args, name) for name in ("host", "port") if getattr(args, name) is not None}
    try:
        settings = read_settings({**os.environ, **given})
        keys = read_keys(settings)
        check_certificate(settings)
        model = ServedModel(args.folder, threads=settings.threads, max_cells=settings.max_cells)
        sockets = open_sockets(settings)
    except ServingError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.exit(serve(model, sockets, settings, keys))


def open_sockets(settings: ServerSettings) -> list[socket.socket]:
    """Return a listening socket for each worker, all on one port.

    With one socket per worker, the kernel distributes connections evenly. With a shared socket, the worker that wakes up first
    takes all waiting connections.

    Raises
    ------
    ServingError
        If the address is in use or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))  # fails if any server listens there, even one of ours
            port = probe.getsockname()[1]
        return [listen(settings.host, port) for _ in range(settings.workers)]
    except OSError as error:
        reason = f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}."
        raise ServingError(f"{reason} Choose another port with BOOSTLAB_PORT or --port; 0 takes any free one.") from None


def serve(model: ServedModel, sockets: list[socket.socket], settings: ServerSettings, keys: Sequence[bytes]) -> int:
    """Run workers until a signal arrives. Return the exit code: 1 if no worker stays alive."""
    metrics = Metrics(settings.workers, {"model_id": model.info.model_id, "run_id": model.info.run_id})

    def make_app() -> App:
        model.warm_up()
        return App(model, settings, metrics, keys)

    pool = WorkerPool(
        lambda worker: _run_worker(worker, sockets, settings, make_app, metrics),
        kill_after_s=settings.drain_s + settings.stop_timeout_s + 5,
        listeners=sockets,
    )
    host, port = sockets[0].getsockname()[:2]
    write_line("info", message="serving", host=host, port=port)
    gc.freeze()  # existing objects stay: workers need not scan them, and so do not copy their pages
    failed = pool.run(settings.workers)
    write_line("info", message="stopped")
    return int(failed)


def _run_worker(
    worker: int, sockets: list[socket.socket], settings: ServerSettings, make_app: Callable[[], App], metrics: Metrics
) -> None:
    """Serve in a forked process until it is asked to stop; never return."""
    code = 1
    try:
        listener = sockets.pop(worker)
        for other in sockets:  # an open copy would accept connections for a worker that has stopped
            other.close()
        metrics.use_row(worker)
        logging.basicConfig(handlers=[_JsonLines()], level=logging.WARNING, force=True)
        app, path = make_app(), settings.shared_port
        holder, shared = join(path, worker=worker, workers=settings.workers) if path else (None, [])
        WorkerServer(configure(app, settings), app, settings.drain_s, holder).run(sockets=[listener, *shared])
        code = 0
    except Exception:
        logging.getLogger("boostlab").exception("the worker failed")
    finally:
        os._exit(code)


def configure(app: App, settings: ServerSettings) -> uvicorn.Config:
    """Return uvicorn's configuration of a worker."""
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        server_header=False,
        ssl_certfile=settings.tls_certificate_file or None,
        ssl_keyfile=settings.tls_key_file or None,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.stop_timeout_s,
    )
    config.guard = settings  # type: ignore[attr-defined]
    return config


class WorkerServer(uvicorn.Server):
    """A server that stops in two steps: it asks clients to reconnect, and closes connections later.

    If an idle connection were closed at once, a request that is already on its way would be lost.
    """

    def __init__(self, config: uvicorn.Config, app: App, drain_s: float, holder: socket.socket | None = None) -> None:
        super().__init__(config)
        self._app, self._drain_s, self._holder = app, drain_s, holder
        app.count_connections = lambda: len(self.server_state.connections)
        self._parent = os.getppid()
        self._close_at = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to drain."""
        if not self._app.draining:
            self._app.draining = True
            self._close_at = time.monotonic() + self._drain_s

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to close: the drain time is over, no client is connected, or the parent died."""
        stop = await super().on_tick(counter)
        if self._holder and (self._app.draining or is_closed(self._holder)):
            self._leave_shared_port()
        late_s = time.monotonic() - self._close_at
        idle = self._app.draining and not self.server_state.connections and late_s > TICK_S - self._drain_s
        return stop or late_s >= 0 or idle or os.getppid() != self._parent

    def _leave_shared_port(self) -> None:
        """Accept no more from the shared port: the server's successor does. Without its holder, the worker is started again."""
        for server in self.servers[1:]:
            server.close()
        self._holder = None
        self.handle_exit(signal.SIGTERM, None)


class _JsonLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        failure = {"traceback": logging.Formatter().formatException(record.exc_info)} if record.exc_info else {}
        write_line(record.levelname.lower(), message=record.getMessage(), **failure)
