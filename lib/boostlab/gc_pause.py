"""Quick starts and quick exits of Python processes that load heavy packages.

Python's cycle collector walks all of the hundreds of thousands of objects that such packages make, again and again while
they load and once more when the process ends. None of it is garbage. Both walks together are a fifth of a small run.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch the cycle collector off for a block that imports; at the process's end, spare it the last walk."""
    was_enabled = gc.isenabled()
    gc.disable()
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
