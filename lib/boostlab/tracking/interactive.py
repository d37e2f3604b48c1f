"""An interactive run: the kernel owns it from `start_run` until `finish`, a second start, or the end of the kernel.

A failed cell does not end the run: the user fixes the cell and runs it again. The notebook's last cell ends it FINISHED.
Running the notebook again from the top ends it FAILED after a failed cell, else KILLED. If the kernel ends first, the
run's courier ends it KILLED.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from boostlab.errors import LabError
from boostlab.notebook.document import map_steps
from boostlab.notebook.session import find_session, find_shell, save_notebook
from boostlab.notebook.status_line import status_line
from boostlab.signals import sigint_noted
from boostlab.tracking import environment
from boostlab.tracking.courier import Courier
from boostlab.tracking.owner import Owner, open_run
from boostlab.tracking.store import find_project, find_store
from boostlab.tracking.summary import describe_loss

OPENING = "Opening the store"


class InteractiveRun:
    """The run that this kernel owns; its `owner` has begun it."""

    current: ClassVar[InteractiveRun | None] = None  # the open run of this process

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.ended = self._finishing = False
        self._failures = 0
        self._counts: dict[str, int] = {}  # by cell: the number of its last execution
        self._failing: set[str] = set()  # cells whose last execution failed
        self._shell = find_shell()
        self._begun_in = self._shell.execution_count if self._shell is not None else None
        self._steps = map_steps(Path(owner.facts.output_path)) if owner.facts.output_path else {}
        if self._shell is not None:
            self._shell.events.register("pre_run_cell", self._show_step)
            self._shell.events.register("post_run_cell", self._note_cell)
        status_line.show(run=owner.facts.run_name)
        environment.begin(owner.facts, owner.store)
        type(self).current = self

    @property
    def is_beginning(self) -> bool:
        """Whether the cell that began the run is still being executed."""
        return self._shell is not None and self._shell.execution_count == self._begun_in

    def finish(self) -> None:
        """End the run FINISHED once the current cell has ended, so that the record has the cell's output."""
        self._finishing = True
        if self._shell is None and not self.ended:
            self._end("FINISHED")

    def leave(self) -> None:
        """End a run that another run replaces."""
        reason = "Left after a cell had failed" if self._failing else "Left before its end"
        self._end("FAILED" if self._failing else "KILLED", f"{reason}: the notebook was run again from the top.")

    def _show_step(self, info: Any) -> None:
        status_line.show(step=self._steps.get(str(getattr(info, "cell_id", "")), ""))

    def _note_cell(self, result: Any) -> None:
        """Count failed cells, and end the run after the last cell."""
        cell = getattr(result.info, "cell_id", None) or result.info.raw_cell  # some front ends give cells no id
        self._counts[cell] = result.execution_count
        if not result.success:
            self._finishing = False  # a cell that fails after its `finish` can be fixed and run again
            self._failing.add(cell)
            self._failures += 1
            self.owner.journal.add("tags", {"boostlab.failed_cells": str(self._failures)})
            status_line.show(detail="a cell failed")
            return
        self._failing.discard(cell)
        if self._finishing:
            self._end("FINISHED", last_cell=cell)

    def _end(self, status: str, reason: str = "", *, last_cell: str = "") -> None:
        """End the run. A first interrupt ends the wait for the browser, a second one leaves the rest to the courier."""
        self.ended = True
        type(self).current = None
        if self._shell is not None:
            self._shell.events.unregister("pre_run_cell", self._show_step)
            self._shell.events.unregister("post_run_cell", self._note_cell)
            status_line.show(run="")
        environment.restore("MLFLOW_RUN_ID")
        try:
            with sigint_noted() as stop:
                document, state = self._read_notebook(last_cell, stop)
                if status == "FINISHED" and (failing := self._count_failing(document)):
                    status, reason = "FAILED", f"{failing} cell(s) failed and were not run again."
                _end_fluent_run(self.owner.facts.run_id, status)
                tags = {"boostlab.notebook_state": state} | ({"boostlab.reason": reason} if reason else {})
                with self.owner:  # an interrupt leaves the rest to the courier
                    self.owner.note_end(document, status, tags)
                    self.owner.deliver()
        except LabError as error:
            print(describe_loss(self.owner, status, error), file=sys.stderr)  # noqa: T201  # the cell has ended: nobody would see an exception

    def _read_notebook(self, last_cell: str, stop: threading.Event) -> tuple[Any, str]:
        """Return the notebook and its state. After a last cell the browser is asked to save the notebook first."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # the last printed lines must reach the screen before the browser saves
        session = find_session()
        saved = bool(last_cell) and save_notebook(session, stop=stop)
        known = self.owner.facts.output_path  # a server that is stopping no longer tells the path
        document, state = _read_saved(session.notebook or (Path(known) if known else None))
        if document is None or not saved:
            return document, state
        cells = _cells_by_name(document)
        if last_cell in cells:  # the browser learns this cell's number only after the cell has ended
            cells[last_cell].execution_count = self._counts[last_cell]
        missing = sum(cells[name].get("execution_count") != count for name, count in self._counts.items() if name in cells)
        lost = f", without the outputs of {missing} cell(s): cleared, run again meanwhile, or shown in another window"
        return document, f"as on the screen{lost if missing else ''}"

    def _count_failing(self, document: Any) -> int:
        """Return the number of cells whose last execution failed, excluding `raises-exception` cells."""
        if document is None:
            return len(self._failing)
        cells = _cells_by_name(document)
        return sum("raises-exception" not in cells[name].metadata.get("tags", []) for name in self._failing if name in cells)


@contextlib.contextmanager
def announced() -> Iterator[Callable[[str], object]]:
    """Show in a notebook that the store is being opened, which takes seconds.

    Yields a function that shows another text instead, in Markdown. After an error, the output says that no run has begun.
    """
    if find_shell() is None:
        yield lambda _text: None
        return
    from IPython.display import Markdown, display

    handle = display({"text/plain": OPENING}, raw=True, display_id=True)
    try:
        yield lambda text: handle.update(Markdown(text))
    except BaseException:
        handle.update({"text/plain": "No run has begun."}, raw=True)
        raise


def begin_interactive(values: Mapping[str, Any]) -> InteractiveRun:
    """Begin a run that this kernel owns, after ending the run that is still open.

    Raises
    ------
    StoreError
        If the tracking store cannot be opened or refuses the run.
    """
    if InteractiveRun.current is not None:
        InteractiveRun.current.leave()
    status_line.show(run=OPENING)
    environment.restore()  # an empty tracking_uri means the user's default, not the store of the run before
    notebook = find_session().notebook
    store = find_store(values.get("tracking_uri", ""), project=find_project(notebook))
    courier = Courier(store)
    try:
        owner = open_run(values, courier, notebook=notebook, origin="jupyter", output_path=notebook)
    except BaseException:
        status_line.show(run="")
        courier.dismiss()
        raise
    try:
        owner.begin()
        return InteractiveRun(owner)
    except KeyboardInterrupt:
        with owner:  # the courier ends the run, if the store has it
            owner.note_end(None, "KILLED", {"boostlab.reason": "Interrupted while the run was being made."})
        raise


def _read_saved(path: Path | None) -> tuple[Any, str]:
    """Return the notebook from its file, and its state."""
    if path is None or not path.is_file():
        return None, "none: the notebook's file is unknown"
    import nbformat  # slow to load, and a kernel of a headless run does not need it

    try:
        return nbformat.read(path, as_version=4), "as last saved: no JupyterLab answered"
    except Exception:  # whatever the file holds or forbids: the run has to end
        return None, "none: the notebook's file cannot be read"


def _cells_by_name(document: Any) -> dict[str, Any]:
    """Return a notebook's cells by id and, for front ends that give no ids, by source."""
    return {name: cell for cell in document.cells for name in (cell.source, cell.get("id", cell.source))}


def _end_fluent_run(run_id: str, status: str) -> None:
    """End the run in MLflow's fluent API: the user's own calls would write to it later and end it FINISHED at exit."""
    if "mlflow" not in sys.modules:
        return
    import mlflow

    active = mlflow.active_run()
    if active is not None and active.info.run_id == run_id:
        with contextlib.suppress(Exception):  # MLflow closes its active run even if the store is lost
            mlflow.end_run(status)
