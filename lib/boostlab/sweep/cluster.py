"""The Dask cluster of a sweep: a local one, or that of a scheduler's address. It is checked before any trial runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import dask
from distributed import Client, LocalCluster

from boostlab.errors import LabError
from boostlab.redaction import redact
from boostlab.sweep.orders import Place
from boostlab.sweep.worker import close_sweep, prepare_worker
from boostlab.sweep.worker_facts import describe_worker
from boostlab.tracking.store import Store

CONNECT_TIMEOUT_S = 10.0
WORKERS_TIMEOUT_S = 30.0  # until a scheduler has a first worker
TRIALS_PER_PROCESS = 4  # on this machine: the trials' own work is in their kernels. For more, workers are processes of their own
_latest: list[Workers] = []  # of this process: one at most


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """The workers of a sweep. They are found, checked and prepared in the background; its context waits for them.

    Parameters
    ----------
    scheduler : str
        Address of a scheduler; empty: a local cluster is started, which ends with the context.
    n_jobs : int
        Trials at a time, for a local cluster.
    folder : pathlib.Path
        Where a local cluster may keep its files.
    """

    def __init__(self, store: Store, place: Place, *, scheduler: str, n_jobs: int, folder: Path) -> None:
        self._store, self._place, self._scheduler, self._n_jobs, self._folder = store, place, scheduler, n_jobs, folder
        self._stack = contextlib.ExitStack()
        self.is_closed = False
        while _latest:  # of a plan that is made again
            _latest.pop().close()
        _latest.append(self)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="boostlab-workers")
        self._opening = self._pool.submit(self._open)

    def __enter__(self) -> Client:
        try:
            return self._opening.result()
        except BaseException:  # an interrupt too
            self.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End what the trials share on the workers, and a local cluster."""
        self.is_closed = True
        self._pool.shutdown()
        self._stack.close()

    def _open(self) -> Client:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix=".", dir=self._folder)))
            client = stack.enter_context(connect(self._scheduler, n_jobs=self._n_jobs, folder=folder))
            check_workers(client, self._store)
            client.run(prepare_worker, self._place)
            stack.callback(self._close_sweep, client)
            self._stack = stack.pop_all()
        return client

    def _close_sweep(self, client: Client) -> None:
        if client.status == "running":
            client.run(close_sweep, self._place.sweep, on_error="ignore")


@contextlib.contextmanager
def connect(scheduler: str, *, n_jobs: int, folder: Path) -> Iterator[Client]:
    """Yield the client of a scheduler, or of a local cluster that runs `n_jobs` trials at a time and ends with the context.

    A local cluster keeps its files in `folder`.

    Raises
    ------
    LabError
        If the scheduler cannot be reached, or has no worker.
    """
    # One loss of a worker may be the trial's fault, and two in a row are.
    limits = {"distributed.scheduler.allowed-failures": 2, "distributed.comm.timeouts.connect": f"{CONNECT_TIMEOUT_S:.0f}s"}
    with dask.config.set({**limits, "temporary-directory": str(folder)}):
        if not scheduler:
            with _start_local(n_jobs, folder) as cluster, Client(cluster, set_as_default=False) as client:
                yield client
            return
        try:
            client = Client(scheduler, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
        except (OSError, TimeoutError, TypeError, ValueError) as error:  # TypeError: tls without certificates
            raise LabError(
                f"The scheduler {scheduler} cannot be reached: {error}. Start one with `dask scheduler`, or correct -p scheduler."
            ) from None
        with client:
            _wait_for_worker(client, scheduler)
            yield client


def check_workers(client: Client, store: Store, *, only: Collection[str] | None = None) -> set[str]:
    """Refuse workers with other versions of the packages, and workers that cannot use the store.

    Return the addresses of those that were checked: a worker may go meanwhile.

    Parameters
    ----------
    only : collection of str, optional
        Addresses of the workers to check; by default all.

    Raises
    ------
    LabError
        The message names the worker, and what to do.
    """
    file = str(store.path) if store.scheme in ("sqlite", "file") else ""
    order = {"store": store.uri, "file": file}
    workers = None if only is None else list(only)
    found: Mapping[str, Any] = client.run(describe_worker, order, workers=workers, on_error="return")
    own, checked = describe_worker(order), set()
    for address, about in found.items():
        if isinstance(about, ModuleNotFoundError):
            raise LabError(f"The workers have no package {about.name}. Install boostlab in their environment.")
        if isinstance(about, OSError):
            continue
        if isinstance(about, BaseException):
            raise about
        checked.add(address)
        where = f"The worker {address} on {about['host']}"
        for name, version in own["versions"].items():
            there = about["versions"].get(name)
            if there != version:
                remedy = "Install the same versions on all workers: trials would not be comparable."
                raise LabError(f"{where} has {name} {there}, and the sweep {version}. {remedy}")
        if file and (about["machine"], about["stamp"]) != (own["machine"], own["stamp"]):
            remedy = "Start a server that all workers reach, and name it: -p tracking_uri http://HOST:5000"
            raise LabError(f"{where} cannot reach the store {store.shown}, which is on this machine. {remedy}")
        if about["fault"]:
            raise LabError(f"{where} cannot use the store. {redact(about['fault'], ())}")
    return checked


@contextlib.contextmanager
def _start_local(n_jobs: int, folder: Path) -> Iterator[Any]:
    """Yield a local cluster."""
    had_tracker = resource_tracker._resource_tracker._pid is not None  # type: ignore[attr-defined]
    processes = max(1, -(-n_jobs // TRIALS_PER_PROCESS))
    cluster = LocalCluster(
        n_workers=processes,
        processes=processes > 1,
        threads_per_worker=-(-n_jobs // processes),
        dashboard_address="127.0.0.1:0",  # Dask serves its state in any case: not on a port that may be taken
        scheduler_kwargs={"dashboard": False},
        worker_dashboard_address=None,
        local_directory=str(folder),
        memory_limit=0,
        silence_logs="ERROR",
    )
    try:
        with cluster:
            yield cluster
    finally:
        if not had_tracker:  # Dask's processes have started one, which ignores SIGTERM: the kernel would wait 2 s for its end
            resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


def _wait_for_worker(client: Client, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_TIMEOUT_S)
    except TimeoutError:
        raise LabError(f"The scheduler {scheduler} has no worker. Start some: dask worker {scheduler}") from None
