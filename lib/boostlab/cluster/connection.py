"""The connection to a Dask cluster: that of a scheduler's address, or workers that are started on this machine."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.utils import get_mp_context

from boostlab.errors import LabError

CONNECT_TIMEOUT_S = 10.0
WORKERS_TIMEOUT_S = 30.0  # until a scheduler has a first worker


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def connect(scheduler: str, *, n_workers: int, threads: int, folder: Path, in_process: bool = False) -> Iterator[Client]:
    """Yield the client of a scheduler, or of a local cluster that ends with the context.

    Parameters
    ----------
    scheduler : str
        Address of a scheduler; empty: a local cluster is started.
    n_workers, threads : int
        Workers of a local cluster, and the tasks that each runs at a time.
    folder : pathlib.Path
        Where a local cluster may keep its files.
    in_process : bool
        Whether the workers of a local cluster are threads of this process, and not processes.

    Raises
    ------
    LabError
        If the scheduler cannot be reached, or has no worker, or the local workers do not start.
    """
    # One loss of a worker may be the task's fault, and two in a row are.
    limits = {"distributed.scheduler.allowed-failures": 2, "distributed.comm.timeouts.connect": f"{CONNECT_TIMEOUT_S:.0f}s"}
    method = "forkserver" if sys.platform == "linux" else "spawn"  # elsewhere, libraries of the system do not survive a fork
    own: dict[str, Any] = {
        "distributed.worker.multiprocessing-method": method,
        "distributed.worker.profile.enabled": False,  # its memory grows, and no dashboard of a local cluster shows it
        "temporary-directory": str(folder),
    }
    with dask.config.set({**limits, **own}):
        if not scheduler:
            local = _start_local(n_workers, threads, folder, in_process=in_process)
            with local as cluster, Client(cluster, set_as_default=False) as client:
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


@contextlib.contextmanager
def _start_local(n_workers: int, threads: int, folder: Path, *, in_process: bool) -> Iterator[Any]:
    """Yield a local cluster."""
    had_tracker = resource_tracker._resource_tracker._pid is not None  # type: ignore[attr-defined]
    had_server = forkserver._forkserver._forkserver_pid is not None  # type: ignore[attr-defined]
    preload = forkserver._forkserver._preload_modules  # type: ignore[attr-defined]
    try:
        with _make_cluster(n_workers, threads, folder, in_process=in_process) as cluster:
            yield cluster
    finally:
        if not had_server:  # the next one may have another environment, and load what its user wants
            forkserver._forkserver._stop()  # type: ignore[attr-defined]
            forkserver.set_forkserver_preload(preload)
        if not had_tracker:  # Dask's processes have started one, which ignores SIGTERM: the kernel would wait 2 s for its end
            resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


def _make_cluster(n_workers: int, threads: int, folder: Path, *, in_process: bool) -> Any:
    """Start a local cluster.

    Its workers are forked from one process that has loaded their packages, which take 3 s and 140 MB in each process that loads
    them.
    """
    context = get_mp_context()
    if isinstance(context, ForkServerContext):
        context.set_forkserver_preload(["boostlab.cluster.worker_packages"])  # after Dask, which sets others
    try:
        return LocalCluster(
            n_workers=n_workers,
            processes=not in_process,
            threads_per_worker=threads,
            dashboard_address="127.0.0.1:0",  # Dask serves its state in any case: not on a port that may be taken
            scheduler_kwargs={"dashboard": False},
            worker_dashboard_address=None,
            local_directory=str(folder),
            memory_limit=0,
            silence_logs="CRITICAL",  # what fails is raised
            **({} if in_process else {"preload": "boostlab.cluster.local_worker"}),
        )
    except RuntimeError as error:
        reason = error.__cause__ or error
        raise LabError(f"{n_workers} workers cannot be started on this machine: {reason}. Try fewer.") from None


def _wait_for_worker(client: Client, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_TIMEOUT_S)
    except TimeoutError:
        raise LabError(f"The scheduler {scheduler} has no worker. Start some: dask worker {scheduler}") from None
