"""The server's log: one line of JSON for each event, on standard output."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from typing import Any

import msgspec

PATIENCE_MS = 1000  # for a reader that is slow; then lines are dropped
_patience_ms = PATIENCE_MS
_OUTPUT = select.poll()
_OUTPUT.register(1, select.POLLOUT)


def format_line(level: str, **fields: Any) -> bytes:
    """Return an event as a line of JSON."""
    line = {"time": round(time.time(), 3), "level": level, **fields}
    return msgspec.json.encode(line) + b"\n"


def write_line(level: str, **fields: Any) -> None:
    """Write an event."""
    write_lines(format_line(level, **fields))


def write_lines(lines: bytes) -> None:
    """Write whole lines together, so that lines of several workers do not mix. If nobody reads them, they are dropped."""
    global _patience_ms
    with suppress(OSError):
        while lines:
            if not _OUTPUT.poll(_patience_ms):
                _patience_ms = 0  # until somebody reads again
                return
            lines = lines[os.write(1, lines[: select.PIPE_BUF]) :]
            _patience_ms = PATIENCE_MS
