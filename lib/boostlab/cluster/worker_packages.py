"""What a process loads from which the workers of a local cluster are forked: it must have one thread, and survive an interrupt.

Such a process, Python's fork server, imports this module at its start. An interrupt of a cell goes to all processes of the
kernel. In any other process that imports this module, nothing is changed.
"""

from __future__ import annotations

import os
import signal
import sys

if any("multiprocessing.forkserver" in argument for argument in sys.orig_argv):  # of its command
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # of Arrow's memory: read when Arrow is loaded

import distributed  # noqa: F401
import pandas  # noqa: F401
import pyarrow.parquet  # noqa: F401
import xgboost.dask  # noqa: F401
