"""The server's log: one line of JSON for each event, on standard output."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any

import orjson


def format_line(level: str, **fields: Any) -> bytes:
    """Return an event as a line of JSON."""
    line = {"time": round(time.time(), 3), "level": level, **fields}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)


def write_line(level: str, **fields: Any) -> None:
    """Write an event."""
    write_lines(format_line(level, **fields))


def write_lines(lines: bytes) -> None:
    """Write whole lines in one call, so that lines of several workers do not mix. If nobody reads them, the server goes on."""
    with suppress(OSError):
        os.write(1, lines)
