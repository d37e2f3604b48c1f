"""The journal of a run: a folder that keeps every record until the tracking store has all of them.

A notebook adds entries (metrics, files, a model); the run's courier sends them (:mod:`boostlab.tracking.courier`). The owner
holds a lock on the journal while it lives, and whoever sends the journal holds another one. A journal without a living owner
is orphaned: its courier, the next execution on the host, or ``boostlab deliver`` completes its run. Journals lie in the
user's state folder. This module does not use MLflow.

The folder holds ``run.json`` (the facts), ``entries.jsonl`` (one line per entry, appended in place), ``files`` (a folder per
entry with files), ``cursor`` (how far the entries were sent), ``receipts.jsonl`` (answers of the store) and ``reserve``
(space that is freed for the end of the run if the disk is full). An entry is known by the offset of its line.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from boostlab.atomic import sync, write_text
from boostlab.errors import LabError
from boostlab.tracking.entries import (
    FILE,
    Cursor,
    Entry,
    append_line,
    read_cursor,
    read_entries,
    size_of,
    sizes_of,
    write_cursor,
)
from boostlab.tracking.facts import RunFacts

FORMAT = 2  # of the folder; 1 had a folder per entry
POLL_S = 0.02
RESERVE_BYTES = 1 << 16
FULL = (errno.ENOSPC, errno.EDQUOT)


class Journal:
    """The journal in the folder `path`; :meth:`create` makes a new one and acquires it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._locks: list[FileLock] = []  # those that this process holds

    @classmethod
    def create(cls, facts: RunFacts) -> Journal:
        """Make the journal of a new run, and acquire it.

        Raises
        ------
        LabError
            If the folder cannot be made.
        """
        folder = journals_folder()
        draft = folder / _hide(uuid.uuid4().hex)
        try:
            draft.mkdir(parents=True, mode=0o700)
            journal = cls(draft)
            _write_facts(draft, facts)
            (draft / "delivery.lock").touch()  # on a full disk the courier could not make it
            journal.acquire()
            (draft / "reserve").write_bytes(bytes(RESERVE_BYTES))
            write_cursor(draft, Cursor())
            journal.path = draft.rename(folder / draft.name.rpartition("-")[2])  # the lock is held: it never looks orphaned
            sync(folder)
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)
            if not isinstance(error, OSError):
                raise
            raise LabError(
                f"The journal of a run cannot be made in {folder}: {error.strerror}. "
                "Make room there and make it writable, or set XDG_STATE_HOME to another folder."
            ) from None
        return journal

    def acquire(self) -> bool:
        """Acquire the journal's lock; return False if a living process holds it, or the journal is gone.

        Raises
        ------
        LabError
            If the lock cannot be opened, for example because the journal is another user's.
        """
        return self._acquire("owner.lock")

    def acquire_delivery(self) -> bool:
        """Acquire the right to send the journal; return False if a living process has it, or the journal is gone."""
        return self._acquire("delivery.lock")

    def release(self) -> None:
        """Release the locks."""
        while self._locks:
            self._locks.pop().release(force=True)

    def _acquire(self, name: str) -> bool:
        lock = FileLock(self.path / name, thread_local=False)  # a child of this process does not inherit it
        try:
            if not (self.path / "run.json").exists():
                return False
            lock.acquire(timeout=0)
        except (Timeout, FileNotFoundError, FileExistsError):  # the last one: its folder went while the lock looked for it
            return False
        except OSError as error:
            raise LabError(f"The journal {self.path} cannot be locked: {error.strerror}.") from None
        if (self.path / "run.json").exists():
            self._locks.append(lock)
            return True
        lock.release(force=True)
        shutil.rmtree(self.path, ignore_errors=True)  # it was removed meanwhile: the lock has made its folder again
        return False

    def remove(self) -> None:
        """Delete the journal: the store has the whole run."""
        trash = self.path.with_name(_hide(self.path.name))
        with contextlib.suppress(OSError):  # once it is renamed, no scan finds half a journal
            self.path.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)
        self.release()

    def facts(self) -> RunFacts:
        """Return the run's facts.

        Raises
        ------
        LabError
            If the file is damaged, for example by a loss of power, or an earlier version of boostlab wrote it.
        """
        try:
            values = json.loads((self.path / "run.json").read_text())
            if values.get("format") == FORMAT:
                return RunFacts.from_json(values)
            fault = "was written by another version of boostlab. Deliver it with that version, or delete the folder"
        except (ValueError, TypeError, AttributeError):
            fault = "cannot be read: run.json is damaged. Its run cannot be completed: delete the folder"
        except OSError as error:
            fault = f"cannot be read: {error.strerror}. Give it to its owner, or delete the folder"
        raise LabError(f"The journal {self.path} {fault}.")

    def note_ids(self, *, run_id: str, experiment_id: str) -> RunFacts:
        """Add the ids that the store has given to the run, and return the facts."""
        facts = replace(self.facts(), run_id=run_id, experiment_id=experiment_id)
        _write_facts(self.path, facts)
        return facts

    def add(self, entry_type: str, content: Mapping[str, Any], files: Path | None = None, *, is_end: bool = False) -> Entry:
        """Append an entry; the folder `files` is moved into the journal.

        Parameters
        ----------
        is_end : bool
            Whether the entry belongs to the end of the run: it may use the reserved space, and it is on the disk when this
            returns.

        Raises
        ------
        LabError
            If the disk is full or the journal is gone.
        """
        line: dict[str, Any] = {"type": entry_type, "content": content}
        target = self.path / "files" / uuid.uuid4().hex
        try:
            if files is not None:
                target.parent.mkdir(exist_ok=True)
                shutil.move(files, target)
                line |= {"files": target.name, "sizes": sizes_of(target)}
            text = json.dumps(line, default=str).encode() + b"\n"
            start = self._append(FILE, text, may_use_reserve=is_end)
            if is_end:
                with contextlib.suppress(FileNotFoundError):  # the courier may have delivered the run already
                    self.sync()
        except OSError as error:
            shutil.rmtree(target, ignore_errors=True)
            reason = error.strerror or str(error.args[0])  # an error of shutil has no number
            raise LabError(f"The journal {self.path} cannot be written: {reason}. Make room on its disk.") from None
        where = self.path / "files" / line.get("files", "none")
        return Entry(entry_type, dict(content), start, start + len(text), where, line.get("sizes", {}))

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Yield the entries from the offset `start`, in the order in which they were added; damaged lines are left out."""
        return read_entries(self.path, start)

    def has_end(self) -> bool:
        """Tell whether the final status of the run was added."""
        return any(entry.type == "end" for entry in self.entries())

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        return max(size_of(self.path / FILE), 0)

    def sync(self) -> None:
        """Bring what was not sent yet to the disk, so that it survives a loss of power."""
        for entry in self.entries(self.cursor.sent):
            for name in entry.sizes:
                sync(entry.files / name)
        sync(self.path / FILE)
        sync(self.path)

    @property
    def cursor(self) -> Cursor:
        """How far the entries were sent."""
        return read_cursor(self.path)

    def move_cursor(self, *, sent: int, attempted: int | None = None) -> None:
        """Note how far the entries were sent, and up to where that is attempted."""
        write_cursor(self.path, Cursor(sent, max(sent, attempted or 0)))

    def add_receipt(self, entry: Entry, receipt: Mapping[str, Any]) -> None:
        """Keep the store's answer to an entry."""
        text = json.dumps({"entry": entry.start, **receipt}).encode() + b"\n"
        self._append("receipts.jsonl", text, may_use_reserve=True)

    def receipts(self) -> dict[int, dict[str, Any]]:
        """Return the store's answers, each by the offset of its entry; the last one of an entry counts."""
        path = self.path / "receipts.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return {(found := json.loads(line)).pop("entry"): found for line in lines if line.endswith(b"}\n")}

    def forget_sent(self) -> None:
        """Mark all entries as unsent: the store has lost the run."""
        (self.path / "receipts.jsonl").unlink(missing_ok=True)
        self.move_cursor(sent=0)

    def wait(self, entry: Entry) -> dict[str, Any] | None:
        """Wait until an entry was sent, and return the store's answer; None if the store is lost."""
        self.hurry()
        while self.cursor.sent < entry.end:
            if self.is_lost or not self.path.exists():
                return None
            time.sleep(POLL_S)
        return self.receipts().get(entry.start, {})

    def hurry(self) -> None:
        """Ask a courier that collects entries to send them now: somebody waits."""
        with contextlib.suppress(OSError):  # such as a full disk: the courier sends them a little later
            (self.path / "hurry").touch()

    def is_hurried(self) -> bool:
        """Tell whether somebody has asked to hurry since the last call."""
        try:
            (self.path / "hurry").unlink()
        except OSError:
            return False
        return True

    @property
    def is_lost(self) -> bool:
        """Whether the store is lost at present, so that nobody should wait for a receipt."""
        return (self.path / "lost").exists()

    def mark_lost(self, *, lost: bool = True) -> bool:
        """Note that the store is lost, or that it is back; return whether that could be noted."""
        try:
            (self.path / "lost").touch() if lost else (self.path / "lost").unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def _append(self, name: str, text: bytes, *, may_use_reserve: bool) -> int:
        """Append a whole line to a file, or nothing, and return the line's offset."""
        try:
            return append_line(self.path / name, text)
        except OSError as error:
            if error.errno not in FULL or not may_use_reserve:
                raise
            (self.path / "reserve").unlink(missing_ok=True)
            return append_line(self.path / name, text)


def journals_folder() -> Path:
    """Return the folder of the user's journals on this host."""
    return user_state_path("boostlab") / "runs"


def waiting_journals() -> list[Journal]:
    """Return all journals, those of running executions too, sorted by name."""
    folder = journals_folder()
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [Journal(path) for path in paths if not path.name.startswith(".") and path.is_dir()]


def remove_litter() -> None:
    """Remove the folders of journals that a process of this host was making or removing when it was killed."""
    folder = journals_folder()
    for path in folder.glob(f".{socket.gethostname()}-*-*") if folder.is_dir() else ():
        try:
            os.kill(int(path.name.split("-")[-2]), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except (PermissionError, ValueError):  # it lives, or somebody else made the folder
            continue


def _hide(name: str) -> str:
    """Return a name for a journal that is being made or removed: no scan finds it, and it tells whose it is."""
    return f".{socket.gethostname()}-{os.getpid()}-{name}"


def _write_facts(folder: Path, facts: RunFacts) -> None:
    write_text(folder / "run.json", json.dumps({"format": FORMAT, **asdict(facts)}, default=str), durable=True)
