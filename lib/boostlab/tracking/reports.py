"""Reports of a trial while it runs: a notebook reports a metric step by step, and the sweep may answer that the trial ends here.

The process that executes the trial's notebook listens on a Unix socket, which an environment variable of the kernel names.
Outside of a sweep there is none, and a report has no effect.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from boostlab.notebook.session import TRIAL_VARIABLE


def send(metric: str, value: float, *, step: int) -> Literal["prune", "go on"] | None:
    """Send a metric of a running trial to its sweep, and return the answer.

    Without a sweep, or if it asks for another metric, the answer is None.
    """
    given = os.environ.get(TRIAL_VARIABLE)
    trial = json.loads(given) if given else {}
    if metric != trial.get("metric"):
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(trial["socket"])
            connection.sendall(json.dumps({"step": step, "value": float(value)}).encode() + b"\n")
            answer = connection.makefile("rb").readline()
        except OSError:  # the sweep is gone: its courier ends the run
            return None
    return "prune" if answer == b"prune\n" else "go on"


@dataclass(frozen=True)
class Listener:
    """Where a trial's notebook reports to."""

    socket: Path
    metric: str  #: empty: none

    def variable(self) -> dict[str, str]:
        """Return the environment variable for the kernel."""
        return {TRIAL_VARIABLE: json.dumps({"socket": str(self.socket), "metric": self.metric})}


@contextlib.contextmanager
def listening(metric: str, answer: Callable[[int, float], bool], *, folder: Path) -> Iterator[Listener]:
    """Listen to one trial in a thread, until the context is left.

    Parameters
    ----------
    answer : callable
        Gets step and value of each report, and returns whether the trial should end here.
    folder : pathlib.Path
        For the socket: its path must be short. It is removed at the end.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(folder / "trial"))
        server.listen()
        thread = threading.Thread(target=_serve, args=[server, answer], name="boostlab-reports", daemon=True)
        thread.start()
        try:
            yield Listener(folder / "trial", metric)
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join()
            shutil.rmtree(folder, ignore_errors=True)


def _serve(server: socket.socket, answer: Callable[[int, float], bool]) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # it was shut down
            return
        with connection, contextlib.suppress(OSError, ValueError):  # the kernel was killed
            given = json.loads(connection.makefile("rb").readline())
            connection.sendall(b"prune\n" if _decide(answer, given["step"], given["value"]) else b"go on\n")


def _decide(answer: Callable[[int, float], bool], step: int, value: float) -> bool:
    """Return the answer; without one, as the sweep is gone, the trial goes on."""
    try:
        return answer(step, value)
    except Exception as error:  # whatever the cluster raises: this thread must go on to listen
        logging.getLogger(__name__).warning("The report of step %s has no answer: %s: %s", step, type(error).__name__, error)
        return False
