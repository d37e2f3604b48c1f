"""The entries of a journal: lines of JSON in one file, which any thread or process of a run may append to."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "entries.jsonl"


@dataclass(frozen=True)
class Entry:
    """One record: a line of the journal."""

    type: str  #: such as ``metrics`` or ``model``
    content: dict[str, Any]
    start: int  #: offset of the line in bytes
    end: int  #: offset of the next line
    files: Path  #: folder of the entry's files; it exists only if the entry has files
    sizes: dict[str, int]  #: bytes of each file

    def damaged_files(self) -> list[str]:
        """Return the files that are gone or cut, as a loss of power leaves them."""
        return [name for name, size in self.sizes.items() if size_of(self.files / name) != size]


@dataclass(frozen=True)
class Cursor:
    """How far the entries were sent, as offsets in bytes."""

    sent: int = 0
    attempted: int = 0  #: past `sent` if the store's answer to the entries in between was lost


def read_entries(journal: Path, start: int = 0) -> Iterator[Entry]:
    """Yield the entries of a journal's folder from the offset `start`; damaged lines are left out."""
    with contextlib.suppress(FileNotFoundError), (journal / FILE).open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return  # it is being written, or its writer was killed
            start, begin = start + len(line), start
            try:
                values = json.loads(line)
                content = values["content"]
            except (ValueError, KeyError, TypeError):
                continue
            files = journal / "files" / values.get("files", "none")
            yield Entry(values["type"], content, begin, start, files, values.get("sizes", {}))


def append_line(path: Path, text: bytes) -> int:
    """Append a whole line to a file, or nothing, and return the line's offset.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        start = os.lseek(file, 0, os.SEEK_END)
        if start and os.pread(file, 1, start - 1) != b"\n":  # a writer was killed: end its line, which is left out
            start += os.write(file, b"\n")
        if os.write(file, text) < len(text):
            os.ftruncate(file, start)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return start
    finally:
        os.close(file)


def read_cursor(journal: Path) -> Cursor:
    """Return how far a journal's entries were sent."""
    try:
        sent, attempted = (journal / "cursor").read_text().split()
        return Cursor(int(sent), int(attempted))
    except (OSError, ValueError):
        return Cursor(0, max(size_of(journal / FILE), 0))  # unknown: each entry may have been sent


def write_cursor(journal: Path, cursor: Cursor) -> None:
    """Write a cursor in place: its size never changes, so that a full disk does not matter."""
    file = os.open(journal / "cursor", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(file, f"{cursor.sent:020d} {cursor.attempted:020d}\n".encode(), 0)
    finally:
        os.close(file)


def sizes_of(folder: Path) -> dict[str, int]:
    """Return the bytes of each file below a folder."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}


def size_of(path: Path) -> int:
    """Return the bytes of a file; -1 if it cannot be looked at."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
