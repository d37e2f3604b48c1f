"""Signals that stop the process: raised as one exception in an execution, noted as an event where work is finished first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal stopped the execution."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@contextlib.contextmanager
def signals_raised(at_stop: Callable[[], None]) -> Iterator[dict[int, Any]]:
    """Call `at_stop` and raise Stopped on the first signal that would end the process; yield the previous handlers."""
    stopping = False

    def stop(signum: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        if not stopping:  # a second signal must not interrupt the record of the first
            stopping = True
            at_stop()
            raise Stopped(signum)

    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    before = {int(signum): signal.getsignal(signum) for signum in SIGNALS}
    for signum, handler in before.items():
        if handler is not signal.SIG_IGN:  # as under nohup
            signal.signal(signum, stop)
    try:
        yield before
    except Stopped as stopped:
        if stopped.signum == signal.SIGINT:
            raise
        raise SystemExit(128 + stopped.signum) from None  # the exit status that shells use
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def sigint_noted() -> Iterator[threading.Event]:
    """Yield an event that the first SIGINT sets; a second SIGINT goes to the previous handler."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.getsignal(signal.SIGINT)

    def note(_signum: int, _frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
