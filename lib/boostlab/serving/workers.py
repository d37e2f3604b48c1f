"""A pool of worker processes: started, restarted when they die, replaced, asked to stop, and killed if they do not stop."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from boostlab.serving.log import write_line

EARLY_S = 5.0  # a worker that dies this soon after its start is restarted after a pause
MOST_EARLY = 3  # such deaths one after another, while no other worker is older, end the server
LONGEST_PAUSE_S = 5.0
LEAVE = signal.SIGUSR1  # tells a worker that another one accepts its connections
SIGNALS = frozenset([signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD])
READY = 128  # in the pipe of signals, beyond their numbers

Work = Callable[[int, Callable[[], object]], None]


@dataclass
class _Worker:
    number: int
    since: float
    role: Literal["serves", "comes", "leaves"]


class WorkerPool:
    """Forked workers.

    Parameters
    ----------
    kill_after_s : float
        Seconds between the request to end and SIGKILL for workers that still run.
    listeners : sequence of socket
        The parent's listening sockets; closed when no worker will be started again.
    load : callable or None
        Returns the work of new workers, which replace the present ones, on SIGHUP. The pool notes the signal from now on.
        None: SIGHUP ends the pool's process.
    report : callable
        Takes the reason why no new workers replaced the present ones; empty if they did.

    Attributes
    ----------
    work : callable
        What the workers do. It takes a worker's place and a function to call once it serves, and never returns. A place is a
        number below twice the number of workers. A worker and the one that replaces it have places that differ by that number.
        The pool alone should keep it: with it goes the model that is replaced.
    """

    def __init__(
        self,
        *,
        kill_after_s: float,
        listeners: Sequence[socket.socket],
        load: Callable[[], Work] | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._kill_after_s, self._listeners = kill_after_s, listeners
        self._load, self._report = load, report
        self._running: dict[int, _Worker] = {}
        self._early: Counter[int] = Counter()  # early deaths of each worker, one after another
        self._count = self._generation = self._attempt = self._ready = 0
        self.work: Work
        self._next: Work | None = None  # while its workers start
        self._stopping = self._failed = self._wants_reload = False
        self._events, self._wakeup = os.pipe()
        os.set_blocking(self._wakeup, False)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        if load:
            signal.signal(signal.SIGHUP, lambda *_: None)  # Python writes the number into the pipe

    def run(self, workers: int) -> bool:
        """Keep workers running until a signal arrives; return True if none stays alive instead.

        A request that ends a worker twice must not take down the healthy ones.
        """
        self._count = workers
        react = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGALRM: self._kill, signal.SIGCHLD: self._reap}
        if self._load:
            react[signal.SIGHUP] = self._reload
        for number in react:
            signal.signal(number, lambda *_: None)
        for worker in range(workers):
            self._start(worker)
        while self._running:
            for event in os.read(self._events, 1024):
                if event in react:
                    react[signal.Signals(event)]()
                elif event == READY + self._attempt:
                    self._count_ready()
        signal.setitimer(signal.ITIMER_REAL, 0)  # after the last worker, the alarm would end this process
        return self._failed

    def _start(self, worker: int, new: Work | None = None) -> None:
        """Fork a worker, or with `new` work the one that is to replace it."""
        place = worker + self._count * ((self._generation + bool(new)) % 2)
        signals = SIGNALS | {signal.SIGHUP}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # a signal to the new process must not get into the pipe
        if pid := os.fork():
            self._running[pid] = _Worker(worker, time.monotonic(), "comes" if new else "serves")
        else:
            signal.set_wakeup_fd(-1)
            for number in signals:
                signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP and self._load else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
            if self._early[worker]:
                time.sleep(min(0.1 * 2 ** self._early[worker], LONGEST_PAUSE_S))
            event = bytes([READY + self._attempt]) if new else b""
            (new or self.work)(place, lambda: os.write(self._wakeup, event))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)

    def _reap(self) -> None:
        """Restart the workers that died. The first process of a container also inherits orphans."""
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            dead = self._running.pop(pid, None)
            if dead is None or self._stopping:
                continue
            if dead.role == "comes":
                self._give_up(f"a new worker ended before all were ready, with status {status}")
            elif dead.role == "serves":
                self._restart(dead, status)
        if self._wants_reload and all(each.role == "serves" for each in self._running.values()):
            self._reload()

    def _restart(self, dead: _Worker, status: int) -> None:
        write_line("error", message="a worker died", status=status)
        now = time.monotonic()
        self._early[dead.number] = self._early[dead.number] + 1 if now - dead.since < EARLY_S else 0
        is_alone = all(now - other.since < EARLY_S for other in self._running.values() if other.role == "serves")
        self._failed = self._early[dead.number] >= MOST_EARLY and is_alone
        if self._failed:
            self._stop()
        else:
            self._start(dead.number)

    def _reload(self) -> None:
        """Start workers that are to replace the present ones; while others leave, do so later."""
        if self._load is None or self._stopping:
            return
        self._wants_reload = any(each.role != "serves" for each in self._running.values())
        if self._wants_reload:
            return
        try:
            self._next = self._load()
        except Exception as error:  # whatever is wrong with it, the present ones go on
            self._report(str(error))
            return
        self._attempt, self._ready = (self._attempt + 1) % 100, 0
        for worker in range(self._count):
            self._start(worker, self._next)
        signal.setitimer(signal.ITIMER_REAL, self._kill_after_s)

    def _count_ready(self) -> None:
        """Replace the present workers once all new ones are ready."""
        self._ready += 1
        if self._next is None or self._ready < self._count:
            return
        self._retire("serves")
        for each in self._running.values():
            each.role = "serves" if each.role == "comes" else each.role
        self.work, self._next = self._next, None
        self._generation += 1
        self._early.clear()
        self._report("")

    def _give_up(self, reason: str) -> None:
        self._next = None
        self._retire("comes")
        self._report(reason)

    def _retire(self, role: Literal["serves", "comes"]) -> None:
        for pid, each in self._running.items():
            if each.role == role:
                each.role = "leaves"
                os.kill(pid, LEAVE)
        signal.setitimer(signal.ITIMER_REAL, self._kill_after_s)

    def _stop(self) -> None:
        self._stopping = True
        for listener in self._listeners:
            listener.close()
        signal.setitimer(signal.ITIMER_REAL, self._kill_after_s)
        for pid in self._running:
            os.kill(pid, signal.SIGTERM)

    def _kill(self) -> None:
        for pid, each in self._running.items():
            if self._stopping or each.role != "serves":
                os.kill(pid, signal.SIGKILL)
