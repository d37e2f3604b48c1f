"""Couriers forked from one process that has loaded MLflow: a program that executes many notebooks loads it once.

The process is that of :mod:`boostlab.execution.courier_template_process`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from boostlab.execution.fingerprint import take_fingerprint, without_names
from boostlab.execution.forking import connect, end_template, find_origin, find_peer, start_template
from boostlab.execution.socket_folder import share_folder
from boostlab.tracking import environment
from boostlab.tracking.courier import CourierProcess, start_process


@dataclass
class Demand:
    """How many couriers were ordered from a template process."""

    ordered: int = 0
    cancelled: int = 0

    def is_open(self) -> bool:
        """Tell whether a courier was ordered and not cancelled."""
        return self.ordered > self.cancelled


class ForkedCourier:
    """A courier's process that a template forked. It is no child of this process, and ends when its work is done."""

    returncode = None

    def __init__(self, control: socket.socket, env: Mapping[str, str], demand: Demand) -> None:
        self._demand, self._is_cancelled = demand, False
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            orders, self.stdin = _make_pipe("w", theirs, ours)
            reports, self.stdout = _make_pipe("r", theirs, ours)
            socket.send_fds(control, [b"fork"], [orders.fileno(), reports.fileno()])
            ours.pop_all()  # they stay open: all went well
        demand.ordered += 1
        with contextlib.suppress(BrokenPipeError):  # the template has died: so does the courier
            self.stdin.write(json.dumps({"env": dict(env), "cwd": str(Path.cwd())}) + "\n")
            self.stdin.flush()

    def kill(self) -> None:
        """Send SIGKILL, or see to it that the process ends as soon as it begins; nobody may have read its reports."""
        self._demand.cancelled += not self._is_cancelled
        self._is_cancelled = True
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        poller = select.poll()
        poller.register(self.stdout, select.POLLIN)
        if poller.poll(0) and (line := self.stdout.readline()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(json.loads(line)["pid"], signal.SIGKILL)
            self.stdout.read()
        self.__exit__()

    def __enter__(self) -> ForkedCourier:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self.stdin, self.stdout):
            with contextlib.suppress(BrokenPipeError):
                file.close()


def _make_pipe(mode: Literal["r", "w"], theirs: contextlib.ExitStack, ours: contextlib.ExitStack) -> tuple[IO[bytes], IO[str]]:
    """Return the end of a courier and our end, which is opened in `mode`; the contexts close them."""
    reading, writing = os.pipe()
    if mode == "w":
        return theirs.enter_context(os.fdopen(reading, "rb", 0)), ours.enter_context(os.fdopen(writing, "w"))
    return theirs.enter_context(os.fdopen(writing, "wb", 0)), ours.enter_context(os.fdopen(reading))


class CourierTemplate:
    """Starts the couriers of a process, and forks them where that pays; many threads may share one.

    Couriers are forked from the second one with the same environment and the same packages on: many programs have no second one,
    and an environment that changes each time would need a new template each time. Those of a forked kernel come from the process
    that serves the kernel's owner, as long as the environment is the same.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: object = None  # the fingerprint of the last courier
        self._loaded: object = None  # that of the template
        self._control: socket.socket | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[..., object] | None = None
        self._demand = Demand()

    @property
    def pid(self) -> int | None:
        """Process id of the template, or None if none runs."""
        if self._popen is None:
            return None if self._loaded is None or self._control is None else find_peer(self._control)
        return None if self._popen.poll() is not None else self._popen.pid

    def start_courier(self, *, forks_first: bool = False) -> CourierProcess:
        """Start a courier's process.

        Parameters
        ----------
        forks_first : bool
            Whether the first one is forked too: there will be others, ordered by the kernel of the first one's run.
        """
        with self._lock:
            env = environment.outside()
            fingerprint = os.getpid(), take_fingerprint(env)
            may_start = forks_first or fingerprint == self._last
            self._last = fingerprint
            try:
                if fingerprint != self._loaded and not self._find_process(fingerprint, env, may_start=may_start):
                    return start_process()
                assert self._control is not None
                return ForkedCourier(self._control, env, self._demand)
            except OSError:  # the template has died since the last courier, or there is no space for a process
                self._loaded = None
                return start_process()

    def _find_process(self, fingerprint: tuple[int, str], env: dict[str, str], *, may_start: bool) -> bool:
        """Find a process that fits, or start one, and tell whether there is one."""
        name, origin = f"{fingerprint[1]}-couriers", find_origin()
        control, popen = connect(origin.parent / name) if origin else None, None
        if control is None:
            if not may_start:
                return False
            module, place = "boostlab.execution.courier_template_process", share_folder() / name
            control, popen = start_template(module, str(place), env=without_names(env), options=["-P"])
        if self._end is not None:
            self._end()
        self._control, self._popen, self._loaded, self._demand = control, popen, fingerprint, Demand()
        self._end = weakref.finalize(self, end_template, control, popen, os.getpid(), self._demand.is_open)
        return True


@functools.cache
def share_courier_template() -> CourierTemplate:
    """Return this process's template of couriers."""
    return CourierTemplate()


if hasattr(os, "register_at_fork"):  # another thread may hold the lock at that moment
    os.register_at_fork(after_in_child=share_courier_template.cache_clear)
