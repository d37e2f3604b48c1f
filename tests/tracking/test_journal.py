from __future__ import annotations

import multiprocessing
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.runs import make_facts

from boostlab.errors import LabError
from boostlab.tracking.entries import Cursor
from boostlab.tracking.journal import Journal, journals_folder, remove_litter, waiting_journals
from boostlab.tracking.ui import MlflowUI

OWN_UNTIL_KILLED = """
import sys
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.entries import Cursor
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
    assert [entry.content["number"] for entry in journal.entries()] == list(range(12))


def test_moves_files_into_an_entry(tmp_path: Path) -> None:
    (tmp_path / "made" / "plots").mkdir(parents=True)
    (tmp_path / "made" / "plots" / "a.png").write_bytes(b"a")
    entry = Journal.create(make_facts()).add("files", {}, tmp_path / "made")

    assert (entry.files / "plots" / "a.png").read_bytes() == b"a"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("torn", [b'{"type": "ta', b"\0\0\0\0", b'{"type": "tags"}'])
def test_leaves_out_a_line_whose_writer_was_killed(torn: bytes) -> None:
    journal = Journal.create(make_facts())
    journal.add("tags", {"a": "1"})
    with (journal.path / "entries.jsonl").open("ab") as file:
        file.write(torn)
    assert [entry.content for entry in journal.entries()] == [{"a": "1"}]
    added = journal.add("tags", {"b": "2"})
    assert [entry.content for entry in journal.entries()] == [{"a": "1"}, {"b": "2"}]
    assert list(journal.entries(added.start)) == [added]


def test_knows_how_far_the_entries_were_sent() -> None:
    journal = Journal.create(make_facts())
    first, second = (journal.add("model", {"number": number}) for number in range(2))
    assert (journal.cursor.sent, second.end) == (0, journal.size)
    journal.move_cursor(sent=0, attempted=second.end)
    assert journal.cursor == Cursor(0, second.end)
    journal.move_cursor(sent=first.end)
    assert list(journal.entries(journal.cursor.sent)) == [second]
    (journal.path / "cursor").write_text("")
    assert journal.cursor == Cursor(0, second.end)  # unknown: each may have been sent


def test_keeps_the_last_receipt_of_an_entry() -> None:
    journal = Journal.create(make_facts())
    entry = journal.add("model", {})
    assert journal.receipts() == {}
    for version in (1, 2):
        journal.add_receipt(entry, {"version": version})
    assert journal.receipts() == {entry.start: {"version": 2}}
    journal.forget_sent()
    assert journal.receipts() == {}


def test_notices_files_that_a_loss_of_power_has_cut(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    for name in ("whole", "cut", "gone"):
        (tmp_path / "made" / name).write_text("text")
    entry = Journal.create(make_facts()).add("files", {}, tmp_path / "made")
    (entry.files / "cut").write_text("")
    (entry.files / "gone").unlink()
    assert sorted(entry.damaged_files()) == ["cut", "gone"]


def test_takes_entries_from_many_threads_and_processes() -> None:
    journal = Journal.create(make_facts())
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=lambda: [journal.add("tags", {}) for _ in range(100)]) for _ in range(3)]
    for other in others:
        other.start()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: journal.add("tags", {}), range(300)))
    for other in others:
        other.join()
    assert len(list(journal.entries())) == 600


def test_waits_for_the_receipt_that_another_thread_writes() -> None:
    journal = Journal.create(make_facts())
    entry = journal.add("model", {})

    def send() -> None:
        journal.add_receipt(entry, {"version": 1})
        journal.move_cursor(sent=entry.end)

    sender = threading.Timer(0.1, send)
    sender.start()

    assert journal.wait(entry) == {"version": 1}
    sender.join()


def test_does_not_wait_for_a_store_that_is_lost() -> None:
    journal = Journal.create(make_facts())
    entry = journal.add("model", {})
    journal.mark_lost()

    assert journal.wait(entry) is None


def test_a_child_of_its_owner_does_not_hold_it() -> None:
    """As a worker of a `multiprocessing.Pool` that outlives its notebook."""
    journal = Journal.create(make_facts())
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=[60])
    child.start()
    journal.release()
    try:
        assert Journal(journal.path).acquire() and child.is_alive()
    finally:
        child.kill()
        child.join()


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


def test_finds_no_journals_where_there_never_was_one(state: Path) -> None:
    assert waiting_journals() == []
    assert not state.exists()


def test_does_not_take_a_journal_from_a_living_process(owner: subprocess.Popen[str]) -> None:
    assert not Journal(first_line(owner)).acquire()


def test_acquires_the_journal_of_a_process_that_was_killed(owner: subprocess.Popen[str]) -> None:
    path = first_line(owner)
    owner.kill()
    owner.wait()
    (orphan,) = waiting_journals()

    assert orphan.path == path and orphan.acquire()
    assert [entry.type for entry in orphan.entries()] == ["tags"]
    assert not Journal(path).acquire()


def test_one_process_at_a_time_sends_it() -> None:
    journal = Journal.create(make_facts())
    assert journal.acquire_delivery() and not journal.acquire_delivery()
    assert not Journal(journal.path).acquire_delivery()


def test_scans_while_others_begin_and_end() -> None:
    """No scan fails on a journal that is being made or removed, and none sees one without its facts."""
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            journal = Journal.create(make_facts())
            journal.add("tags", {})
            journal.remove()

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(come_and_go) for _ in range(2)]
        try:
            for _ in range(300):
                for journal in waiting_journals():
                    assert not journal.acquire()
        finally:
            stop.set()
        for job in jobs:
            job.result()


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "run.json is damaged"), ("{}", "was written by another version"), ('{"format": 2}', "run.json is damaged")],
)
def test_says_what_is_wrong_with_a_journal_that_cannot_be_read(text: str, words: str) -> None:
    journal = Journal.create(make_facts())
    (journal.path / "run.json").write_text(text)
    with pytest.raises(LabError, match=words):
        journal.facts()


def test_refuses_a_state_folder_that_cannot_be_made(state: Path) -> None:
    state.write_text("a file")

    with pytest.raises(LabError, match=r"cannot be made in .*Make room there and make it writable, or set XDG_STATE_HOME"):
        Journal.create(make_facts())


def test_removes_what_a_killed_process_was_making_or_removing() -> None:
    journal = Journal.create(make_facts())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = socket.gethostname()
    names = {f".{host}-{pid}-x" for pid in (gone.pid, os.getpid())} | {f".another-{gone.pid}-x", f".{host}-me-x"}
    for name in names:
        (journals_folder() / name).mkdir()
    remove_litter()
    left = {path.name for path in journals_folder().iterdir()}
    assert left == names - {f".{host}-{gone.pid}-x"} | {journal.path.name}


def test_an_end_that_is_delivered_at_once_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    journal, append = Journal.create(make_facts()), Journal._append

    def append_and_lose_the_processor(self: Journal, *arguments: Any, **options: Any) -> int:
        start = append(self, *arguments, **options)
        Journal(self.path).remove()  # as the courier does
        return start

    monkeypatch.setattr(Journal, "_append", append_and_lose_the_processor)
    assert journal.add("end", {"status": "FINISHED"}, is_end=True).type == "end"
    assert not journal.path.exists()
