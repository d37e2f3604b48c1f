"""A run that is explored by hand: this kernel owns it from the first call until `finish`, or until it is left.

A cell that fails does not end it: the user mends the cell and goes on. What ends it is the notebook's last cell
(FINISHED), running again from the top (FAILED after a failed cell, else KILLED), or the kernel's end (KILLED, by the
run's keeper).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from boostlab import delivery, frontend
from boostlab.documents import stage_notebook
from boostlab.errors import StoreError
from boostlab.journal import Journal
from boostlab.keeper import start_keeper
from boostlab.redaction import redact
from boostlab.reports import describe_loss
from boostlab.sender import Sender
from boostlab.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

ON_SCREEN = "as on the screen"
NOT_FOUND = "none: nobody knows the notebook's file"
AS_SAVED = "as last saved: no JupyterLab answered"


class Exploration:
    """The run that this kernel owns.

    Parameters
    ----------
    secrets : frozenset of str
        What the notebook must not take into the run.

    Attributes
    ----------
    current : Exploration or None
        The one that is open in this process.
    failed_cells : int
        How many cells have failed on the way.
    """

    current: ClassVar[Exploration | None] = None

    def __init__(self, journal: Journal, client: MlflowClient, store: Store, *, secrets: frozenset[str]) -> None:
        self._journal, self._client, self._store, self._secrets = journal, client, store, secrets
        self.failed_cells = 0
        self.ended = self._finishing = False
        self._unmended: set[str | None] = set()
        self._keeper = start_keeper(journal.path, store_uri=store.uri, artifact_root=store.artifact_root, secrets=secrets)
        self._sender = Sender(journal, client, store)
        self._sender.start()
        self._shell = _find_shell()
        if self._shell is not None:
            self._shell.events.register("post_run_cell", self._note_cell)
        type(self).current = self

    def finish(self) -> None:
        """End the run FINISHED as soon as the cell that says so is through, so that its output is in the record."""
        self._finishing = True
        if self._shell is None:
            self._end("FINISHED")

    def leave(self) -> None:
        """End a run that did not reach its end: another begins."""
        reason = "Left after a cell had failed" if self._unmended else "Left before its end"
        self._end("FAILED" if self._unmended else "KILLED", f"{reason}: the notebook was run again from the top.")

    def _note_cell(self, result: Any) -> None:
        """Count cells that fail, and end the run after the last one."""
        cell = getattr(result.info, "cell_id", None)
        if not result.success:
            self._finishing = False  # a cell that fails after its `finish` is mended and run again
            self._unmended.add(cell)
            self.failed_cells += 1
            self._journal.add("tags", {"boostlab.failed_cells": str(self.failed_cells)})
            return
        self._unmended.discard(cell)
        if self._finishing:
            self._end("FINISHED", cell_count=result.execution_count)

    def _end(self, status: str, reason: str = "", *, cell_count: int | None = None) -> None:
        self.ended = True
        type(self).current = None
        if self._shell is not None:
            self._shell.events.unregister("post_run_cell", self._note_cell)
        document, state = _read_notebook(ask=status == "FINISHED", cell_count=cell_count)
        if status == "FINISHED" and (broken := self._count_broken(document)):
            status, reason = "FAILED", f"{broken} cell(s) failed and were not run again."
        tags = {"boostlab.notebook_state": state} | ({"boostlab.reason": reason} if reason else {})
        if document is not None:
            with tempfile.TemporaryDirectory() as folder:
                shown = redact(document, self._secrets)
                self._journal.add("files", {}, stage_notebook(shown, self._journal.facts()["notebook"], Path(folder)))
        delivery.add_end(self._journal, status, tags)
        self._sender.finish()
        try:
            self._sender.check_stopped()
            delivery.complete(self._journal, self._client, self._store)
        except StoreError as error:
            print(describe_loss(self._journal, self._store, status, error), file=sys.stderr)  # noqa: T201  # the cell is through
        finally:
            self._journal.disown()
            self._dismiss_keeper()

    def _count_broken(self, document: Any) -> int:
        """Return how many cells of the notebook have failed last, those apart that are meant to."""
        cells = [] if document is None else document.cells
        known = {cell.get("id"): cell.metadata.get("tags", []) for cell in cells}
        unnamed = len(self._unmended & {None})
        return unnamed + sum("raises-exception" not in known[name] for name in self._unmended if name in known)

    def _dismiss_keeper(self) -> None:
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        self._keeper.wait()


def _read_notebook(*, ask: bool, cell_count: int | None) -> tuple[Any, str]:
    """Return the notebook, in the screen's state if that is wanted and to be had, and which state it is."""
    session = frontend.find_session()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # what the cell has printed last must reach the screen before its picture is taken
    saved = ask and frontend.save_notebook(session)
    if session.notebook is None or not session.notebook.is_file():
        return None, NOT_FOUND
    import nbformat  # slow to load, and of no use to a kernel that an engine runs

    document = nbformat.read(session.notebook, as_version=4)
    for cell in document.cells if saved else ():  # the browser learns the number of the cell that asks only after its end
        if cell.cell_type == "code" and any(output.get("execution_count") == cell_count for output in cell.outputs):
            cell.execution_count = cell_count
    return document, ON_SCREEN if saved else AS_SAVED


def _find_shell() -> Any:
    """Return the interactive shell that runs this process's cells, if it is a kernel's."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell if shell is not None and hasattr(shell, "kernel") else None
