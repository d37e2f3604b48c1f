"""What a headless execution is doing, for whoever started it: a small file that is written over at each step."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boostlab.atomic import write_text
from boostlab.tracking.facts import RunFacts

VARIABLE = "BOOSTLAB_STATUS"


@dataclass(frozen=True)
class Status:
    """How far an execution has come.

    Attributes
    ----------
    cell, cells : int
        Cells that are done, and all cells.
    note : str
        The line that the running cell shows of its own progress, such as a training's rounds.
    run : RunFacts or None
        The facts of its run, once there is one.
    """

    cell: int = 0
    cells: int = 0
    note: str = ""
    run: RunFacts | None = None


class StatusFile:
    """The status that this process reports, in the file that `BOOSTLAB_STATUS` names; nothing is written without it."""

    def __init__(self) -> None:
        given = os.environ.get(VARIABLE)
        self._path = Path(given) if given else None
        self._status = Status()

    def note_run(self, facts: RunFacts) -> None:
        """Report that the run was made."""
        self._write(run=facts)

    def note_cell(self, done: int, cells: int) -> None:
        """Report how many cells are done."""
        self._write(cell=done, cells=cells, note="")

    def note_line(self, line: str) -> None:
        """Report what the running cell shows."""
        self._write(note=line)

    def _write(self, **changes: Any) -> None:
        if self._path is None:
            return
        self._status = dataclasses.replace(self._status, **changes)
        with contextlib.suppress(OSError):  # the parent process and its folder are gone: the run goes on
            write_text(self._path, json.dumps(dataclasses.asdict(self._status)))


def read_status(path: Path) -> Status:
    """Return the status that an execution has reported last."""
    if not path.exists():
        return Status()
    values = json.loads(path.read_text())
    return Status(**values | {"run": values["run"] and RunFacts.from_json(values["run"])})
