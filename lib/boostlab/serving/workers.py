"""Processes that do the same work: started, replaced when they die, told to stop, and killed if they do not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from boostlab.serving.app import write_line

EARLY_S = 5.0  # a worker that dies within this time of its start will not get better


class Crew:
    """Forked workers.

    Parameters
    ----------
    work : callable
        Takes a worker's number and never returns.
    patience_s : float
        Time from the signal to stop until those who are still there are killed.
    hang_up : callable
        Lets go of what the parent holds for workers to come, once there are none to come.
    """

    def __init__(self, work: Callable[[int], None], *, patience_s: float, hang_up: Callable[[], None]) -> None:
        self._work, self._patience_s, self._hang_up = work, patience_s, hang_up
        self._running: dict[int, tuple[int, float]] = {}
        self._stopping = False

    def run(self, workers: int) -> bool:
        """Keep workers at work until a signal comes; return whether they failed at once instead."""
        handlers = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGALRM: self._kill}
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for worker in range(workers):
            self._start(worker)
        failed = False
        while self._running:
            pid, status = os.waitpid(-1, 0)
            worker, since = self._running.pop(pid, (-1, 0.0))  # the first process of a container inherits orphans
            if self._stopping or worker < 0:
                continue
            write_line({"time": round(time.time(), 3), "level": "error", "message": "a worker died", "status": status})
            failed = time.monotonic() - since < EARLY_S
            if failed:
                self._stop()
            else:
                self._start(worker)
        return failed

    def _start(self, worker: int) -> None:
        signals = {signal.SIGTERM, signal.SIGINT, signal.SIGALRM}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # none may come between the fork and its note
        pid = 0 if self._stopping else os.fork()
        if pid:
            self._running[pid] = worker, time.monotonic()
        elif not self._stopping:
            for number in signals:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
            self._work(worker)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)

    def _stop(self, *_: Any) -> None:
        self._stopping = True
        self._hang_up()
        signal.setitimer(signal.ITIMER_REAL, self._patience_s)
        for pid in self._running:
            os.kill(pid, signal.SIGTERM)

    def _kill(self, *_: Any) -> None:
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
