"""The status of a headless execution: a small file for the parent process, replaced at each step."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

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


def write_status(status: Status) -> None:
    """Write the status into the file that the parent process has named, if there is one."""
    path = os.environ.get(VARIABLE)
    if path:
        with contextlib.suppress(OSError):  # the parent process and its folder are gone: the run goes on
            write_text(Path(path), json.dumps(asdict(status)))


def read_status(path: Path) -> Status:
    """Return the last status of an execution."""
    if not path.exists():
        return Status()
    values = json.loads(path.read_text())
    return Status(**values | {"run": values["run"] and RunFacts.from_json(values["run"])})
