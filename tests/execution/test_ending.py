"""The ending of an execution, from the outputs of its notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from papermill.exceptions import PapermillExecutionError

from boostlab.execution.ending import CellError, RefusedError, find_ending, to_papermill


def executed(tmp_path: Path, *cells: Any) -> Any:
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    notebook.metadata.papermill = {"output_path": str(tmp_path / "out.ipynb")}
    return notebook


def cell(source: str = "x", count: int | None = 1, **error: Any) -> Any:
    outputs = [nbformat.v4.new_output("error", **error)] if error else []
    new = nbformat.v4.new_code_cell(source, execution_count=count, outputs=outputs)
    new.metadata.papermill = {"status": "completed"}
    return new


@pytest.mark.parametrize(
    ("traceback", "raised", "message"),
    [
        (["DataError: No rows."], CellError, "tiny.ipynb, cell In [2]: No rows."),
        (["frame", "DataError"], PapermillExecutionError, "DataError"),
    ],
)
def test_a_cell_that_raised_fails_the_run(tmp_path: Path, traceback: list[str], raised: type[Exception], message: str) -> None:
    broken = cell(count=2, ename="DataError", evalue="No rows.", traceback=traceback)
    ending = find_ending(executed(tmp_path, cell(), broken, cell(count=None)))

    assert (ending.status, ending.tags["boostlab.reason"]) == ("FAILED", "A cell raised DataError.")
    assert ending.tags["boostlab.error.message"] == "No rows."
    assert ending.error is not None
    error = to_papermill(ending.error, "tiny.ipynb")
    assert type(error) is raised and message in str(error)


def test_skipped_cells_fail_the_run(tmp_path: Path) -> None:
    ending = find_ending(executed(tmp_path, cell(), cell(count=None), cell(" ", count=None)))

    assert (ending.status, ending.tags["boostlab.reason"]) == ("FAILED", "The notebook ended itself 1 cell(s) before its end.")
    assert isinstance(ending.error, RefusedError)


def test_a_complete_notebook_is_finished(tmp_path: Path) -> None:
    assert find_ending(executed(tmp_path, cell(), nbformat.v4.new_markdown_cell("text"))).status == "FINISHED"
