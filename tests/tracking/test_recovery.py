"""Orphaned runs: what the next execution on the host does with the journals that killed owners left."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from tests.support.runs import START_TIME
from tests.support.stores import all_runs

from boostlab.tracking import recovery
from boostlab.tracking.delivery import Delivery
from boostlab.tracking.journal import Journal, journals_folder
from boostlab.tracking.store import OpenStore

Begin = Callable[..., Journal]


def create_run(journal: Journal, store: OpenStore) -> str:
    return Delivery(journal, store).create_run().run_id


def make_files(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    return folder


@pytest.fixture(params=["sqlite", "file"])
def store(request: pytest.FixtureRequest, stores: dict[str, OpenStore]) -> OpenStore:
    return stores[request.param]


@pytest.mark.parametrize(("age_s", "kept"), [(0, ["notebook/train.html", "notebook/train.ipynb"]), (3600, [])])
def test_completes_an_orphan_as_killed_with_what_it_wrote(
    store: OpenStore, begin: Begin, tmp_path: Path, age_s: int, kept: list[str]
) -> None:
    client = store.client
    output = tmp_path / "out.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), output)
    os.utime(output, (time.time() - age_s, time.time() - age_s))
    orphan = begin(store, output_path=str(output), start_time=int(time.time() * 1000) - 60_000)
    run_id = create_run(orphan, store)
    orphan.release()

    assert list(recovery.complete_orphans(store)) == []
    assert client.get_run(run_id).info.status == "KILLED"
    assert client.get_run(run_id).data.tags["boostlab.reason"] == f"Process 7 on {socket.gethostname()} is gone: it was killed."
    assert [item.path for item in client.list_artifacts(run_id, "notebook")] == kept
    assert not orphan.path.exists()


def test_completes_an_orphan_that_never_reached_the_store(sqlite: OpenStore, begin: Begin) -> None:
    client, store = sqlite.client, sqlite
    begin(store).release()
    assert list(recovery.complete_orphans(store)) == []

    (run,) = all_runs(client)[:1]
    assert run.info.status == "KILLED"


def test_does_not_change_the_end_of_an_orphan_that_had_ended(sqlite: OpenStore, begin: Begin) -> None:
    client, store = sqlite.client, sqlite
    orphan = begin(store)
    run_id = create_run(orphan, store)
    orphan.add("end", {"status": "FINISHED", "end_time": START_TIME + 1})
    orphan.release()
    assert list(recovery.complete_orphans(store)) == []
    assert (client.get_run(run_id).info.status, client.get_run(run_id).info.end_time) == ("FINISHED", START_TIME + 1)


def test_leaves_own_runs_and_those_of_other_stores_alone(sqlite: OpenStore, begin: Begin) -> None:
    store = sqlite
    own, other = begin(store), begin(store, store="http://elsewhere:5000")
    other.release()

    assert list(recovery.complete_orphans(store)) == []
    assert {path.name for path in journals_folder().iterdir()} == {own.path.name, other.path.name}
    assert other.acquire()


def test_each_journal_that_cannot_be_delivered_costs_one_message(sqlite: OpenStore, begin: Begin) -> None:
    """Journals with every fault that one can have, before and after the orphan that is completed in spite of them."""
    store = sqlite
    orphans = [begin(store) for _ in range(6)]
    ids = [create_run(orphan, store) for orphan in orphans]
    store.client.delete_run(ids[0])
    (orphans[1].path / "run.json").write_text("")
    orphans[2].add("unknown", {})
    orphans[3].add("tags", {"x" * 400: "too long a name"})
    experiment = store.client.create_experiment("elsewhere", artifact_location="s3://no-such-bucket/x")
    far = begin(store, experiment="elsewhere")
    (far.path.parent / "text").write_text("a file among the journals")
    far.add("files", {}, make_files(far.path.parent.parent / "made"))
    for orphan in (*orphans, far):
        orphan.release()
    messages = list(recovery.complete_orphans(store))

    assert len(messages) == 5, messages
    assert [sum(orphan.path.name in message for message in messages) for orphan in orphans] == [1, 1, 1, 1, 0, 0]
    assert {store.client.get_run(ids[number]).info.status for number in (3, 4, 5)} == {"KILLED"}
    assert not orphans[4].path.exists() and not orphans[5].path.exists()
    assert experiment and all(orphan.path.exists() for orphan in orphans[:4])


def test_leaves_the_run_of_another_host_alone(sqlite: OpenStore, begin: Begin) -> None:
    tags = {"boostlab.pid": "7", "boostlab.host": "another", "boostlab.origin": "papermill"}
    other = begin(sqlite, tags=tags)
    run_id = create_run(other, sqlite)
    other.release()  # its lock is not seen here, as on some shared file systems
    assert list(recovery.complete_orphans(sqlite)) == []
    assert sqlite.client.get_run(run_id).info.status == "RUNNING" and other.path.exists()


def test_leaves_a_run_alone_whose_courier_lives(sqlite: OpenStore, begin: Begin) -> None:
    orphan = begin(sqlite)
    create_run(orphan, sqlite)
    orphan.release()
    courier = Journal(orphan.path)
    assert courier.acquire_delivery()
    assert list(recovery.complete_orphans(sqlite)) == [] and orphan.path.exists()


def test_ends_an_orphan_when_it_was_last_written(sqlite: OpenStore, begin: Begin, tmp_path: Path) -> None:
    output = tmp_path / "out.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), output)
    orphan = begin(sqlite, output_path=str(output))
    run_id = create_run(orphan, sqlite)
    orphan.release()
    for path in (output, orphan.path / "run.json"):
        os.utime(path, (START_TIME / 1000 + 60, START_TIME / 1000 + 60))
    assert list(recovery.complete_orphans(sqlite)) == []
    assert sqlite.client.get_run(run_id).info.end_time == START_TIME + 60_000


def test_an_interactive_orphan_keeps_no_notebook_without_its_secrets(sqlite: OpenStore, begin: Begin, tmp_path: Path) -> None:
    output = tmp_path / "out.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("token = 'abcd1234'")]), output)
    tags = {"boostlab.pid": "7", "boostlab.host": socket.gethostname(), "boostlab.origin": "jupyter"}
    for secrets, kept in ((None, []), (frozenset({"abcd1234"}), ["notebook/train.html", "notebook/train.ipynb"])):
        orphan = begin(sqlite, output_path=str(output), tags=tags)
        run_id = create_run(orphan, sqlite)
        recovery.end_abandoned(orphan, secrets=secrets)
        Delivery(orphan, sqlite).complete()
        assert [item.path for item in sqlite.client.list_artifacts(run_id, "notebook")] == kept
    text = Path(sqlite.client.download_artifacts(run_id, "notebook/train.ipynb")).read_text()
    assert "token = '***'" in text and "abcd1234" not in text
