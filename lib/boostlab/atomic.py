"""Atomic writes: a reader sees the old file or the new one, never a part."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a text file through a hidden draft in the same folder, which then takes its place.

    Raises
    ------
    OSError
        If the file cannot be written; the old file then stays.
    """
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
