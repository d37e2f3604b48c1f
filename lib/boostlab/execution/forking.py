"""Template processes: how their owner starts and ends them, and how they fork.

A fork is safe only in a process of one thread, because the others do not live on in the new process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

END = b"end"  # the message of an owner that lives on
END_TIMEOUT_S = 10  # for a template whose owner has closed the connection: it ends at once

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


def end_template(control: socket.socket, popen: subprocess.Popen[bytes], owner: int) -> None:
    """End a template process after what was ordered of it; in a fork of the process `owner`, leave it to the owner."""
    if os.getpid() != owner:
        return
    with contextlib.suppress(OSError):  # it has died
        control.send(END)
    control.close()
    try:
        popen.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:  # such as a stopped one
        popen.kill()
        popen.wait()
