"""The courier: the process that makes a run, sends its journal, and ends it, whoever dies."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import psutil
import pytest
from tests.support.stores import NewStore, all_runs, only_run
from tests.support.waiting import wait_until

from boostlab.errors import StoreError
from boostlab.tracking.courier import Courier, CourierProcess, Shipment, start_process
from boostlab.tracking.delivery import add_end
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import OpenStore, Store, find_store, open_store

pytestmark = pytest.mark.slow
Begin = Callable[..., Journal]


@pytest.fixture
def own(new_store: NewStore, tmp_path: Path) -> OpenStore:
    """Return a store that this test may lose."""
    return open_store(find_store(new_store(tmp_path / "own"), project=tmp_path))


def carry(journal: Journal, store: Store) -> Shipment:
    shipment = Courier(store).carry(journal, secrets=frozenset())
    shipment.wait_for_run()
    return shipment


def find_couriers() -> list[psutil.Process]:
    found = []
    for one in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            found += [one] if "boostlab.tracking.courier_process" in one.cmdline() else []
    return found


@pytest.fixture(autouse=True)
def _end_all() -> Iterator[None]:
    yield
    wait_until(lambda: not find_couriers())


def test_ends_the_run_of_an_owner_that_is_gone(own: OpenStore, begin: Begin) -> None:
    journal = begin(own)
    carry(journal, own)
    journal.release()  # as the operating system does for a process that was killed
    wait_until(lambda: not journal.path.exists())
    assert only_run(own.client).info.status == "KILLED"


def test_ends_the_run_of_an_owner_whose_child_lives_on(own: OpenStore, begin: Begin) -> None:
    """As the worker of a `multiprocessing.Pool` in a notebook, which inherits every pipe."""
    journal = begin(own)
    shipment = carry(journal, own)
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=[600])
    child.start()
    try:
        add_end(journal, "FINISHED", {})
        shipment.wait_for_end()
        assert only_run(own.client).info.status == "FINISHED" and child.is_alive()
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize("times", [1, 2])
def test_goes_on_where_a_killed_courier_has_stopped(own: OpenStore, begin: Begin, times: int) -> None:
    journal = begin(own)
    shipment = carry(journal, own)
    for number in range(times):
        (process,) = find_couriers()
        process.send_signal(signal.SIGSTOP)
        journal.add("metrics", {"points": [["loss", float(number), number, number]], "final": False})
        process.kill()
        wait_until(lambda: journal.cursor.sent == journal.size)
    add_end(journal, "FINISHED", {})
    shipment.wait_for_end()
    run = only_run(own.client)
    assert run.info.status == "FINISHED"
    assert [point.value for point in own.client.get_metric_history(run.info.run_id, "loss")] == [*map(float, range(times))]


def test_says_that_no_other_courier_can_be_started(own: OpenStore, begin: Begin) -> None:
    journal = begin(own)
    shipment = carry(journal, own)
    (process,) = find_couriers()
    process.send_signal(signal.SIGSTOP)
    add_end(journal, "FINISHED", {})
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))  # nothing more can be opened
    try:
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: shipment.is_over)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with pytest.raises(StoreError, match="The courier of the run died, and no other can be started: Too many open files"):
        shipment.wait_for_end()
    assert journal.path.exists()


def test_waits_for_a_store_that_is_lost_for_a_while(own: OpenStore, begin: Begin, tmp_path: Path) -> None:
    journal = begin(own)
    shipment = carry(journal, own)
    own.path.rename(tmp_path / "away")
    entry = journal.add("tags", {"kept": "yes"})
    assert journal.wait(entry) is None  # it says soon that nobody should wait
    (tmp_path / "away").rename(own.path)
    wait_until(lambda: journal.cursor.sent == entry.end and not journal.is_lost)
    add_end(journal, "FINISHED", {})
    shipment.wait_for_end()
    run = only_run(own.client)
    assert (run.info.status, run.data.tags["kept"]) == ("FINISHED", "yes")


def test_reports_a_store_that_stays_lost_and_makes_no_new_one(own: OpenStore, begin: Begin) -> None:
    journal = begin(own)
    shipment = carry(journal, own)
    own.path.unlink()
    add_end(journal, "FINISHED", {})
    with pytest.raises(StoreError, match="does not exist any more"):
        shipment.wait_for_end()
    journal.release()
    wait_until(lambda: not find_couriers())
    assert journal.acquire_delivery() and not own.path.exists()


def test_reports_a_run_that_was_deleted_meanwhile(own: OpenStore, begin: Begin) -> None:
    journal = begin(own)
    shipment = carry(journal, own)
    own.client.delete_run(only_run(own.client).info.run_id)
    add_end(journal, "FINISHED", {})
    with pytest.raises(StoreError, match=r"was deleted in .* mlflow runs restore --run-id"):
        shipment.wait_for_end()
    assert journal.path.exists()


def test_is_not_reached_by_a_signal_to_the_group_of_its_owner(own: OpenStore, begin: Begin) -> None:
    journal = begin(own)
    carry(journal, own)
    (process,) = find_couriers()
    assert os.getpgid(process.pid) == process.pid
    journal.release()


def test_goes_if_there_is_nothing_to_carry(own: OpenStore) -> None:
    courier = Courier(own)
    courier.dismiss()
    assert not find_couriers()


def test_carries_the_runs_of_one_owner_side_by_side(own: OpenStore, begin: Begin) -> None:
    courier = Courier(own, is_only=False)
    journals = [begin(own) for _ in range(8)]
    shipments = [courier.carry(journal, secrets=frozenset()) for journal in journals]
    names = {shipment.wait_for_run().run_id for shipment in shipments}
    assert len(names) == 8 and len(find_couriers()) == 1
    for number, journal in enumerate(journals):
        journal.add("metrics", {"points": [["loss", float(number), number, 0]], "final": True})
        add_end(journal, "FINISHED", {})
    for shipment in shipments:
        shipment.wait_for_end()
    found = [own.client.get_run(shipment.facts.run_id) for shipment in shipments if shipment.facts]
    assert [(run.info.status, run.data.metrics["loss"]) for run in found] == [("FINISHED", float(number)) for number in range(8)]
    late = begin(own)
    shipment = courier.carry(late, secrets=frozenset())
    add_end(late, "FINISHED", {})
    shipment.wait_for_end()
    courier.dismiss()


@pytest.mark.parametrize("is_idle", [True, False])
def test_a_killed_courier_goes_on_with_all_of_its_runs(own: OpenStore, begin: Begin, *, is_idle: bool) -> None:
    courier = Courier(own, is_only=False)
    journals = [] if is_idle else [begin(own) for _ in range(3)]
    shipments = [courier.carry(journal, secrets=frozenset()) for journal in journals]
    for shipment in shipments:
        shipment.wait_for_run()
    if is_idle:
        first = begin(own)
        carried = courier.carry(first, secrets=frozenset())
        add_end(first, "FINISHED", {})
        carried.wait_for_end()
    (process,) = find_couriers()
    process.kill()
    wait_until(lambda: not is_idle or not find_couriers())
    journals.append(begin(own))
    shipments.append(courier.carry(journals[-1], secrets=frozenset()))
    for journal in journals:
        add_end(journal, "FINISHED", {})
    for shipment in shipments:
        shipment.wait_for_end()
    courier.dismiss()
    wait_until(lambda: not find_couriers())
    assert {run.info.status for run in all_runs(own.client)} == {"FINISHED"}


class LateReports:
    """Reports of a courier whose end is seen late, as on a busy machine."""

    def __init__(self, file: IO[str]) -> None:
        self.may_end = threading.Event()
        self._file = file

    def __iter__(self) -> Iterator[str]:
        yield from self._file
        self.may_end.wait()

    def close(self) -> None:
        self._file.close()


def test_an_order_to_a_courier_whose_death_is_not_yet_known_goes_to_the_next_one(own: OpenStore, begin: Begin) -> None:
    def start() -> CourierProcess:
        started.append(start_process())
        started[-1].stdout = LateReports(started[-1].stdout)
        return cast(CourierProcess, started[-1])

    started: list[Any] = []
    courier = Courier(own, is_only=False, start=start)
    (process,) = started
    journals = [begin(own) for _ in range(2)]
    first = courier.carry(journals[0], secrets=frozenset())
    add_end(journals[0], "FINISHED", {})
    first.wait_for_end()
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: process.poll() is not None)
    second = courier.carry(journals[1], secrets=frozenset())
    process.stdout.may_end.set()
    add_end(journals[1], "FINISHED", {})
    second.wait_for_end()
    courier.dismiss()
    assert [run.info.status for run in all_runs(own.client)] == ["FINISHED"] * 2


def test_nobody_waits_for_a_run_whose_courier_gives_reports_that_cannot_be_read(own: OpenStore, begin: Begin) -> None:
    def start() -> CourierProcess:
        command = [sys.executable, "-c", "print('no report', flush=True); input()"]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    started: list[subprocess.Popen[str]] = []
    journal = begin(own)
    courier = Courier(own, is_only=False, start=start)
    with started[-1], pytest.raises(StoreError, match="reports of the courier cannot be followed"):
        courier.carry(journal, secrets=frozenset()).wait_for_run()
    assert journal.path.exists()


def test_ends_each_run_of_an_owner_that_is_gone(own: OpenStore, begin: Begin) -> None:
    courier = Courier(own, is_only=False)
    journals = [begin(own) for _ in range(3)]
    for journal in journals:
        courier.carry(journal, secrets=frozenset()).wait_for_run()
        journal.release()  # as the operating system does for a process that was killed
    courier.dismiss()
    wait_until(lambda: not any(journal.path.exists() for journal in journals))
    assert [run.info.status for run in all_runs(own.client)] == ["KILLED"] * 3
