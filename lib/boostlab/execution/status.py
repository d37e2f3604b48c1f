"""The status of a headless execution: a small file for the parent process, replaced at each step."""

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
    """Progress of an execution.

    Attributes
    ----------
    cell, cells : int
        Number of executed cells, and of all cells.
    note : str
        Progress line of the running cell, such as the rounds of a training.
    run : RunFacts or None
        Facts of its run, once it is made.
    """

    cell: int = 0
    cells: int = 0
    note: str = ""
    run: RunFacts | None = None


class StatusFile:
    """The status file of this process, which `BOOSTLAB_STATUS` names; without the variable nothing is written."""

    def __init__(self) -> None:
        given = os.environ.get(VARIABLE)
        self._path = Path(given) if given else None
        self._status = Status()

    def note_run(self, facts: RunFacts) -> None:
        """Report the run."""
        self._write(run=facts)

    def note_cell(self, done: int, cells: int) -> None:
        """Report the number of executed cells."""
        self._write(cell=done, cells=cells, note="")

    def note_line(self, line: str) -> None:
        """Report the progress line of the running cell."""
        self._write(note=line)

    def _write(self, **changes: Any) -> None:
        if self._path is None:
            return
        self._status = dataclasses.replace(self._status, **changes)
        with contextlib.suppress(OSError):  # the parent process and its folder are gone: the run goes on
            write_text(self._path, json.dumps(dataclasses.asdict(self._status)))


def read_status(path: Path) -> Status:
    """Return the last status of an execution."""
    if not path.exists():
        return Status()
    values = json.loads(path.read_text())
    return Status(**values | {"run": values["run"] and RunFacts.from_json(values["run"])})
