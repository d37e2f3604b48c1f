"""What a process loads from which the workers of a local cluster are forked: it must have one thread, and survive an interrupt.

Such a process imports this module at its start. An interrupt of a cell goes to all processes of the kernel.
"""

from __future__ import annotations

import os
import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # of Arrow's memory: read when Arrow is loaded

import distributed  # noqa: E402, F401
import pandas  # noqa: E402, F401
import pyarrow.parquet  # noqa: E402, F401
import xgboost.dask  # noqa: E402, F401
