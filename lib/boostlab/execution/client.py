"""papermill's record of an execution: the notebook as it fills, on its way to the output path."""

from __future__ import annotations

from typing import Any

from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager
from papermill.log import logger

from boostlab.execution.status import StatusFile
from boostlab.redaction import redact


class Record(NotebookExecutionManager):
    """papermill's record of an execution, which never writes a secret and never calls a cell completed that was not."""

    nb: Any

    def __init__(self, nb: Any, *, secrets: frozenset[str], **options: Any) -> None:
        super().__init__(nb, **options)
        self.secrets = secrets
        self.unsaved: OSError | None = None
        self.status = StatusFile()

    def cell_complete(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        super().cell_complete(cell, cell_index, **kwargs)
        self.status.note_cell((cell_index or 0) + 1, len(self.nb.cells))

    def save(self, **kwargs: Any) -> None:
        executed = self.nb
        self.nb = self.shareable()
        try:
            super().save(**kwargs)
        except OSError as error:  # such as a full disk: the cells go on, the run gets the notebook, and the end says it
            if not self.unsaved:
                logger.warning("The output notebook cannot be saved: %s", error)
            self.unsaved = error
        finally:
            self.nb = executed

    def shareable(self) -> Any:
        """Return the notebook as it may be kept: without secrets."""
        return redact(self.nb, self.secrets)

    def mark_stopped(self) -> None:
        """Mark the cell that was running as failed: the kernel or the execution ended under it."""
        started = [cell for cell in self.nb.cells if cell.metadata.get("papermill", {}).get("start_time")]
        if started:
            self.cell_exception(started[-1])


class Client(PapermillNotebookClient):
    """papermill's client of a kernel, which passes no secret on to a log or a file, and reports a cell's own progress."""

    def process_message(self, msg: dict[str, Any], *where: Any, **kwargs: Any) -> Any:
        if msg["msg_type"] == "update_display_data":
            line = redact(str(msg["content"]["data"].get("text/plain", "")), self.nb_man.secrets)
            self.nb_man.status.note_line(line.partition("\n")[0])
        return super().process_message(msg, *where, **kwargs)

    def log_output_message(self, output: Any) -> None:
        super().log_output_message(redact(output, self.nb_man.secrets))
