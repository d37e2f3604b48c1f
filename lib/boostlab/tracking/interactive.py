"""A run that is explored by hand: this kernel owns it from the first call until `finish`, or until it is left.

A cell that fails does not end it: the user mends the cell and goes on. What ends it is the notebook's last cell
(FINISHED), running again from the top (FAILED after a failed cell, else KILLED), or the kernel's end (KILLED, by the
run's keeper).
"""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

from boostlab.errors import StoreError
from boostlab.notebook import session as frontend
from boostlab.signals import sigint_noted
from boostlab.tracking import environment
from boostlab.tracking.owner import Owner
from boostlab.tracking.summary import describe_loss

ON_SCREEN = "as on the screen"
NOT_FOUND = "none: nobody knows the notebook's file"
AS_SAVED = "as last saved: no JupyterLab answered"
INCOMPLETE = "as on the screen, without the outputs of {} cell(s): cleared, run again meanwhile, or shown in another window"
UNREADABLE = "none: its file cannot be read"


class Exploration:
    """The run that this kernel owns.

    Parameters
    ----------
    owner : Owner
        The run's, which has begun.

    Attributes
    ----------
    current : Exploration or None
        The one that is open in this process.
    failed_cells : int
        How many cells have failed on the way.
    """

    current: ClassVar[Exploration | None] = None

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.failed_cells = 0
        self.ended = self._finishing = False
        self._counts: dict[str, int] = {}  # by cell: the number of its last execution
        self._unmended: set[str] = set()
        self._shell = frontend.find_shell()
        if self._shell is not None:
            self._shell.events.register("post_run_cell", self._note_cell)
        facts = owner.journal.facts()
        names = {"MLFLOW_RUN_ID": facts.run_id, "MLFLOW_EXPERIMENT_ID": facts.experiment_id}
        environment.lend({**names, "MLFLOW_TRACKING_URI": owner.store.uri})
        type(self).current = self

    def finish(self) -> None:
        """End the run FINISHED as soon as the cell that says so is through, so that its output is in the record."""
        self._finishing = True
        if self._shell is None and not self.ended:
            self._end("FINISHED")

    def leave(self) -> None:
        """End a run that did not reach its end: another begins."""
        reason = "Left after a cell had failed" if self._unmended else "Left before its end"
        self._end("FAILED" if self._unmended else "KILLED", f"{reason}: the notebook was run again from the top.")

    def _note_cell(self, result: Any) -> None:
        """Count cells that fail, and end the run after the last one."""
        cell = getattr(result.info, "cell_id", None) or result.info.raw_cell  # not every front end names its cells
        self._counts[cell] = result.execution_count
        if not result.success:
            self._finishing = False  # a cell that fails after its `finish` is mended and run again
            self._unmended.add(cell)
            self.failed_cells += 1
            self._owner.journal.add("tags", {"boostlab.failed_cells": str(self.failed_cells)})
            return
        self._unmended.discard(cell)
        if self._finishing:
            self._end("FINISHED", last_cell=cell)

    def _end(self, status: str, reason: str = "", *, last_cell: str = "") -> None:
        """End the run, whatever happens on the way: an interrupt ends the waiting, a second one leaves the rest to the keeper."""
        self.ended = True
        type(self).current = None
        if self._shell is not None:
            self._shell.events.unregister("post_run_cell", self._note_cell)
        environment.restore("MLFLOW_RUN_ID")
        try:
            with sigint_noted() as stop:
                document, state = self._read_notebook(last_cell, stop)
                if status == "FINISHED" and (broken := self._count_broken(document)):
                    status, reason = "FAILED", f"{broken} cell(s) failed and were not run again."
                _end_fluent_run(self._owner.journal.facts().run_id, status)
                tags = {"boostlab.notebook_state": state} | ({"boostlab.reason": reason} if reason else {})
                self._owner.note_end(document, status, tags)
                self._owner.deliver()
        except StoreError as error:
            print(describe_loss(self._owner.journal, self._owner.store, status, error), file=sys.stderr)  # noqa: T201  # the cell is through
        finally:
            self._owner.release()

    def _read_notebook(self, last_cell: str, stop: threading.Event) -> tuple[Any, str]:
        """Return the notebook, as on the screen if it ends with a last cell and a front end answers, and what state it is in."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # what the cell has printed last must reach the screen before its picture is taken
        session = frontend.find_session()
        saved = bool(last_cell) and frontend.save_notebook(session, stop=stop)
        begun = self._owner.journal.facts().output_path  # what a server that is stopping does not tell any more
        document, state = _read_saved(session.notebook or (Path(begun) if begun else None))
        if document is None or not saved:
            return document, state
        cells = _by_name(document)
        if last_cell in cells:  # the browser learns the number of the cell that asks only after its end
            cells[last_cell].execution_count = self._counts[last_cell]
        missing = sum(cells[name].get("execution_count") != count for name, count in self._counts.items() if name in cells)
        return document, INCOMPLETE.format(missing) if missing else ON_SCREEN

    def _count_broken(self, document: Any) -> int:
        """Return how many cells of the notebook have failed last, those apart that are meant to."""
        if document is None:
            return len(self._unmended)
        cells = _by_name(document)
        return sum("raises-exception" not in cells[name].metadata.get("tags", []) for name in self._unmended if name in cells)


def _read_saved(path: Path | None) -> tuple[Any, str]:
    """Return the notebook as its file has it, and what state that is."""
    if path is None or not path.is_file():
        return None, NOT_FOUND
    import nbformat  # slow to load, and of no use to a kernel that an engine runs

    try:
        return nbformat.read(path, as_version=4), AS_SAVED
    except Exception:  # whatever the file holds, or who may read it: the run has to end
        return None, UNREADABLE


def _by_name(document: Any) -> dict[str, Any]:
    """Return a notebook's cells by their ids and, for front ends that do not tell these, by their sources."""
    return {name: cell for cell in document.cells for name in (cell.source, cell.get("id", cell.source))}


def _end_fluent_run(run_id: str, status: str) -> None:
    """End what the user's own MLflow calls hold of the run: they would write to it on, and call it FINISHED at the exit."""
    import mlflow

    active = mlflow.active_run()
    if active is not None and active.info.run_id == run_id:
        with contextlib.suppress(Exception):  # the store is lost: it is dropped all the same
            mlflow.end_run(status)
