"""How an execution ended: the final status of its run, the tags that state the reason, and the error for papermill."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import click
from papermill.exceptions import PapermillExecutionError
from papermill.execute import raise_for_execution_errors

from boostlab.errors import LabError, TrialPruned, is_lab_error
from boostlab.notebook.document import is_scratch
from boostlab.tracking.facts import TAG_LENGTH


class RefusedError(LabError, click.ClickException):
    """The execution was refused, or its run could not be delivered: papermill's command shows the message and exits with 1."""


class CellError(LabError, PapermillExecutionError, click.ClickException):
    """A cell raised a LabError: papermill's own exception, shown as one message without a traceback."""

    def __init__(self, message: str, error: PapermillExecutionError) -> None:
        click.ClickException.__init__(self, message)
        self.args = error.args
        self.__dict__.update(error.__dict__)

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Ending:
    """The end of an execution: ``FINISHED``, ``FAILED`` or ``KILLED``, the tags that say why, and what papermill should raise."""

    status: str
    tags: dict[str, str] = field(default_factory=dict)
    error: BaseException | None = None


def failed(error: BaseException, reason: str, *, name: str = "", message: str = "") -> Ending:
    """Return the ending of a FAILED run, with the error in its tags."""
    tags = {
        "boostlab.error.name": name or type(error).__name__,
        "boostlab.error.message": message or str(error),
        "boostlab.reason": reason,
    }
    return Ending("FAILED", {tag: text[:TAG_LENGTH] for tag, text in tags.items()}, error)


def find_ending(notebook: Any) -> Ending:
    """Return the ending of a notebook whose cells were executed, from its outputs."""
    try:
        raise_for_execution_errors(notebook, notebook.metadata.papermill.get("output_path"))
    except PapermillExecutionError as error:
        if error.ename == TrialPruned.__name__:
            return Ending("FINISHED", {"boostlab.reason": error.evalue})
        return failed(error, f"A cell raised {error.ename}.", name=error.ename, message=error.evalue)
    except OSError as error:
        return failed(error, "The output notebook cannot be saved.")
    skipped = [cell for cell in notebook.cells if _should_have_run(cell) and cell.execution_count is None]
    if skipped:  # after sys.exit(0) papermill would report a success
        reason = f"The notebook ended itself {len(skipped)} cell(s) before its end."
        return Ending("FAILED", {"boostlab.reason": reason}, RefusedError(reason))
    return Ending("FINISHED")


def to_papermill(error: BaseException, label: str) -> BaseException:
    """Return the exception that papermill should raise; `label` names the notebook in its message."""
    if isinstance(error, RefusedError):
        return RefusedError(f"{label}: {error}")
    if isinstance(error, PapermillExecutionError) and is_lab_error(error.ename, error.traceback):
        return CellError(f"{label}, cell In [{error.exec_count}]: {error.evalue}", error)
    return error


def _should_have_run(cell: Any) -> bool:
    is_left_out = is_scratch(cell) or "skip-execution" in cell.metadata.get("tags", [])
    return bool(cell.cell_type == "code" and cell.source.strip() and not is_left_out)
