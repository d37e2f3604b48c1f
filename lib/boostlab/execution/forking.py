"""Template processes: how their owner starts and ends them, how others find them, and how they fork.

A fork is safe only in a process of one thread, because the others do not live on in the new process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

END = b"end"  # the message of an owner that lives on
END_TIMEOUT_S = 10  # for a template whose owner has closed the connection: it ends at once
MOST_BYTES, MOST_DESCRIPTORS = 16, 3  # of a message
_origins: list[Path] = []  # in a forked kernel: the socket of the process that it was forked from

ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",  # OpenBLAS starts its threads at import; a process that needs them gets them after the fork
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # of Arrow's jemalloc, which is not its default
}


def fork_alone() -> int:
    """Fork, as :func:`os.fork` does.

    Raises
    ------
    OSError
        If this process has a second thread, or the system refuses a new process.
    """
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    if threads != 1:
        raise OSError(
            errno.EDEADLK, f"The template process has {threads} threads, and only a process of one thread can be forked."
        )
    return os.fork()


def start_template(
    module: str, *arguments: str, env: Mapping[str, str], options: Sequence[str] = ()
) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start a template process, and return our end of a pair of sockets; the module's first argument is the other end.

    `options` are those of Python.
    """
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        popen = subprocess.Popen(
            [sys.executable, *options, "-m", module, str(theirs.fileno()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=dict(env),
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # an interrupt in the terminal is not for it
        )
    return control, popen


class Orderers:
    """Those who order from a template process: its owner, and processes that find its socket, such as its own kernels.

    Parameters
    ----------
    owner : int
        The descriptor of this process's end of the owner's pair of sockets.
    place : pathlib.Path
        Where the socket for others is made. If its folder is gone, the owner was killed, and there is no socket.
    """

    def __init__(self, owner: int, place: Path) -> None:
        self._owner = socket.socket(fileno=owner)
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._others: dict[int, socket.socket] = {}
        self._events = select.epoll()
        self._events.register(self._owner, select.EPOLLIN)
        place.unlink(missing_ok=True)  # of a process that has died
        with contextlib.suppress(FileNotFoundError):
            self._door.bind(str(place))
            self._door.listen()
            self._events.register(self._door, select.EPOLLIN)

    def fileno(self) -> int:
        """Return a descriptor that is readable when :meth:`receive` does not wait."""
        return self._events.fileno()

    def tell_ready(self) -> None:
        """Tell the owner that this process takes orders."""
        with contextlib.suppress(BrokenPipeError):  # it was killed
            self._owner.send(b"ready")

    def receive(self) -> tuple[bytes, list[int]] | None:
        """Wait for a message, and return it with its descriptors; None: another process came or went, or no order can be taken.

        The end of the owner is END, or an empty message if it was killed, without descriptors.
        """
        ((descriptor, _),) = self._events.poll(maxevents=1)
        if descriptor == self._door.fileno():
            other, _ = self._door.accept()
            self._others[other.fileno()] = other
            self._events.register(other, select.EPOLLIN)
            return None
        sender = self._others.get(descriptor, self._owner)
        try:
            message, descriptors, _, _ = socket.recv_fds(sender, MOST_BYTES, MOST_DESCRIPTORS)
        except ConnectionResetError:
            message, descriptors = b"", []
        if descriptors or (sender is self._owner and message in (END, b"")):
            return message, descriptors
        if message:  # this process has as many descriptors as it may: who has sent some sees that they were closed
            return None
        self._events.unregister(descriptor)
        self._others.pop(descriptor).close()
        return None

    def close(self) -> None:
        """Close all in a forked process."""
        self._events.close()
        for each in (self._owner, self._door, *self._others.values()):
            each.close()


def note_origin(place: Path) -> None:
    """Note in a forked kernel where the process that it was forked from takes orders; a process that it starts does not know."""
    _origins[:] = [place]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_origins.clear)


def find_origin() -> Path | None:
    """Return the path of the socket of the process that this kernel was forked from; None if it was not forked."""
    return _origins[0] if _origins else None


def connect(place: Path) -> socket.socket | None:
    """Connect to the template process whose socket is at this place; None if there is none, or it has ended."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        control.connect(str(place))
    except OSError:
        control.close()
        return None
    return control


def find_peer(control: socket.socket) -> int:
    """Return the process id of the process that has made the other end of a connection."""
    credentials = struct.Struct("3i")  # process, user, group
    pid: int = credentials.unpack(control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size))[0]
    return pid


def end_template(
    control: socket.socket, popen: subprocess.Popen[bytes] | None, owner: int, is_needed: Callable[[], bool]
) -> None:
    """End a template process after what was ordered of it, or only the connection to one that is no child (None).

    In a fork of the process `owner`, leave it to the owner.

    Parameters
    ----------
    is_needed : callable
        Tells whether something was ordered that nobody has cancelled; if not, the process is killed, as it may be loading.
    """
    if os.getpid() != owner:
        return
    if popen is None:
        control.close()
        return
    if not is_needed():
        popen.kill()
    with contextlib.suppress(OSError):  # it has died
        control.send(END)
    control.close()
    try:
        popen.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:  # such as a stopped one
        popen.kill()
        popen.wait()
