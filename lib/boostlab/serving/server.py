"""The server's command: workers that share a port and a model, ended with grace.

The parent loads the model and forks, so that it lies in memory once and the workers are there at once.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType

import uvicorn

from boostlab.serving.app import App, write_line
from boostlab.serving.metrics import Metrics
from boostlab.serving.model import ServedModel
from boostlab.serving.protocol import GuardedProtocol
from boostlab.serving.settings import ServerSettings, ServingError, read_settings, tabulate_settings
from boostlab.serving.workers import Crew

TICK_S = 0.1  # how often uvicorn looks whether to stop


def main(arguments: list[str] | None = None) -> None:
    """Serve the model in a folder until SIGTERM or Ctrl-C."""
    variables = "\n".join(f"  {name:<26} {meaning} (default: {default})" for name, default, meaning in tabulate_settings())
    parser = argparse.ArgumentParser(
        prog="python -m boostlab.serving",
        description="Serve a model that boostlab made.",
        epilog=f"environment variables:\n{variables}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="an MLflow Model: the folder with MLmodel in it")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on; 0: any free one")
    given = parser.parse_args(arguments)
    try:
        chosen = {name: getattr(given, name) for name in ("host", "port") if getattr(given, name) is not None}
        settings = replace(read_settings(os.environ), **chosen)
        model = ServedModel(given.folder, threads=settings.threads)
        sockets = open_sockets(settings)
    except ServingError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.exit(serve(model, sockets, settings))


def open_sockets(settings: ServerSettings) -> list[socket.socket]:
    """Return a listening socket for each worker, all on one port.

    With a socket each, the kernel deals out connections evenly; of a shared one, the worker that wakes up first takes all
    that there are.

    Raises
    ------
    ServingError
        If the address is taken or not of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))  # fails if anybody listens there, be it a server like this one
            port = probe.getsockname()[1]
        return [_listen(family, settings.host, port) for _ in range(settings.workers)]
    except OSError as error:
        reason = f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}."
        raise ServingError(f"{reason} Choose another port: BOOSTLAB_PORT or --port; 0 takes any free one.") from None


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((host, port))
    made.listen(2048)
    made.setblocking(False)
    return made


def serve(model: ServedModel, sockets: list[socket.socket], settings: ServerSettings) -> int:
    """Run workers until a signal, and return an exit code: 1 if they keep dying."""
    metrics = Metrics(settings.workers, {"model_id": model.card.model_id, "run_id": model.card.run_id})
    patience_s = settings.drain_s + settings.stop_timeout_s + 5

    def hang_up() -> None:
        for each in sockets:
            each.close()

    crew = Crew(lambda worker: _work(worker, model, sockets, settings, metrics), patience_s=patience_s, hang_up=hang_up)
    host, port = sockets[0].getsockname()[:2]
    write_line({"time": round(time.time(), 3), "level": "info", "message": "serving", "host": host, "port": port})
    gc.freeze()  # what is there now stays: workers need neither look through it nor copy it
    failed = crew.run(settings.workers)
    write_line({"time": round(time.time(), 3), "level": "info", "message": "stopped"})
    return int(failed)


def _work(worker: int, model: ServedModel, sockets: list[socket.socket], settings: ServerSettings, metrics: Metrics) -> None:
    """Be a worker; never returns."""
    code = 1
    try:
        listener = sockets.pop(worker)
        for other in sockets:  # it would go on taking connections for a worker that has hung up
            other.close()
        metrics.take_row(worker)
        model.warm_up()
        _log_as_json()
        app = App(model, settings, metrics)
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
            limit_concurrency=settings.connections,
            timeout_keep_alive=settings.keep_alive_s,
            timeout_graceful_shutdown=settings.stop_timeout_s,
        )
        config.header_timeout_s = settings.header_timeout_s  # type: ignore[attr-defined]
        WorkerServer(config, app, settings.drain_s).run(sockets=[listener])
        code = 0
    except Exception:
        logging.getLogger("boostlab").exception("the worker failed")
    finally:
        os._exit(code)


class WorkerServer(uvicorn.Server):
    """A server that, asked to stop, first tells its clients to go, and only then hangs up.

    An idle connection that is closed at once may carry a request that is already on its way, which would be lost.
    """

    def __init__(self, config: uvicorn.Config, app: App, drain_s: float) -> None:
        super().__init__(config)
        self._app, self._drain_s = app, drain_s
        self._parent = os.getppid()
        self._leave_at = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        if not self._app.draining:
            self._app.draining = True
            self._leave_at = time.monotonic() + self._drain_s

    async def on_tick(self, counter: int) -> bool:
        """Tell whether it is time to close: clients had their time, or there are none, or the parent is gone."""
        over = await super().on_tick(counter)
        waited = time.monotonic() - self._leave_at
        alone = self._app.draining and not self.server_state.connections and waited > TICK_S - self._drain_s
        return over or waited >= 0 or alone or os.getppid() != self._parent


class _JsonLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        line = {"time": round(record.created, 3), "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = logging.Formatter().formatException(record.exc_info)
        write_line(line)


def _log_as_json() -> None:
    logging.basicConfig(handlers=[_JsonLines()], level=logging.WARNING, force=True)
