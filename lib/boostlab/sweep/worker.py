"""The worker's side of a sweep: execute a trial's notebook, and say how it ended. Dask calls these functions on its workers."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boostlab.errors import LabError
from boostlab.sweep.records import WORKER_TAG
from boostlab.tracking.environment import OF_THE_KERNEL, OF_THE_RUN
from boostlab.tracking.reports import listening
from boostlab.tracking.store import Store

if TYPE_CHECKING:
    from boostlab.execution.workshop import Outcome, Stop, Workshop

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TOPIC = "boostlab"  # of Dask's events: what trials report
POLL_S = 1.0
_workshops: dict[str, Workshop] = {}  # by the id of the sweep's run
_stops: dict[str, set[Stop]] = {}  # of the running trials, by the same
_lock = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where the runs of a sweep's trials go, and how many threads each trial may use."""

    sweep: str  #: id of the sweep's run
    store: str  #: address
    artifact_root: str  #: of a store on this machine; else empty
    threads: int


@dataclass(frozen=True)
class TrialOrder:
    """A trial for a worker: everything that it needs but the packages and the table."""

    place: Place
    number: int
    notebook: str  #: its text
    path: str  #: where it comes from
    parameters: Mapping[str, Any]
    experiment: str
    run_name: str
    tags: Mapping[str, str]
    cwd: str
    reported: str = ""  #: the metric that decides about pruning; empty: the sweep does not prune


@dataclass(frozen=True)
class TrialEnd:
    """How a trial's run ended."""

    outcome: Outcome
    start_ms: int
    end_ms: int
    worker: str


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
        listening(order.reported, lambda step, value: _ask(order, step, value)) as listener,
    ):
        outcome = open_workshop(order.place).execute(
            Order(
                nbformat.reads(order.notebook, as_version=4),
                Path(order.path),
                order.parameters,
                order.experiment,
                order.run_name,
                tags={**order.tags, WORKER_TAG: name},
                env=listener.variable(),
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
    """End what the trials of a sweep share on this worker."""
    with _lock:
        workshop = _workshops.pop(sweep, None)
    if workshop is not None:
        workshop.close()


def describe_worker(order: Mapping[str, str]) -> dict[str, Any]:
    """Return what a worker has: versions, its machine, and why it cannot use the store (empty: it can).

    Parameters
    ----------
    order : mapping
        ``store``, the address, and ``file``, the file or folder of a store on the sweep's machine.
    """
    import platform
    from importlib.metadata import version

    from boostlab.tracking.probe import check_reachable

    fault = ""
    try:
        check_reachable(Store(order["store"]), fresh=True)
    except LabError as error:
        fault = str(error)
    return {
        "versions": {name: version(name) for name in ("boostlab", "mlflow", "xgboost", "papermill", "distributed")}
        | {"python": ".".join(platform.python_version_tuple()[:2])},
        "machine": find_machine(),
        "stamp": stamp_file(order["file"]),
        "fault": fault,
        "host": socket.gethostname(),
    }


def find_machine() -> str:
    """Return what tells this machine, in its present boot, from others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def stamp_file(path: str) -> tuple[int, int] | None:
    """Return what tells a file or folder from others on this machine; None if there is none."""
    try:
        found = os.stat(path) if path else None  # noqa: PTH116
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def open_workshop(place: Place) -> Workshop:
    """Return what the trials of a sweep share on this worker; the first call starts it."""
    from boostlab.execution.workshop import Workshop  # papermill and its packages, which the sweep itself does not need

    with _lock:
        if place.sweep not in _workshops:
            for name in (*OF_THE_RUN, *OF_THE_KERNEL):  # a local worker has the environment of the sweep's kernel
                os.environ.pop(name, None)
            root = Path(place.artifact_root) if place.artifact_root else None
            env = dict.fromkeys(THREAD_VARIABLES, str(place.threads))
            _workshops[place.sweep] = Workshop(Store(place.store, root), env=env)
        return _workshops[place.sweep]


def prepare_worker(place: Place) -> None:
    """Start what the trials of a sweep share on this worker, ahead of the first trial."""
    open_workshop(place)


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


@contextlib.contextmanager
def _watching_task(worker: Any, stop: Stop) -> Iterator[None]:
    """Stop the trial of this thread once Dask has cancelled its task: the client that wanted it is gone."""
    key, over = worker.get_current_task(), threading.Event()

    def watch() -> None:
        while not over.wait(POLL_S):
            task = worker.state.tasks.get(key)
            if task is None or task.state in ("cancelled", "resumed"):
                stop("the end of the sweep")
                return

    thread = threading.Thread(target=watch, name="boostlab-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _ask(order: TrialOrder, step: int, value: float) -> bool:
    """Pass a report on to the sweep, and return whether it ends the trial."""
    from distributed import Queue, get_client, get_worker

    client = get_client()
    answers = Queue(f"{TOPIC}-{order.place.sweep}-{order.number}", client=client)
    get_worker().log_event(f"{TOPIC}-{order.place.sweep}", {"number": order.number, "step": step, "value": value})
    return bool(answers.get())


def _find_finished(order: TrialOrder) -> TrialEnd | None:
    """Return the end of the trial's run that another worker has made; wait while it is being ended."""
    from boostlab.execution.workshop import Outcome
    from boostlab.sweep.records import find_attempts
    from boostlab.tracking.store import open_store

    root = Path(order.place.artifact_root) if order.place.artifact_root else None
    runs = find_attempts(open_store(Store(order.place.store, root)).client, order.tags)
    run = next((run for run in runs if run.info.status in ("FINISHED", "FAILED")), None)
    if run is None:
        return None
    facts, data = run.info, run.data
    outcome = Outcome(facts.status, facts.run_id, facts.run_name or "", data.metrics, data.tags)
    return TrialEnd(outcome, int(facts.start_time), int(facts.end_time or 0), data.tags.get(WORKER_TAG, ""))


def _now_ms() -> int:
    return int(time.time() * 1000)
