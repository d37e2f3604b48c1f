"""papermill's record of an execution: no secret in the output, no cell without an end, no cell lost with the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from boostlab.execution.client import Record
from boostlab.execution.jobs import STATUS_VARIABLE


def make_record(folder: Path, **options: Any) -> Record:
    cells = [nbformat.v4.new_code_cell(f"token = 'abcd-{number}'") for number in range(2)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.papermill = {}
    for cell in cells:
        cell.metadata.papermill = {}
    record = Record(notebook, secrets=frozenset({"abcd"}), output_path=str(folder / "out.ipynb"), progress_bar=False, **options)
    record.notebook_start()
    return record


def read_states(folder: Path) -> list[str]:
    written = json.loads((folder / "out.ipynb").read_text())
    return [cell["metadata"]["papermill"].get("status", "pending") for cell in written["cells"]]


def test_saves_no_secret_and_keeps_the_notebook_that_runs(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    record.save()
    assert "token = '***-1'" in (tmp_path / "out.ipynb").read_text()
    assert record.nb.cells[1].source == "token = 'abcd-1'"


def test_marks_the_running_cell_as_failed(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    record.mark_stopped()  # before the first cell: there is none to mark
    record.cell_start(record.nb.cells[0], 0)
    record.cell_complete(record.nb.cells[0], 0)
    record.cell_start(record.nb.cells[1], 1)
    record.mark_stopped()
    first, second = (cell.metadata.papermill for cell in record.nb.cells)
    assert (first.status, second.status) == ("completed", "failed")


def test_the_output_has_all_cells_before_the_one_that_runs(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    record.nb.cells.insert(1, nbformat.v4.new_markdown_cell("text", metadata={"papermill": {}}))
    written = []
    for number, cell in enumerate(record.nb.cells):
        record.cell_start(cell, number)
        written.append(read_states(tmp_path))
        record.cell_complete(cell, number)
    assert read_states(tmp_path) == ["completed"] * 3
    record.nb.cells.append(nbformat.v4.new_markdown_cell("the end", metadata={"papermill": {}}))
    record.cell_start(record.nb.cells[3], 3)
    record.cell_complete(record.nb.cells[3], 3)
    assert written[0] == ["running", "pending", "pending"]
    assert written[2] == ["completed", "completed", "running"]
    assert read_states(tmp_path) == ["completed"] * 4


def test_saves_a_cell_that_fails_before_the_kernel_has_ended(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    first = record.nb.cells[0]
    record.cell_start(first, 0)
    record.cell_exception(first, 0)
    record.cell_complete(first, 0)
    assert read_states(tmp_path) == ["failed", "pending"]


def test_goes_on_when_the_output_cannot_be_saved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record = make_record(tmp_path / "gone")
    for _ in range(2):
        record.save()
    assert isinstance(record.unsaved, OSError)
    assert [entry.getMessage().partition(":")[0] for entry in caplog.records].count("The output notebook cannot be saved") == 1


def test_reports_its_progress_to_the_parent_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATUS_VARIABLE, str(tmp_path / "status.json"))
    record = make_record(tmp_path)
    record.cell_complete(record.nb.cells[0], 0)
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["cell"], status["cells"], status["note"], status["run"]) == (1, 2, "", None)
