"""The workers of a sweep: found in a Dask cluster, checked and prepared before any trial runs."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from distributed import Client

from boostlab.cluster import check_versions, connect
from boostlab.errors import LabError
from boostlab.redaction import redact
from boostlab.sweep.orders import Place
from boostlab.sweep.worker import close_sweep, prepare_worker
from boostlab.sweep.worker_facts import describe_worker
from boostlab.tracking.store import Store

TRIALS_PER_PROCESS = 4  # on this machine: the trials' own work is in their kernels. For more, workers are processes of their own
_latest: list[Workers] = []  # of this process: one at most


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
            processes = max(1, -(-self._n_jobs // TRIALS_PER_PROCESS))
            threads = -(-self._n_jobs // processes)
            connection = connect(self._scheduler, n_workers=processes, threads=threads, folder=folder, in_process=processes == 1)
            client = stack.enter_context(connection)
            check_workers(client, self._store)
            client.run(prepare_worker, self._place)
            stack.callback(self._close_sweep, client)
            self._stack = stack.pop_all()
        return client

    def _close_sweep(self, client: Client) -> None:
        if client.status == "running":
            client.run(close_sweep, self._place.sweep, on_error="ignore")


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
        if isinstance(about, OSError):
            continue
        where = f"The worker {address}" + (f" on {about['host']}" if isinstance(about, Mapping) else "")
        check_versions(about["versions"] if isinstance(about, Mapping) else about, where=where)
        checked.add(address)
        if file and (about["machine"], about["stamp"]) != (own["machine"], own["stamp"]):
            remedy = "Start a server that all workers reach, and name it: -p tracking_uri http://HOST:5000"
            raise LabError(f"{where} cannot reach the store {store.shown}, which is on this machine. {remedy}")
        if about["fault"]:
            raise LabError(f"{where} cannot use the store. {redact(about['fault'], ())}")
    return checked
