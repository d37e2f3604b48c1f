"""Signals: raised once in an execution, noted in a training, and left alone in other threads."""

from __future__ import annotations

import contextlib
import signal
import threading

import pytest

from boostlab.signals import Stopped, sigint_noted, signals_raised

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize(("signum", "raised"), [*zip(SIGNALS, (Stopped, SystemExit, SystemExit), strict=True)])
def test_a_signal_stops_the_execution_once(signum: signal.Signals, raised: type[BaseException]) -> None:
    stops: list[str] = []

    def execute() -> None:
        with signals_raised(lambda: stops.append("stopped")):
            try:
                signal.raise_signal(signum)
            finally:
                signal.raise_signal(signum)  # the second one must not interrupt the record of the first
                stops.append("recorded")

    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(raised) as caught:
        execute()
    assert stops == ["stopped", "recorded"]
    assert getattr(caught.value, "code", 128 + signum) == 128 + signum
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_is_remembered_where_its_exception_was_dropped() -> None:
    with signals_raised(lambda: None) as signals:
        with contextlib.suppress(BaseException):  # as in a finalizer, whose exceptions Python drops
            signal.raise_signal(signal.SIGTERM)
        assert str(signals.stopped) == "SIGTERM"


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with signals_raised(lambda: None):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_first_interrupt_is_noted_and_the_second_raised() -> None:
    with sigint_noted() as asked:
        assert not asked.is_set()
        signal.raise_signal(signal.SIGINT)
        assert asked.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_other_threads_change_no_handler() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with sigint_noted() as asked, signals_raised(lambda: None) as signals:
            seen.append((asked.is_set(), signals.before, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, {}, before)]
