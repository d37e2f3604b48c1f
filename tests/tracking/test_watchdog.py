"""The watchdog: it completes a run once the owner's end of the pipe is closed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.waiting import TIMEOUT_S

from boostlab.tracking import delivery
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import OpenStore
from boostlab.tracking.watchdog import start_watchdog

pytestmark = pytest.mark.slow
Begin = Callable[..., Journal]


def test_ends_the_run_of_an_owner_that_is_gone(sqlite: OpenStore, begin: Begin) -> None:
    journal = begin(sqlite)
    run_id = delivery.create_run(journal, sqlite)
    watchdog = start_watchdog(journal.path, sqlite, secrets=frozenset())
    assert watchdog.poll() is None
    journal.release()  # as the operating system does for a process that was killed
    watchdog.communicate(timeout=TIMEOUT_S)

    assert sqlite.client.get_run(run_id).info.status == "KILLED"
    assert not journal.path.exists()


def test_leaves_a_run_alone_that_its_owner_has_delivered(sqlite: OpenStore, begin: Begin) -> None:
    journal = begin(sqlite)
    run_id = delivery.create_run(journal, sqlite)
    watchdog = start_watchdog(journal.path, sqlite, secrets=frozenset())
    delivery.add_end(journal, "FINISHED", {})
    delivery.complete(journal, sqlite)
    watchdog.communicate(timeout=TIMEOUT_S)

    assert (watchdog.returncode, sqlite.client.get_run(run_id).info.status) == (0, "FINISHED")


def test_keeps_the_journal_if_the_store_is_gone_too(store: str, begin: Begin) -> None:
    from pathlib import Path

    from boostlab.tracking.store import find_store, open_store

    opened = open_store(find_store(store, project=Path.cwd()))
    journal = begin(opened)
    delivery.create_run(journal, opened)
    watchdog = start_watchdog(journal.path, opened, secrets=frozenset())
    opened.path.unlink()
    journal.release()
    watchdog.communicate(timeout=TIMEOUT_S)

    assert watchdog.returncode == 0
    assert journal.acquire() and not opened.path.exists()
