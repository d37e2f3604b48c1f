"""Headless executions in the background: papermill's command in a process of its own, with progress and a stop.

The process has the same engine, the same checks and the same run as a papermill command in a terminal. It reports its status
in a small file, which is replaced at each step of the notebook and at each update of a progress line.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import nbformat
import yaml

from boostlab.atomic import write_text
from boostlab.errors import LabError, locate
from boostlab.notebook.document import name_notebook
from boostlab.notebook.parameters import check_parameters
from boostlab.tracking import environment
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.store import find_project

State = Literal["starting", "running", "finished", "failed", "stopped"]
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
COUNTED = re.compile(r"\b([\d,]+) of ([\d,]+)\b")  # in a progress line: "round 812 of 1,000"
STATUS_VARIABLE = "BOOSTLAB_STATUS"  # in the environment of an execution: the status file that its parent process reads


@dataclass(frozen=True)
class Status:
    """Progress of an execution."""

    cell: int = 0  #: number of executed cells
    cells: int = 0  #: number of all cells
    step: str = ""  #: heading above the running cell
    note: str = ""  #: progress line of the running cell, such as the rounds of a training
    run: RunFacts | None = None  #: set once the run is made
    metrics: dict[str, float] = field(default_factory=dict)  #: final metrics, once all cells have run
    tags: dict[str, str] = field(default_factory=dict)  #: what the run has recorded as tags, once all cells have run

    @property
    def share(self) -> float | None:
        """The finished share of the cells, from 0 to 1; a progress line counts within its cell. None: no cell has begun."""
        if not self.cells:
            return None
        counted = COUNTED.search(self.note)
        done, most = (int(number.replace(",", "")) for number in counted.groups()) if counted else (0, 1)
        return min(1.0, (self.cell + done / max(done, most, 1)) / self.cells)

    def describe(self) -> str:
        """Return the step and its progress line: ``Training, round 812 of 1000 · valid rmse 53.8``."""
        return ", ".join(part for part in (self.step, self.note) if part)


def write_status(status: Status) -> None:
    """Write the status file of this execution, if a parent process has named one."""
    path = os.environ.get(STATUS_VARIABLE)
    if path:
        with contextlib.suppress(OSError):  # the parent process and its folder are gone: the run goes on
            write_text(Path(path), json.dumps(asdict(status)))


class Job:
    """A headless execution in the background; :func:`start` starts one.

    Attributes
    ----------
    notebook, output : pathlib.Path
        The executed notebook and its output file.
    parameters : dict
        The given values; all other parameters have the notebook's defaults.
    """

    def __init__(self, notebook: Path, output: Path, parameters: Mapping[str, Any]) -> None:
        self.notebook, self.output, self.parameters = notebook, output, dict(parameters)
        self._folder = Path(tempfile.mkdtemp(prefix="boostlab-job-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._log, self._status_file = self._folder / "log", self._folder / "status.json"
        self._stopped = False
        self._started, self._ended_s = time.monotonic(), 0.0
        command = [sys.executable, "-P", "-m", "papermill", str(notebook), str(output), "-f", "/dev/stdin", "--no-progress-bar"]
        env = environment.outside() | {STATUS_VARIABLE: str(self._status_file)}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=env, start_new_session=True
            )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the process has ended already: the log says why
            self._process.stdin.write(yaml.safe_dump(self.parameters).encode())  # through a pipe: secrets touch no disk
            self._process.stdin.close()

    @property
    def state(self) -> State:
        """One of ``starting``, ``running``, ``finished``, ``failed``, ``stopped``."""
        code = self._process.poll()
        if code is None:
            return "running" if self.progress.run else "starting"
        return "finished" if code == 0 else "stopped" if self._stopped else "failed"

    @property
    def progress(self) -> Status:
        """Progress of the cells, and the facts of the run."""
        if not self._status_file.exists():
            return Status()
        values = json.loads(self._status_file.read_text())
        return Status(**values | {"run": values["run"] and RunFacts.from_json(values["run"])})

    @property
    def duration_s(self) -> float:
        """Seconds since the start; of an ended execution, until its end was first noticed here."""
        if self._process.poll() is not None and not self._ended_s:
            self._ended_s = time.monotonic() - self._started
        return self._ended_s or time.monotonic() - self._started

    @property
    def log(self) -> list[str]:
        """Lines that the command has written so far."""
        return ESCAPES.sub("", self._log.read_text(errors="replace")).strip().splitlines()

    @property
    def message(self) -> str:
        """Error message of papermill's command; empty unless it failed."""
        if self._process.poll() in (None, 0) or self._stopped:
            return ""
        lines = self.log
        starts = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
        return "\n".join(lines[starts[-1] :]).removeprefix("Error: ") if starts else "\n".join(lines[-1:])

    def stop(self) -> None:
        """Stop it: its run ends KILLED and keeps the notebook so far."""
        if self._process.poll() is None and not self._stopped:
            self._stopped = True
            self._process.terminate()  # SIGINT is ignored if a shell started Jupyter in the background

    def wait(self, timeout_s: float) -> State:
        """Wait until it has ended, at most `timeout_s`, and return its state."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self.state


def start(notebook: Path, parameters: Mapping[str, Any]) -> Job:
    """Start a headless execution of a notebook and return at once.

    Parameters
    ----------
    parameters : mapping
        Values that differ from the notebook's defaults.

    Raises
    ------
    LabError
        If the notebook does not exist, or a parameter is unknown, ill-typed or out of range.
    """
    try:
        document = nbformat.read(notebook, as_version=4)
    except FileNotFoundError:
        raise LabError(f"There is no notebook {locate(notebook)}. Give the path of one.") from None
    except (ValueError, nbformat.ValidationError):
        raise LabError(f"{notebook} is not a notebook. Give the path of an .ipynb file.") from None
    check_parameters(document, parameters)
    name = f"{name_notebook(notebook)}-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
    output = find_project(notebook) / "runs" / f"{name}.ipynb"
    return Job(notebook.resolve(), output, parameters)
