"""Sweeps on a Dask cluster whose processes are started, and killed, one by one."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.clusters import NETWORK, Cluster, kill_group, network_namespaces
from tests.support.executions import Look
from tests.support.postgresql import NewDatabase
from tests.support.servers import free_port, serve_database
from tests.support.sweeps import REPORT, START, Sweeps, finished, is_whole_training, number_of, point_of, statuses, trial_runs
from tests.support.waiting import wait_until

from boostlab.cluster import connect, connection
from boostlab.errors import LabError
from boostlab.sweep import cluster, records
from boostlab.tracking.store import OpenStore, find_store, open_store

pytestmark = pytest.mark.slow
TRIALS = int(os.environ.get("BOOSTLAB_SWEEP_TRIALS", "12"))


@pytest.fixture
def dask(sweeps: Sweeps) -> Iterator[Cluster]:
    started = Cluster(sweeps.folder, sweeps.env)
    yield started
    started.end()


@pytest.fixture
def opened(store: str, tmp_path: Path) -> OpenStore:
    return open_store(find_store(store, project=tmp_path))


def refuse(dask: Cluster, opened: OpenStore) -> str:
    """Return why the workers of a cluster are refused."""
    with (
        connect(dask.address, n_workers=0, threads=0, folder=Path()) as client,
        pytest.raises(LabError) as refused,
    ):
        cluster.check_workers(client, opened)
    return str(refused.value)


def test_refuses_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 1.0)
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(LabError, match=f"The scheduler {address} cannot be reached: .* Start one with `dask scheduler`"):
        connect(address, n_workers=0, threads=0, folder=tmp_path).__enter__()


def test_refuses_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch, dask: Cluster, tmp_path: Path) -> None:
    monkeypatch.setattr(connection, "WORKERS_TIMEOUT_S", 1.0)
    with pytest.raises(LabError, match=f"has no worker. Start some: dask worker {dask.address}"):
        connect(dask.address, n_workers=0, threads=0, folder=tmp_path).__enter__()


def test_refuses_workers_with_other_versions(dask: Cluster, opened: OpenStore, tmp_path: Path) -> None:
    about = tmp_path / "others" / "xgboost-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: xgboost\nVersion: 0.1\n")
    dask.start_worker(PYTHONPATH=str(about.parent))
    assert " has xgboost 0.1, and this notebook " in refuse(dask, opened)


def test_refuses_a_store_of_files_that_workers_cannot_reach(dask: Cluster, opened: OpenStore, tmp_path: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("no mount namespaces here: they need root, and the system's package `util-linux`")
    hide = f'mount -t tmpfs none {tmp_path / "store"} && exec "$@"'
    dask.start_worker(before=["unshare", "--mount", "sh", "-c", hide, "sh"])
    message = refuse(dask, opened)
    assert "cannot reach the store sqlite:///" in message and "-p tracking_uri http://HOST:5000" in message


def test_refuses_a_server_that_workers_cannot_reach(dask: Cluster, store: str, tmp_path: Path) -> None:
    dask.start_worker()
    with serve_database(store) as address:
        opened = open_store(find_store(address, project=tmp_path))
    assert "cannot use the store. " in refuse(dask, opened)


def test_a_killed_sweep_ends_its_trials_on_workers_that_live_on(dask: Cluster, sweeps: Sweeps, look: Look) -> None:
    """The trials report to the sweep, which does not answer any more."""
    client, worker = look(), dask.start_worker()
    sweeps.write_tiny(START, REPORT.replace("run.", "time.sleep(pause_s)\n    run."), "run.log_metrics({'loss': x})")
    process = sweeps.start_until(
        2, client, n_trials=50, scheduler=dask.address, n_jobs=0, pruner="median", fixed={"pause_s": 0.2}
    )
    wait_until(lambda: any(run.info.status == "RUNNING" for run in trial_runs(client)))
    for each in psutil.Process(process.pid).children(recursive=True):
        each.kill()
    process.kill()
    process.communicate()
    wait_until(lambda: all(run.info.status != "RUNNING" for run in trial_runs(client)), 120)
    assert {run.info.status for run in trial_runs(client)} == {"FINISHED", "KILLED"}

    def end_what_they_shared() -> bool:
        with suppress(psutil.NoSuchProcess):
            left = psutil.Process(worker.pid).children(recursive=True)
            return not any("template_process" in " ".join(each.cmdline()) for each in left)
        return False

    wait_until(end_what_they_shared, 60)
    sweeps.run(n_trials=len(finished(client)) + 2, scheduler=dask.address, n_jobs=0, pruner="median", fixed={"pause_s": 0.2})
    assert len({number_of(run) for run in finished(client)}) == len(finished(client))


def test_a_sweep_without_its_scheduler_says_so_and_goes_on_with_another(dask: Cluster, sweeps: Sweeps, look: Look) -> None:
    client = look()
    values: dict[str, Any] = {"n_trials": 8, "scheduler": dask.address, "n_jobs": 0, "fixed": {"pause_s": 0.5}}
    worker = dask.start_worker()
    process = sweeps.start_until(3, client, **values)
    kill_group(dask.scheduler)
    printed = process.communicate()[1]
    assert process.returncode == 1 and "The scheduler of the workers was lost." in printed
    before = {run.info.run_id for run in finished(client)}
    wait_until(lambda: worker.poll() is not None)
    wait_until(lambda: "RUNNING" not in statuses(client), 120)
    dask.start_scheduler()
    dask.start_worker()
    sweeps.run(**values)
    assert before <= {run.info.run_id for run in finished(client)}
    assert len({number_of(run) for run in finished(client)}) == len(finished(client)) == 8


def test_a_sweep_waits_for_a_worker_if_all_are_gone(dask: Cluster, sweeps: Sweeps, look: Look) -> None:
    client, worker = look(), dask.start_worker(nthreads=1)
    process = sweeps.start_until(2, client, n_trials=6, scheduler=dask.address, n_jobs=0, fixed={"pause_s": 0.5})
    kill_group(worker)
    dask.start_worker(nthreads=1)
    printed = process.communicate()[1]
    assert process.returncode == 0, printed
    runs = finished(client)
    assert [number_of(run) for run in runs] == list(range(6)) and len({point_of(run) for run in runs}) == 6


def test_a_sweep_on_three_hosts_survives_the_death_of_a_worker(sweeps: Sweeps, new_database: NewDatabase, look: Look) -> None:
    names = [f"bl-{os.getpid()}-{letter}" for letter in "abc"]
    host = f"{NETWORK}.1"
    destination = ("--artifacts-destination", str(sweeps.folder / "kept"))
    with network_namespaces(*names) as places, serve_database(new_database(made=True), *destination, host=host) as address:
        started = Cluster(sweeps.folder, sweeps.env, host)
        try:
            workers = [started.start_worker(before=place) for place in places]
            client = look(address)
            values = {"n_trials": TRIALS, "scheduler": started.address, "n_jobs": 0, "tracking_uri": address}
            process = sweeps.start_until(TRIALS // 4, client, **sweeps.prepare_trainings() | values)
            os.killpg(workers[0].pid, signal.SIGKILL)
            printed = process.communicate()[1]
            assert process.returncode == 0, printed
        finally:
            started.end()
        runs = finished(client)
        assert [number_of(run) for run in runs] == list(range(TRIALS)) and len({point_of(run) for run in runs}) == TRIALS
        assert all(is_whole_training(client, run) for run in runs) and "RUNNING" not in statuses(client)
        workers_of = {run.data.tags[records.WORKER_TAG].rpartition(".")[0] for run in trial_runs(client)}
        assert len(workers_of) == 3
