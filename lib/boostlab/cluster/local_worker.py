"""What a worker process of a local cluster does at its start: Dask imports this module there.

An interrupt of a cell goes to all processes of the kernel. The kernel decides what it means, so a worker ignores it. A worker
prints nothing: XGBoost would tell each worker's rank, and errors come as exceptions.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any


def dask_setup(_worker: Any) -> None:
    """Ignore interrupts, and drop what is printed; Dask calls this in the worker's main thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
