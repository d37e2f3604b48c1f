"""Forks that are safe: only the thread that forks lives on in the new process, so there must be no other."""

from __future__ import annotations

import errno
import os
from pathlib import Path

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
