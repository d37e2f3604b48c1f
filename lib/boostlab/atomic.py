"""Atomic writes: a reader sees the old file or the new one, never a part."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a text file through a hidden draft in the same folder, which then takes its place.

    Parameters
    ----------
    durable : bool
        Whether the new file must survive a loss of power from now on.

    Raises
    ------
    OSError
        If the file cannot be written; the old file then stays.
    """
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        draft.write_text(text, encoding="utf-8")
        if durable:
            sync(draft)
        draft.replace(path)
        if durable:
            sync(path.parent)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Bring a file, or the entries of a folder, to the disk.

    Raises
    ------
    OSError
        If the disk refuses it.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
