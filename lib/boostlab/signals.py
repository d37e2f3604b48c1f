"""Signals that stop the process: raised as one exception in an execution, noted as an event where work is finished first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal stopped the execution."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@dataclass
class Signals:
    """Signals that an execution waits for."""

    before: dict[int, Any] = field(default_factory=dict)  # the previous handlers
    stopped: KeyboardInterrupt | None = None  # the first signal; the code that it interrupted may have dropped the exception

    def restore(self) -> None:
        """Give each signal its previous handler back."""
        for signum, handler in self.before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def signals_raised(at_stop: Callable[[], None]) -> Iterator[Signals]:
    """Call `at_stop` and raise Stopped on the first signal that would end the process.

    Parameters
    ----------
    at_stop : callable
        Runs between any two instructions of the main thread: it must take no lock and close no file.
    """
    signals = Signals()

    def stop(signum: int, _frame: FrameType | None) -> None:
        if signals.stopped is None:  # a second signal must not interrupt the record of the first
            signals.stopped = Stopped(signum)
            at_stop()
            raise signals.stopped

    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    signals.before = {int(signum): signal.getsignal(signum) for signum in SIGNALS}
    for signum, handler in signals.before.items():
        if handler is not signal.SIG_IGN:  # as under nohup
            signal.signal(signum, stop)
    try:
        yield signals
    except Stopped as stopped:
        if stopped.signum == signal.SIGINT:
            raise
        raise SystemExit(128 + stopped.signum) from None  # the exit status that shells use
    finally:
        signals.restore()


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
