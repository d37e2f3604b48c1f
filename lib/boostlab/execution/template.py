"""The owner's side of the template process: it starts the process, orders kernels from it, and follows their lives."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from boostlab.errors import LabError
from boostlab.execution.fingerprint import limit_threads, take_fingerprint, without_names
from boostlab.execution.forking import END_TIMEOUT_S, connect, end_template, find_origin, find_peer, start_template
from boostlab.execution.kernel_process import Order
from boostlab.execution.socket_folder import share_folder

_numbers = itertools.count()  # of the processes that this one has started


class ForkedProcess:
    """A kernel's process that a template forked, with the interface of :class:`subprocess.Popen` as far as Jupyter uses it.

    The process is killed when this object is collected. Signals go to the process and its children.

    Attributes
    ----------
    pid : int
    returncode : int or None
        The exit status; negative for a signal, and None as long as the process is not known to have ended.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int, channel: socket.socket, *, template: _Process) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._template: _Process | None = template  # a template that is replaced lives as long as one of its kernels
        self._channel = channel
        self._lock = threading.Lock()
        self._received = b""
        self.close = weakref.finalize(self, channel.close)  #: kills the process if it runs, and releases its process id

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        with self._lock:
            if self.returncode is None and self.close.alive:
                with contextlib.suppress(BlockingIOError):
                    self._read()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status.

        Raises
        ------
        subprocess.TimeoutExpired
            If it still runs after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        while (code := self.poll()) is None:
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                raise subprocess.TimeoutExpired(f"kernel {self.pid}", timeout or 0)
            poller.poll(None if left_s is None else left_s * 1000 + 1)
        return code

    def send_signal(self, signum: int) -> None:
        """Send a signal to the process and its children. It takes no lock, so a signal handler may call it."""
        if self.returncode is None:  # the template keeps the process id taken until then
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signum)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def _read(self) -> None:
        """Read the exit status from the channel; without one, the template has died, and the system has killed the kernel."""
        try:
            received = self._channel.recv(4096, socket.MSG_DONTWAIT)
        except ConnectionResetError:
            received = b""
        self._received += received
        if self._received.endswith(b"\n"):
            self.returncode = int(json.loads(self._received)["status"])
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_WR)  # the template may release the process id
        elif not received:
            self.returncode = -signal.SIGKILL
        if self.returncode is not None:
            self._template = None


class Template:
    """Kernels forked from a process that has loaded the lab's packages; many threads may share one template.

    The process starts at the first order. It starts anew if it has died, or if the environment or an installed package has
    changed; kernels that run go on. It ends with this object or this process, and ends its kernels. After :meth:`close`, the
    next order starts another one. A kernel that was itself forked has its kernels forked by the same process, as long as its
    environment is still the same.

    Parameters
    ----------
    modules : sequence of str
        Further modules to import.
    threads : int
        The limit of threads with which libraries are loaded; 0: as the environment says.
    """

    def __init__(self, modules: Sequence[str] = (), *, threads: int = 0) -> None:
        self._modules = tuple(modules)
        self._more = limit_threads(threads) if threads else {}
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._fingerprint: object = None

    def fork(self, order: Order, *, outputs: Sequence[int] = ()) -> ForkedProcess:
        """Fork a kernel.

        Parameters
        ----------
        order : Order
        outputs : sequence of int
            Descriptors for the kernel's stdout and stderr; by default null devices.

        Raises
        ------
        LabError
            If the template cannot be started, or cannot fork.
        """
        for _attempt in range(2):
            process = self._find(order.env)
            try:
                return process.fork(order, outputs)
            except ConnectionError:  # it has died since the last order
                process.note_death()
        raise LabError("The template process died twice before it could fork a kernel. Is there enough memory?")

    @property
    def pid(self) -> int | None:
        """Process id of the template, or None if none runs."""
        process = self._process
        return process.pid if process is not None and process.runs() else None

    def start(self, env: Mapping[str, str] | None = None) -> None:
        """Start the process for kernels with this environment, by default this process's own, if it does not run yet."""
        self._find(os.environ if env is None else env)

    def start_ahead(self, env: Mapping[str, str]) -> threading.Thread:
        """Start the process in a thread, and return the thread. An error is not raised: the first order raises it."""

        def start() -> None:
            with contextlib.suppress(LabError, OSError):
                self.start(env)

        thread = threading.Thread(target=start, name="boostlab-template", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """End the process and its kernels, or the connection to one that is not a child of this process."""
        with self._lock:
            if self._process is not None:
                self._process.close()
            self._process = None

    def _find(self, env: Mapping[str, str]) -> _Process:
        """Return the process that fits the environment and the packages of now."""
        env = {**env, **self._more}
        fingerprint = take_fingerprint(env)
        with self._lock:
            process = self._process
            if process is None or not process.runs() or (os.getpid(), fingerprint) != self._fingerprint:
                self._process = process = _find_process(fingerprint) or self._start_process(fingerprint, env)
                self._fingerprint = os.getpid(), fingerprint  # a process that was forked must not order as its parent
            return process

    def _start_process(self, fingerprint: str, env: Mapping[str, str]) -> _Process:
        place = share_folder() / f"{fingerprint}-{next(_numbers)}"
        control, popen = start_template("boostlab.execution.template_process", str(place), *self._modules, env=without_names(env))
        process = _Process(control, popen)
        if not control.recv(16):
            status = popen.wait()
            raise LabError(f"The template process cannot be started: it ended with status {status}. Its error is above.")
        process.is_ready.set()
        return process


class _Process:
    """One template process: the child `popen`, or one that belongs to another process."""

    def __init__(self, control: socket.socket, popen: subprocess.Popen[bytes] | None = None) -> None:
        self._control, self._popen = control, popen
        self._is_dead, self.is_ready = False, threading.Event()
        self.close = weakref.finalize(self, end_template, control, popen, os.getpid(), self.is_ready.is_set)
        self.pid = popen.pid if popen is not None else find_peer(control)

    def runs(self) -> bool:
        """Tell whether it is not known to have ended."""
        return not self._is_dead and (self._popen is None or self._popen.poll() is None)

    def note_death(self) -> None:
        """Note that it does not answer any more."""
        self._is_dead = True
        if self._popen is not None:
            self._popen.wait(END_TIMEOUT_S)

    def fork(self, order: Order, outputs: Sequence[int]) -> ForkedProcess:
        """Fork a kernel; ConnectionError if the process has died."""
        channel, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [b"fork"], [theirs.fileno(), *outputs])
            with contextlib.suppress(BrokenPipeError):  # a refusal is in the answer
                channel.sendall(order.to_json().encode())
            answer = _read_line(channel)
            if "error" in answer:
                raise LabError(f"No kernel can be forked. {answer['error']}")
            if "pid" not in answer:
                raise LabError(f"The forked kernel died before it began, with status {answer['status']}.")
            return ForkedProcess(answer["pid"], channel, template=self)
        except BaseException:
            channel.close()
            raise


def _find_process(fingerprint: str) -> _Process | None:
    """Return the process that this kernel was forked from, if it fits."""
    origin = find_origin()
    if origin is None or not origin.name.startswith(f"{fingerprint}-"):
        return None
    control = connect(origin)
    return None if control is None else _Process(control)


def _read_line(channel: socket.socket) -> dict[str, Any]:
    """Read one message and no more."""
    line = b""
    while not line.endswith(b"\n"):
        received = channel.recv(1)
        if not received:
            raise ConnectionResetError
        line += received
    message: dict[str, Any] = json.loads(line)
    return message


@functools.cache
def share_template(*modules: str, threads: int = 0) -> Template:
    """Return this process's template with these options; without any, it is that of the kernelspec ``boostlab``."""
    return Template(modules, threads=threads)


if hasattr(os, "register_at_fork"):  # another thread may hold the lock at that moment
    os.register_at_fork(after_in_child=share_template.cache_clear)
