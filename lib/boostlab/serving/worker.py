"""One worker process: uvicorn on a listening socket of its own, and a graceful stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from types import FrameType

import uvicorn

from boostlab.serving.app import App
from boostlab.serving.log import write_line
from boostlab.serving.metrics import Metrics
from boostlab.serving.protocol import GuardedProtocol
from boostlab.serving.settings import ServerSettings
from boostlab.serving.shared_port import is_closed, join
from boostlab.serving.workers import LEAVE

TICK_S = 0.1  # uvicorn calls on_tick this often


def run_worker(
    place: int,
    sockets: list[socket.socket],
    settings: ServerSettings,
    make_app: Callable[[], App],
    metrics: Metrics,
    announce: Callable[[], object],
    parent: int,
) -> None:
    """Serve in a forked process until it is asked to stop, or the process of this number, which forked it, dies; never return."""
    code = 1
    worker = place % settings.workers
    try:
        listener = sockets.pop(worker)
        for other in sockets:  # an open copy would accept connections for a worker that has stopped
            other.close()
        metrics.use_row(place)
        logging.basicConfig(handlers=[_JsonLines()], level=logging.WARNING, force=True)
        app, path = make_app(), settings.shared_port
        say = partial(write_line, "warning", message="a worker waits for the process that holds the port", path=path)
        holder, shared = join(path, worker=worker, workers=settings.workers, say_waiting=say) if path else (None, [])
        WorkerServer(configure(app, settings), app, settings, announce, parent, holder).run(sockets=[listener, *shared])
        app.close()
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

    Parameters
    ----------
    announce : callable
        Called once the server listens.
    parent : int
        The number of the process that forked this one. It can be dead already.
    holder : socket or None
        The connection to the process that holds a shared port.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: App,
        settings: ServerSettings,
        announce: Callable[[], object],
        parent: int,
        holder: socket.socket | None = None,
    ) -> None:
        super().__init__(config)
        self._app, self._settings, self._announce, self._holder = app, settings, announce, holder
        self._is_replaced = False
        self.servers: list[asyncio.Server] = []
        signal.signal(LEAVE, self._be_replaced)
        app.count_connections = lambda: len(self.server_state.connections)
        self._parent, self._close_at = parent, float("inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and announce it. uvicorn sets no limit of time for TLS to be agreed on."""
        loop, make = asyncio.get_running_loop(), partial(GuardedProtocol, self.config, self.server_state, {})
        tls, limit_s = self.config.ssl, self._settings.header_timeout_s
        for one in sockets or []:
            self.servers.append(
                await loop.create_server(make, sock=one, backlog=self.config.backlog, ssl=tls, ssl_handshake_timeout=limit_s)
                if tls
                else await loop.create_server(make, sock=one, backlog=self.config.backlog)
            )
        self.started = True
        self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to drain."""
        if not self._app.draining:
            self._app.draining = True
            self._close_at = time.monotonic() + self._settings.drain_s

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to close: the drain time is over, no client is connected, or the parent died."""
        stop = await super().on_tick(counter)
        if self._is_replaced:
            self._leave(self.servers)
        elif self._holder and (self._app.draining or is_closed(self._holder)):
            self._leave(self.servers[1:])
        late_s = time.monotonic() - self._close_at
        idle = self._app.draining and not self.server_state.connections and late_s > TICK_S - self._settings.drain_s
        return stop or late_s >= 0 or idle or os.getppid() != self._parent

    def _be_replaced(self, *_: object) -> None:
        self._is_replaced = True

    def _leave(self, ports: list[asyncio.Server]) -> None:
        """Accept no more from ports where a successor does. A worker whose port's holder died is started again."""
        for server in ports:
            server.close()
        self._holder = None
        self.handle_exit(LEAVE, None)


class _JsonLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        failure = {"traceback": logging.Formatter().formatException(record.exc_info)} if record.exc_info else {}
        write_line(record.levelname.lower(), message=record.getMessage(), **failure)
