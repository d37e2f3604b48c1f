from __future__ import annotations

import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.runs import make_facts

from boostlab.errors import LabError
from boostlab.tracking.journal import Journal, journals_folder, orphaned_journals
from boostlab.tracking.ui import MlflowUI

OWN_UNTIL_KILLED = """
import sys
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.journal import Journal
journal = Journal.create(RunFacts("sqlite:////mlflow.db", "train", "train-1", "train", 0, tags={}, params={}))
journal.add("tags", {"a": "b"})
print(journal.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[str]]:
    """A living process that owns a journal; its first line is the journal's path."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", OWN_UNTIL_KILLED], stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        process.kill()


def first_line(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def test_keeps_facts_and_what_is_added_to_them() -> None:
    facts = make_facts(experiment="é", ui=MlflowUI("http://host/", "make ui"))
    journal = Journal.create(facts)
    journal.note_ids(run_id="x", experiment_id="1")

    assert Journal(journal.path).facts() == replace(facts, run_id="x", experiment_id="1")


def test_is_readable_by_its_user_alone() -> None:
    assert stat.S_IMODE(Journal.create(make_facts()).path.stat().st_mode) == 0o700


def test_lies_in_the_users_state_folder(state: Path) -> None:
    assert Journal.create(make_facts()).path.parent == journals_folder() == state / "boostlab" / "runs"


def test_gives_entries_in_the_order_in_which_they_were_added() -> None:
    journal = Journal.create(make_facts())
    kinds = ["metrics", "tags", "end", "files"] * 3
    for number, kind in enumerate(kinds):
        journal.add(kind, {"number": number})

    assert [entry.type for entry in journal.entries()] == kinds
    assert [entry.read()["number"] for entry in journal.entries()] == list(range(12))


def test_moves_files_into_an_entry(tmp_path: Path) -> None:
    (tmp_path / "made" / "plots").mkdir(parents=True)
    (tmp_path / "made" / "plots" / "a.png").write_bytes(b"a")
    entry = Journal.create(make_facts()).add("files", {}, tmp_path / "made")

    assert (entry.files / "plots" / "a.png").read_bytes() == b"a"
    assert not (tmp_path / "made").exists()


def test_does_not_show_an_entry_that_is_being_written() -> None:
    journal = Journal.create(make_facts())
    (journal.path / ".draft-of-an-entry").mkdir()

    assert list(journal.entries()) == []


def test_remembers_whether_an_entry_was_sent() -> None:
    entry = Journal.create(make_facts()).add("model", {})
    assert entry.receipt is None

    entry.mark_sent({"version": 3})
    assert entry.receipt == {"version": 3}

    entry.mark_unsent()
    assert entry.receipt is None


def test_takes_entries_from_many_threads() -> None:
    journal = Journal.create(make_facts())
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: journal.add("tags", {}), range(300)))
    assert [entry.path.name for entry in journal.entries()] == [f"{number:05d}-tags" for number in range(1, 301)]


def test_waits_for_the_receipt_that_another_thread_writes() -> None:
    journal = Journal.create(make_facts())
    entry = journal.add("model", {})
    sender = threading.Timer(0.1, entry.mark_sent, [{"version": 1}])
    sender.start()

    assert journal.wait(entry, 60) == {"version": 1}
    sender.join()


def test_does_not_wait_for_a_store_that_is_lost() -> None:
    journal = Journal.create(make_facts())
    entry = journal.add("model", {})
    journal.mark_lost()

    assert journal.wait(entry, float("inf")) is None


def test_stops_waiting_in_the_end() -> None:
    journal = Journal.create(make_facts())

    assert journal.wait(journal.add("model", {}), 0.05) is None


def test_is_not_acquired_twice_in_one_process() -> None:
    journal = Journal.create(make_facts())

    assert not Journal(journal.path).acquire()


def test_can_be_acquired_again_after_it_was_released() -> None:
    journal = Journal.create(make_facts())
    journal.release()

    assert Journal(journal.path).acquire()


def test_leaves_nothing_behind_when_it_is_removed() -> None:
    journal = Journal.create(make_facts())
    journal.add("tags", {})
    journal.remove()

    assert not any(journals_folder().iterdir())


def test_cannot_be_acquired_once_it_is_removed() -> None:
    journal = Journal.create(make_facts())
    journal.remove()

    assert not Journal(journal.path).acquire()
    assert not journal.path.exists()


def test_never_finds_the_callers_own_journal_orphaned() -> None:
    journal = Journal.create(make_facts())

    assert list(orphaned_journals()) == []
    assert journal.path.exists()


def test_finds_no_orphans_where_there_never_was_a_journal(state: Path) -> None:
    assert list(orphaned_journals()) == []
    assert not state.exists()


def test_does_not_take_a_journal_from_a_living_process(owner: subprocess.Popen[str]) -> None:
    path = first_line(owner)

    assert not Journal(path).acquire()
    assert list(orphaned_journals()) == []


def test_finds_the_journal_of_a_process_that_was_killed(owner: subprocess.Popen[str]) -> None:
    path = first_line(owner)
    owner.kill()
    owner.wait()
    (orphan,) = orphaned_journals()

    assert orphan.path == path
    assert [entry.type for entry in orphan.entries()] == ["tags"]
    assert not Journal(path).acquire()


def test_refuses_a_state_folder_that_cannot_be_made(state: Path) -> None:
    state.write_text("a file")

    with pytest.raises(LabError, match=r"cannot be made: .*Make it writable, or set XDG_STATE_HOME"):
        Journal.create(make_facts())
