"""The server's command: worker processes that share a port and a model, and a graceful stop.

The parent loads the model and then forks. So the model is in memory once, and workers start at once.
"""

from __future__ import annotations

import argparse
import gc
import os
import socket
import sys
from pathlib import Path

from boostlab.serving.app import App
from boostlab.serving.log import write_line
from boostlab.serving.metrics import Metrics
from boostlab.serving.model import ServedModel
from boostlab.serving.rate import RateLimiter
from boostlab.serving.settings import (
    PREFIX,
    ServerSettings,
    ServingError,
    check_certificate,
    check_shared_port,
    read_keys,
    read_settings,
    tabulate_settings,
)
from boostlab.serving.shared_port import listen
from boostlab.serving.worker import run_worker
from boostlab.serving.workers import Work, WorkerPool


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
    given = {f"{PREFIX}{name.upper()}": getattr(args, name) for name in ("host", "port") if getattr(args, name) is not None}
    try:
        settings = read_settings({**os.environ, **given})
        check_shared_port(settings)
        sys.exit(serve(args.folder, settings))
    except ServingError as error:
        sys.exit(f"{type(error).__name__}: {error}")


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


def serve(folder: Path, settings: ServerSettings) -> int:
    """Run workers until a signal arrives. Return the exit code: 1 if no worker stays alive.

    Raises
    ------
    ServingError
        If the folder holds no model of boostlab, the files of keys or of TLS cannot be used, or the server cannot listen.
    """
    metrics = Metrics(2 * settings.workers, {})
    limiter = RateLimiter(settings.rate_limit, burst=settings.rate_burst) if settings.rate_limit else None
    sockets: list[socket.socket] = []
    parent = os.getpid()

    def load() -> Work:
        keys = read_keys(settings)
        check_certificate(settings)  # each worker reads it
        whole = folder.resolve()  # if it is a link that is changed meanwhile, all files are those of one model
        limits = {"max_cells": settings.max_cells, "max_contributions": settings.max_contributions}
        model = ServedModel(whole, threads=settings.threads, **limits)
        gc.freeze()  # existing objects stay: workers need not scan them, and so do not copy their pages

        def make_app() -> App:
            model.warm_up()
            metrics.labels = {"model_id": model.info.model_id, "run_id": model.info.run_id}
            return App(model, settings, metrics, keys, limiter)

        return lambda place, announce: run_worker(place, sockets, settings, make_app, metrics, announce, parent)

    def report(reason: str) -> None:
        metrics.count_reload("failed" if reason else "done")
        if reason:
            write_line("error", message="the model was not loaded anew, and the served one stays", reason=reason)
        else:
            write_line("info", message="the model was loaded anew")

    kill_after_s = settings.drain_s + settings.stop_timeout_s + 5
    pool = WorkerPool(kill_after_s=kill_after_s, listeners=sockets, load=load if settings.reload else None, report=report)
    pool.work = load()
    sockets += open_sockets(settings)
    host, port = sockets[0].getsockname()[:2]
    write_line("info", message="serving", host=host, port=port)
    failed = pool.run(settings.workers)
    write_line("info", message="stopped")
    return int(failed)
