"""A pool of worker processes: started, restarted when they die, asked to stop, and killed if they do not stop in time."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from boostlab.serving.log import write_line

EARLY_S = 5.0  # a worker that dies this soon after its start is restarted after a pause
MOST_EARLY = 3  # such deaths one after another, while no other worker is older, end the server
LONGEST_PAUSE_S = 5.0


class WorkerPool:
    """Forked workers.

    Parameters
    ----------
    work : callable
        Takes a worker's number and never returns.
    kill_after_s : float
        Seconds between the stop signal and SIGKILL for workers that still run.
    listeners : sequence of socket
        The parent's listening sockets; closed when no worker will be started again.
    """

    def __init__(self, work: Callable[[int], None], *, kill_after_s: float, listeners: Sequence[socket.socket]) -> None:
        self._work, self._kill_after_s, self._listeners = work, kill_after_s, listeners
        self._running: dict[int, tuple[int, float]] = {}
        self._early: Counter[int] = Counter()  # early deaths of each worker, one after another
        self._stopping = False

    def run(self, workers: int) -> bool:
        """Keep workers running until a signal arrives; return True if none stays alive instead.

        A request that ends a worker twice must not take down the healthy ones.
        """
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
            write_line("error", message="a worker died", status=status)
            now = time.monotonic()
            self._early[worker] = self._early[worker] + 1 if now - since < EARLY_S else 0
            is_alone = all(now - other < EARLY_S for _, other in self._running.values())
            failed = self._early[worker] >= MOST_EARLY and is_alone
            if failed:
                self._stop()
            else:
                self._start(worker)
        signal.setitimer(signal.ITIMER_REAL, 0)  # after the last worker, the alarm would end this process
        return failed

    def _start(self, worker: int) -> None:
        signals = {signal.SIGTERM, signal.SIGINT, signal.SIGALRM}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # a signal must not arrive before the new process is in `_running`
        pid = 0 if self._stopping else os.fork()
        if pid:
            self._running[pid] = worker, time.monotonic()
        elif not self._stopping:
            for number in signals:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
            if self._early[worker]:
                time.sleep(min(0.1 * 2 ** self._early[worker], LONGEST_PAUSE_S))
            self._work(worker)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)

    def _stop(self, *_: Any) -> None:
        self._stopping = True
        for listener in self._listeners:
            listener.close()
        signal.setitimer(signal.ITIMER_REAL, self._kill_after_s)
        for pid in self._running:
            os.kill(pid, signal.SIGTERM)

    def _kill(self, *_: Any) -> None:
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
