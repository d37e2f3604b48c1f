"""Orphaned runs: what the next execution on the host does with the journals that killed owners left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from tests.support.runs import START_TIME

from boostlab.tracking import delivery, recovery
from boostlab.tracking.journal import Journal, journals_folder
from boostlab.tracking.store import OpenStore

Begin = Callable[..., Journal]


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
    run_id = delivery.create_run(orphan, store)
    orphan.release()

    assert recovery.complete_orphans(store) == [run_id]
    assert client.get_run(run_id).info.status == "KILLED"
    assert client.get_run(run_id).data.tags["boostlab.reason"] == "Process 7 on here is gone: it was killed."
    assert [item.path for item in client.list_artifacts(run_id, "notebook")] == kept
    assert not orphan.path.exists()


def test_completes_an_orphan_that_never_reached_the_store(sqlite: OpenStore, begin: Begin) -> None:
    client, store = sqlite.client, sqlite
    begin(store).release()
    (run_id,) = recovery.complete_orphans(store)

    assert client.get_run(run_id).info.status == "KILLED"


def test_does_not_change_the_end_of_an_orphan_that_had_ended(sqlite: OpenStore, begin: Begin) -> None:
    client, store = sqlite.client, sqlite
    orphan = begin(store)
    run_id = delivery.create_run(orphan, store)
    orphan.add("end", {"status": "FINISHED", "end_time": START_TIME + 1})
    orphan.release()
    recovery.complete_orphans(store)

    assert (client.get_run(run_id).info.status, client.get_run(run_id).info.end_time) == ("FINISHED", START_TIME + 1)


def test_leaves_own_runs_and_those_of_other_stores_alone(sqlite: OpenStore, begin: Begin) -> None:
    store = sqlite
    own, other = begin(store), begin(store, store="http://elsewhere:5000")
    other.release()

    assert recovery.complete_orphans(store) == []
    assert {path.name for path in journals_folder().iterdir()} == {own.path.name, other.path.name}
    assert other.acquire()


@pytest.mark.parametrize("name", ["0", "z"])  # before and after the others
def test_completes_orphans_in_spite_of_a_journal_that_cannot_be_read(sqlite: OpenStore, begin: Begin, name: str) -> None:
    store = sqlite
    orphan = begin(store)
    run_id = delivery.create_run(orphan, store)
    orphan.release()
    (journals_folder() / name).mkdir()
    (journals_folder() / name / "run.json").touch()  # as a lost power supply leaves it

    assert recovery.complete_orphans(store) == [run_id]


def test_ends_an_orphan_when_it_was_last_written(sqlite: OpenStore, begin: Begin, tmp_path: Path) -> None:
    output = tmp_path / "out.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), output)
    orphan = begin(sqlite, output_path=str(output))
    run_id = delivery.create_run(orphan, sqlite)
    orphan.release()
    for path in (output, orphan.path / "run.json", *(entry.path for entry in orphan.entries())):
        os.utime(path, (START_TIME / 1000 + 60, START_TIME / 1000 + 60))
    recovery.complete_orphans(sqlite)
    assert sqlite.client.get_run(run_id).info.end_time == START_TIME + 60_000


def test_an_interactive_orphan_keeps_no_notebook_without_its_secrets(sqlite: OpenStore, begin: Begin, tmp_path: Path) -> None:
    output = tmp_path / "out.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("token = 'abcd1234'")]), output)
    tags = {"boostlab.pid": "7", "boostlab.host": "here", "boostlab.origin": "jupyter"}
    for secrets, kept in ((None, []), (frozenset({"abcd1234"}), ["notebook/train.html", "notebook/train.ipynb"])):
        orphan = begin(sqlite, output_path=str(output), tags=tags)
        run_id = delivery.create_run(orphan, sqlite)
        recovery.end_abandoned(orphan, secrets=secrets)
        delivery.complete(orphan, sqlite)
        assert [item.path for item in sqlite.client.list_artifacts(run_id, "notebook")] == kept
    text = Path(sqlite.client.download_artifacts(run_id, "notebook/train.ipynb")).read_text()
    assert "token = '***'" in text and "abcd1234" not in text


def test_completes_orphans_in_spite_of_a_damaged_entry(sqlite: OpenStore, begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    damaged, whole = begin(sqlite), begin(sqlite)
    (damaged.add("tags", {"a": "b"}).path / "entry.json").write_text("")  # as a lost power supply leaves it
    ids = [delivery.create_run(orphan, sqlite) for orphan in (damaged, whole)]
    for orphan in (damaged, whole):
        orphan.release()

    assert recovery.complete_orphans(sqlite) == ids[1:]
    assert f"The journal {damaged.path} cannot be delivered, and is kept: JSONDecodeError" in caplog.text
    assert damaged.acquire() and not whole.path.exists()
