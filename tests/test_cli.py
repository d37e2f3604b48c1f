"""The command ``boostlab``: what it delivers, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.runs import make_facts
from tests.support.stores import only_run

from boostlab.cli import main
from boostlab.tracking.journal import Journal, journals_folder
from boostlab.tracking.store import OpenStore, find_store, open_store


@pytest.fixture
def opened(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenStore:
    monkeypatch.chdir(tmp_path)
    return open_store(find_store(store, project=tmp_path))


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def test_delivers_each_journal_that_waits(opened: OpenStore) -> None:
    for _ in range(2):
        Journal.create(make_facts(store=opened.shown, run_name="left")).release()
    done = run("deliver")
    assert done.exit_code == 0, done.output
    assert done.output.count("Delivered left to ") == 2
    assert len(opened.client.search_runs([opened.client.get_experiment_by_name("train").experiment_id])) == 2
    assert run("deliver").output == f"Nothing waits in {journals_folder()}.\n"


def test_delivers_one_journal_by_its_name(opened: OpenStore) -> None:
    first, second = (Journal.create(make_facts(store=opened.shown)) for _ in range(2))
    for journal in (first, second):
        journal.release()
    assert run("deliver", first.path.name).exit_code == 0
    assert only_run(opened.client).info.status == "KILLED"
    assert second.path.exists()


def test_delivers_the_others_in_spite_of_a_damaged_journal(opened: OpenStore) -> None:
    damaged, whole = (Journal.create(make_facts(store=opened.shown)) for _ in range(2))
    (damaged.path / "run.json").write_text("{}")  # as an earlier version or a loss of power leaves it
    for journal in (damaged, whole):
        journal.release()
    done = run("deliver")
    assert done.exit_code == 1 and f"The journal {damaged.path} was written by another version" in done.output
    assert damaged.path.exists() and not whole.path.exists()


def test_leaves_a_running_execution_alone(opened: OpenStore) -> None:
    journal = Journal.create(make_facts(store=opened.shown))
    done = run("deliver")
    assert (done.exit_code, done.output) == (1, f"Error: {journal.path.name} belongs to a running execution. Wait for its end.\n")
    journal.release()


def test_names_the_journals_that_wait(opened: OpenStore) -> None:
    journal = Journal.create(make_facts(store=opened.shown))
    journal.release()
    done = run("deliver", "nothing")
    assert (
        done.exit_code == 1 and f"No journal 'nothing' waits in {journals_folder()}. Waiting: {journal.path.name}." in done.output
    )


@pytest.mark.usefixtures("opened")
def test_asks_for_an_address_with_a_password() -> None:
    Journal.create(make_facts(store="http://me:***@host")).release()
    done = run("deliver")
    assert done.exit_code == 1 and "Give that address, with its password, as --tracking-uri." in done.output


def test_a_server_has_a_page_of_its_own_and_a_lost_store_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("ui", "--tracking-uri", "sqlite:////no/such/folder/x.db")
    assert done.exit_code == 1 and "the folder /no/such/folder does not exist" in done.output


def test_a_lab_overwrites_no_file(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("mine")
    done = run("init", str(tmp_path))
    assert done.exit_code == 1 and f"{tmp_path} holds Makefile already, and no file is overwritten." in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]
