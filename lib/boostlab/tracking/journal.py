"""The journal of a run: a folder that keeps every record until the tracking store has all of them.

A notebook adds entries (metrics, files, a model); the run's owner sends them (:mod:`boostlab.tracking.delivery`). The owner
holds a lock on the journal while it lives. A journal without a locked owner is orphaned: the next execution on the host, or
``boostlab deliver``, completes its run. Journals lie in the user's state folder. This module does not use MLflow.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from boostlab.atomic import write_text
from boostlab.errors import LabError
from boostlab.tracking.facts import RunFacts

DONE = "done.json"
POLL_S = 0.02


@dataclass(frozen=True)
class Entry:
    """One record: a folder ``<number>-<type>`` with its content in ``entry.json`` and its files in ``files``."""

    path: Path

    @property
    def type(self) -> str:
        """Type of the record, such as ``metrics`` or ``model``."""
        return self.path.name.partition("-")[2]

    @property
    def files(self) -> Path:
        """Folder of the entry's files."""
        return self.path / "files"

    def read(self) -> dict[str, Any]:
        """Return the entry's content."""
        return dict(json.loads((self.path / "entry.json").read_text()))

    @property
    def receipt(self) -> dict[str, Any] | None:
        """Answer of the store, or None if the entry was not sent yet."""
        done = self.path / DONE
        return json.loads(done.read_text()) if done.exists() else None

    def mark_sent(self, receipt: Mapping[str, Any]) -> None:
        """Mark the entry as sent."""
        _write(self.path / DONE, receipt)

    def mark_unsent(self) -> None:
        """Mark the entry as not sent: the store has lost it."""
        (self.path / DONE).unlink(missing_ok=True)


class Journal:
    """The journal in the folder `path`; :meth:`create` makes a new one and acquires it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / "owner.lock", thread_local=False)
        self._numbering = threading.Lock()  # callbacks of widgets may run in other threads

    @classmethod
    def create(cls, facts: RunFacts) -> Journal:
        """Make the journal of a new run, and acquire it.

        Raises
        ------
        LabError
            If the folder cannot be made.
        """
        folder = journals_folder()
        draft = folder / f".{uuid.uuid4().hex}"
        try:
            draft.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise LabError(
                f"The folder {folder} for the journals of runs cannot be made: {error.strerror}. "
                "Make it writable, or set XDG_STATE_HOME to a folder that is."
            ) from None
        journal = cls(draft)
        journal.acquire()
        _write(draft / "run.json", asdict(facts))
        journal.path = draft.rename(folder / draft.name.removeprefix("."))  # the lock is held: it never looks orphaned
        return journal

    def acquire(self) -> bool:
        """Acquire the journal's lock; return False if a living process holds it or the journal is gone."""
        if not self.path.exists():
            return False
        try:
            self._lock.acquire(timeout=0)
        except (Timeout, FileNotFoundError):
            return False
        return self.path.exists()

    def release(self) -> None:
        """Release the lock."""
        self._lock.release(force=True)

    def remove(self) -> None:
        """Delete the journal: the store has the whole run."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def facts(self) -> RunFacts:
        """Return the run's facts.

        Raises
        ------
        LabError
            If the file is damaged, for example by a loss of power.
        """
        try:
            return RunFacts.from_json(json.loads((self.path / "run.json").read_text()))
        except (ValueError, TypeError):
            raise LabError(f"The journal {self.path} cannot be read. Its run cannot be completed: delete the folder.") from None

    def note_ids(self, *, run_id: str, experiment_id: str) -> None:
        """Add the ids that the store has given to the run."""
        _write(self.path / "run.json", asdict(replace(self.facts(), run_id=run_id, experiment_id=experiment_id)))

    def add(self, entry_type: str, content: Mapping[str, Any], files: Path | None = None) -> Entry:
        """Append an entry atomically; the folder `files` is moved into it."""
        draft = self.path / f".{uuid.uuid4().hex}"
        draft.mkdir()
        _write(draft / "entry.json", content)
        if files is not None:
            shutil.move(files, draft / "files")
        with self._numbering:
            number = sum(1 for _ in self.entries()) + 1
            return Entry(draft.rename(self.path / f"{number:05d}-{entry_type}"))

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in the order in which they were added."""
        for path in sorted(self.path.glob("[0-9]*-*")):
            yield Entry(path)

    def wait(self, entry: Entry, timeout_s: float) -> dict[str, Any] | None:
        """Wait until the owner has sent an entry, and return the receipt; None after `timeout_s` or if the store is lost."""
        deadline = time.monotonic() + timeout_s
        while entry.receipt is None and time.monotonic() < deadline and not (self.path / "lost").exists():
            time.sleep(POLL_S)
        return entry.receipt

    def mark_lost(self) -> None:
        """Note that the store is lost, so that nobody waits for a receipt."""
        (self.path / "lost").touch()


def journals_folder() -> Path:
    """Return the folder of the user's journals on this host."""
    return user_state_path("boostlab") / "runs"


def orphaned_journals() -> Iterator[Journal]:
    """Yield each orphaned journal, acquired for the caller."""
    folder = journals_folder()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        journal = Journal(path)
        if not path.name.startswith(".") and (path / "run.json").exists() and journal.acquire():
            yield journal


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(facts, default=str))
