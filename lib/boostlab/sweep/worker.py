"""The worker's side of a sweep: execute a trial's notebook, and say how it ended. Dask calls these functions on its workers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boostlab.notebook.session import TRIAL_VARIABLE
from boostlab.sweep.orders import Place, TrialEnd, TrialOrder
from boostlab.sweep.records import COUNTED, WORKER_TAG
from boostlab.tracking.reports import listening
from boostlab.tracking.store import Store

if TYPE_CHECKING:
    from boostlab.execution.workshop import Stop, Workshop

TOPIC = "boostlab"  # of Dask's events: what trials report
POLL_S = 1.0
IDLE_S = 60.0  # after which a worker without trials of a sweep ends what they share: the sweep may have been killed
_workshops: dict[str, _Shared] = {}  # by the id of the sweep's run
_stops: dict[str, set[Stop]] = {}  # of the running trials, by the same
_lock = threading.Lock()


def run_trial(order: TrialOrder) -> TrialEnd:
    """Execute a trial's notebook as a run, and return how it ended.

    If Dask has lost a worker and asks again for a trial whose run is whole, the run is not made twice. If nobody waits for the
    trial any more, as the sweep is gone, the trial ends.
    """
    import nbformat
    from distributed import get_client, get_worker

    from boostlab.execution.workshop import Order

    client, key = get_client(), [TOPIC, order.place.sweep, str(order.number)]
    if client.get_metadata(key, None) and (end := _find_finished(order)):
        return end
    client.set_metadata(key, True)
    worker = get_worker()
    place = threading.current_thread().name.rpartition("-")[2]
    name = f"{socket.gethostname()} {worker.name}.{place}"
    started = _now_ms()
    with (
        _stoppable(order.place.sweep) as stop,
        _watching_task(worker, stop),
        _using_workshop(order.place) as workshop,
        _hearing(order, stop) as reporting,
    ):
        outcome = workshop.execute(
            Order(
                nbformat.reads(order.notebook, as_version=4),
                Path(order.path),
                order.parameters,
                order.experiment,
                order.run_name,
                tags={**order.tags, WORKER_TAG: name},
                env=reporting,
                cwd=order.cwd if Path(order.cwd).is_dir() else None,
            ),
            stop=stop,
        )
    return TrialEnd(outcome, started, _now_ms(), name)


def stop_trials(sweep: str, reason: str) -> None:
    """Kill the kernels of a sweep's trials on this worker: their runs end KILLED."""
    with _lock:
        stops = list(_stops.get(sweep, ()))
    for stop in stops:
        stop(reason)


def close_sweep(sweep: str) -> None:
    """End the trials of a sweep on this worker, and what they share."""
    stop_trials(sweep, "the end of the sweep")
    with _lock:
        shared = _workshops.pop(sweep, None)
    if shared is not None:
        if shared.end is not None:
            shared.end.cancel()
        shared.workshop.close()


@dataclass
class _Shared:
    """What the trials of a sweep share on this worker."""

    workshop: Workshop
    trials: int = 0  #: running ones
    end: threading.Timer | None = field(default=None, repr=False)


def prepare_worker(place: Place) -> None:
    """Start what the trials of a sweep share on this worker, ahead of the first trial."""
    with _using_workshop(place):
        pass


@contextlib.contextmanager
def _using_workshop(place: Place) -> Iterator[Workshop]:
    """Yield the workshop of a sweep; the first call starts it, and it is closed once no trial has used it for a while."""
    with _lock:
        shared = _workshops.get(place.sweep)
        if shared is None:
            shared = _workshops[place.sweep] = _Shared(_make_workshop(place))
        shared.trials += 1
        if shared.end is not None:
            shared.end.cancel()
    try:
        yield shared.workshop
    finally:
        with _lock:
            shared.trials -= 1
            if not shared.trials and _workshops.get(place.sweep) is shared:
                shared.end = threading.Timer(IDLE_S, _close_idle, [place.sweep, shared])
                shared.end.daemon = True
                shared.end.start()


def _make_workshop(place: Place) -> Workshop:
    from boostlab.execution.fingerprint import limit_threads
    from boostlab.execution.workshop import Workshop  # papermill and its packages, which the sweep itself does not need

    root = Path(place.artifact_root) if place.artifact_root else None
    return Workshop(Store(place.store, root), env=limit_threads(place.threads))


def _close_idle(sweep: str, shared: _Shared) -> None:
    with _lock:
        if shared.trials or _workshops.get(sweep) is not shared:
            return
        del _workshops[sweep]
    shared.workshop.close()


@contextlib.contextmanager
def _stoppable(sweep: str) -> Iterator[Stop]:
    from boostlab.execution.workshop import Stop

    stop = Stop()
    with _lock:
        _stops.setdefault(sweep, set()).add(stop)
    try:
        yield stop
    finally:
        with _lock:
            _stops[sweep].discard(stop)
            if not _stops[sweep]:
                del _stops[sweep]


@contextlib.contextmanager
def _watching_task(worker: Any, stop: Stop) -> Iterator[None]:
    """Stop the trial of this thread once Dask has cancelled its task: the client that wanted it is gone."""
    key, over = worker.get_current_task(), threading.Event()

    def watch() -> None:
        while not over.wait(POLL_S):
            task = worker.state.tasks.get(key)
            if task is None or task.state in ("cancelled", "resumed"):
                stop("the end of the sweep")  # again and again: its kernel may not have begun

    thread = threading.Thread(target=watch, name="boostlab-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _hearing(order: TrialOrder, stop: Stop) -> Iterator[dict[str, str]]:
    """Pass the reports of a trial on to its sweep if that asks for them; yield variables for the trial's kernel."""
    from distributed import Queue, get_client, get_worker

    from boostlab.execution.socket_folder import make_folder

    if not order.reported:
        yield {TRIAL_VARIABLE: "{}"}
        return
    worker, answers = get_worker(), Queue(f"{TOPIC}-{uuid.uuid4().hex}", client=get_client())

    def ask(step: int, value: float) -> bool:
        report = {"number": order.number, "step": step, "value": value, "answers": answers.name}
        worker.log_event(f"{TOPIC}-{order.place.sweep}", report)
        while not stop.reason:  # a sweep that is gone gives no answer
            with contextlib.suppress(TimeoutError):
                return bool(answers.get(timeout=POLL_S))
        return False

    try:
        with listening(order.reported, ask, folder=make_folder()) as listener:
            yield listener.variable()
    finally:
        answers.close()


def _find_finished(order: TrialOrder) -> TrialEnd | None:
    """Return the end of the trial's run that another worker has made; wait while it is being ended."""
    from boostlab.execution.workshop import Outcome
    from boostlab.sweep.records import find_attempts
    from boostlab.tracking.store import open_store

    root = Path(order.place.artifact_root) if order.place.artifact_root else None
    runs = find_attempts(open_store(Store(order.place.store, root)).client, order.tags)
    run = next((run for run in runs if run.info.status in COUNTED), None)
    if run is None:
        return None
    facts, data = run.info, run.data
    outcome = Outcome(facts.status, facts.run_id, facts.run_name or "", data.metrics, data.tags)
    return TrialEnd(outcome, int(facts.start_time), int(facts.end_time or 0), data.tags.get(WORKER_TAG, ""))


def _now_ms() -> int:
    return int(time.time() * 1000)
