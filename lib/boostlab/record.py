"""papermill's record of an execution: the notebook as it fills, on its way to the output path."""

from __future__ import annotations

from typing import Any

from papermill.engines import NotebookExecutionManager

from boostlab.redaction import redact


class Record(NotebookExecutionManager):
    """papermill's record of an execution, which never writes a secret and never calls a cell completed that was not."""

    nb: Any

    def __init__(self, nb: Any, *, secrets: frozenset[str], **options: Any) -> None:
        super().__init__(nb, **options)
        self.secrets = secrets

    def save(self, **kwargs: Any) -> None:
        executed = self.nb
        self.nb = self.shareable()
        try:
            super().save(**kwargs)
        finally:
            self.nb = executed

    def shareable(self) -> Any:
        """Return the notebook as it may be kept: without secrets."""
        return redact(self.nb, self.secrets) if self.secrets else self.nb

    def mark_stopped(self) -> None:
        """Mark the cell that was running as failed: the kernel or the execution ended under it."""
        started = [cell for cell in self.nb.cells if cell.metadata.get("papermill", {}).get("start_time")]
        if started:
            self.cell_exception(started[-1])
