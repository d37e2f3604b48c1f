"""papermill's client and its record of an execution: the output notebook while it fills, without secrets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nbformat
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager
from papermill.log import logger

from boostlab.execution.jobs import Status, write_status
from boostlab.notebook.document import find_step, is_scratch
from boostlab.redaction import redact

SKIPPED = "Skipped: this cell is tagged 'scratch', and a headless run skips such cells.\n"


class Record(NotebookExecutionManager):
    """papermill's record of an execution; it writes no secret, and it marks a stopped cell as failed."""

    nb: Any

    def __init__(self, nb: Any, *, secrets: frozenset[str], **options: Any) -> None:
        super().__init__(nb, **options)
        self.secrets = secrets
        self.unsaved: OSError | None = None
        self.status = Status()
        self._is_between = False  # two code cells

    def notebook_complete(self, **kwargs: Any) -> None:
        self._is_between = False
        if self.nb.metadata.papermill.get("start_time"):
            super().notebook_complete(**kwargs)
        else:  # it was stopped before the first cell: there is no output to save
            self.cleanup_pbar()

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        if is_scratch(cell):
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=SKIPPED)]
        self._is_between = cell.cell_type != "code"
        super().cell_start(cell, cell_index, **kwargs)
        self.report(cells=len(self.nb.cells), step=find_step(self.nb.cells, cell_index or 0))

    def cell_complete(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        # The next code cell saves what this one has left; none follows a cell that has failed.
        later = [] if cell.metadata.papermill.get("exception") else self.nb.cells[(cell_index or 0) + 1 :]
        self._is_between = any(each.cell_type == "code" for each in later)
        super().cell_complete(cell, cell_index, **kwargs)
        self.report(cell=(cell_index or 0) + 1, cells=len(self.nb.cells), note="")

    def save(self, **kwargs: Any) -> None:
        if not self.output_path or self._is_between:
            return
        executed = self.nb
        self.nb = self.shareable()
        try:
            super().save(**kwargs)
        except OSError as error:  # such as a full disk: the cells go on, and the run still gets the notebook
            if not self.unsaved:
                logger.warning("The output notebook cannot be saved: %s", error)
            self.unsaved = error
        finally:
            self.nb = executed

    def report(self, **changes: Any) -> None:
        """Report a changed status to the parent process."""
        self.status = replace(self.status, **changes)
        write_status(self.status)

    def shareable(self) -> Any:
        """Return the notebook without secrets."""
        return redact(self.nb, self.secrets)

    def mark_stopped(self) -> None:
        """Mark the running cell as failed: the kernel or the execution ended."""
        started = [cell for cell in self.nb.cells if cell.metadata.get("papermill", {}).get("start_time")]
        if started:
            self.cell_exception(started[-1])


class Client(PapermillNotebookClient):
    """papermill's client of a kernel; it masks secrets in the log, reports the progress of a cell, and skips scratch cells."""

    def execute_cell(self, cell: Any, *where: Any, **options: Any) -> Any:
        return cell if is_scratch(cell) else super().execute_cell(cell, *where, **options)

    def process_message(self, msg: dict[str, Any], *where: Any, **kwargs: Any) -> Any:
        if msg["msg_type"] == "update_display_data":
            line = redact(str(msg["content"]["data"].get("text/plain", "")), self.nb_man.secrets)
            self.nb_man.report(note=line.partition("\n")[0])
        return super().process_message(msg, *where, **kwargs)

    def log_output_message(self, output: Any) -> None:
        super().log_output_message(redact(output, self.nb_man.secrets))
