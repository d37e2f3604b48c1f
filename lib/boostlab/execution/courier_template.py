"""Couriers forked from one process that has loaded MLflow: a program that executes many notebooks loads it once.

The process is that of :mod:`boostlab.execution.courier_template_process`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from boostlab.execution.fingerprint import take_fingerprint, without_names
from boostlab.tracking import environment
from boostlab.tracking.courier import CourierProcess, start_process

UMASK = re.compile(r"^Umask:\s*([0-7]+)$", re.MULTILINE)


class ForkedCourier:
    """A courier's process that a template forked. It is no child of this process, and ends when its work is done."""

    returncode = None

    def __init__(self, control: socket.socket, env: Mapping[str, str]) -> None:
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        self.stdin: IO[str] = os.fdopen(ours_in, "w")
        self.stdout: IO[str] = os.fdopen(ours_out)
        try:
            socket.send_fds(control, [b"fork"], [theirs_in, theirs_out])
        except OSError:
            self.__exit__()
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        umask = UMASK.search(Path("/proc/self/status").read_text())
        assert umask is not None
        with contextlib.suppress(BrokenPipeError):  # the template has died: so does the courier
            self.stdin.write(json.dumps({"env": dict(env), "cwd": str(Path.cwd()), "umask": int(umask[1], 8)}) + "\n")
            self.stdin.flush()

    def kill(self) -> None:
        """Send SIGKILL once it has begun, and wait for its end; nobody may have read its reports."""
        if line := self.stdout.readline():
            with contextlib.suppress(ProcessLookupError):
                os.kill(json.loads(line)["pid"], signal.SIGKILL)
            self.stdout.read()

    def __enter__(self) -> ForkedCourier:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self.stdin, self.stdout):
            with contextlib.suppress(BrokenPipeError):
                file.close()


class CourierTemplate:
    """Starts the couriers of a process, and from the second one on forks them; many threads may share one.

    The template process starts anew if it has died, or if the environment or an installed package has changed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_first = True
        self._fingerprint: object = None
        self._control: socket.socket | None = None
        self._end: weakref.finalize[..., object] | None = None

    def start_courier(self) -> CourierProcess:
        """Start a courier's process."""
        with self._lock:
            if self._is_first:  # many programs have no second one
                self._is_first = False
                return start_process()
            try:
                return self._fork(environment.outside())
            except OSError:  # the template has died since the last courier, or there is no space for a process
                self._fingerprint = None
                return start_process()

    def _fork(self, env: dict[str, str]) -> ForkedCourier:
        fingerprint = take_fingerprint(env)
        if fingerprint != self._fingerprint or self._control is None:
            if self._end is not None:
                self._end()
            self._control, popen = _start(without_names(env))
            self._end = weakref.finalize(self, _end, self._control, popen, os.getpid())
            self._fingerprint = fingerprint
        return ForkedCourier(self._control, env)


def _start(env: Mapping[str, str]) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "boostlab.execution.courier_template_process", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=env,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # an interrupt in the terminal is not for it
        )
    return control, popen


def _end(control: socket.socket, popen: subprocess.Popen[bytes], owner: int) -> None:
    """End a template process, but not its couriers; in a fork of the owner, leave it to the owner."""
    control.close()
    if os.getpid() == owner:
        popen.kill()
        popen.wait()


@functools.cache
def share_courier_template() -> CourierTemplate:
    """Return this process's template of couriers."""
    return CourierTemplate()
