"""Headless executions with a real kernel and a real store: their final status and their record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from tests.support.executions import NOTEBOOK, Look, Papermill, Write, run_here
from tests.support.stores import all_runs, artifacts, only_run, read_artifact
from tests.support.waiting import TIMEOUT_S

from boostlab.tracking.journal import journals_folder

pytestmark = pytest.mark.slow


def test_a_complete_execution_is_finished(write_notebook: Write, papermill: Papermill, store: str, look: Look) -> None:
    path = write_notebook("import os\nprint(x + 1)\nprint('run', os.environ['MLFLOW_RUN_ID'])")
    done = papermill(path, "made/for/it/out.ipynb", "-p", "tracking_uri", store, "-p", "x", 41)
    assert done.returncode == 0, done.stderr
    run = only_run(look())
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    assert run.info.run_name.startswith("tiny-")
    assert artifacts(look(), run.info.run_id) == NOTEBOOK
    assert run.data.params == {"x": "41", "experiment": "tiny", "run_name": "", "tracking_uri": store}
    tags = run.data.tags
    assert tags["mlflow.source.name"] == str(path)
    assert tags["boostlab.notebook"] == "tiny"
    assert tags["boostlab.origin"] == "papermill"
    assert tags["boostlab.host"] and int(tags["boostlab.pid"])
    kept = read_artifact(look(), run.info.run_id, "notebook/tiny.ipynb")
    assert json.loads(kept) == json.loads((path.parent / "made/for/it/out.ipynb").read_text())
    assert f"run {run.info.run_id}" in kept
    assert "42" in read_artifact(look(), run.info.run_id, "notebook/tiny.html")
    assert not list(journals_folder().iterdir())


def test_plain_mlflow_calls_join_the_run_and_further_runs_its_experiment(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    further = "with mlflow.start_run():\n    mlflow.log_metric('further', 1)"
    path = write_notebook("import mlflow\nmlflow.log_metric('joined', 7)\nmlflow.end_run()", f"{further}\n{further}")
    done = papermill(path, "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    runs = all_runs(look())
    assert {run.info.experiment_id for run in runs} == {look().get_experiment_by_name("tiny").experiment_id}
    (run,) = [run for run in runs if run.data.tags.get("boostlab.origin") == "papermill"]
    assert run.data.metrics["joined"] == 7


def test_a_cell_that_raises_fails_the_run_and_keeps_its_traceback(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    done = papermill(write_notebook("1 / 0", "print('never')"), "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    run = only_run(look())
    assert run.info.status == "FAILED"
    assert run.data.tags["boostlab.error.name"] == "ZeroDivisionError"
    assert run.data.tags["boostlab.error.message"] == "division by zero"
    kept = json.loads(read_artifact(look(), run.info.run_id, "notebook/tiny.ipynb"))
    outputs = [output for cell in kept["cells"] for output in cell.get("outputs", [])]
    assert [output["ename"] for output in outputs] == ["ZeroDivisionError"]
    assert artifacts(look(), run.info.run_id) == NOTEBOOK


def test_a_lab_error_ends_in_one_message_without_a_traceback(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    path = write_notebook("from boostlab.errors import DataError\nraise DataError('This table is empty.')")
    done = papermill(path, "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1] == "Error: tiny.ipynb, cell In [3]: This table is empty."
    run = only_run(look())
    assert (run.info.status, run.data.tags["boostlab.error.name"]) == ("FAILED", "DataError")
    last = json.loads((path.parent / "out.ipynb").read_text())["cells"][-1]
    assert last["outputs"][-1]["traceback"] == ["DataError: This table is empty."]


def test_a_notebook_that_ends_itself_early_is_not_finished(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    done = papermill(write_notebook("import sys\nsys.exit(0)", "print('never')"), "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 1
    run = only_run(look())
    assert (run.info.status, run.data.tags["boostlab.reason"]) == (
        "FAILED",
        "The notebook ended itself 1 cell(s) before its end.",
    )


def test_skips_scratch_cells_and_says_so_in_the_notebook(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    path = write_notebook("raise RuntimeError('tried by hand')", "print('after')")
    document = nbformat.read(path, as_version=4)
    document.cells[1].metadata.tags = ["scratch"]
    nbformat.write(document, path)
    done = papermill(path, "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    run = only_run(look())
    assert run.info.status == "FINISHED"
    kept = nbformat.reads(read_artifact(look(), run.info.run_id, "notebook/tiny.ipynb"), as_version=4)
    skipped, after = kept.cells[-2:]
    assert skipped.outputs[0].text == "Skipped: this cell is tagged 'scratch', and a headless run skips such cells.\n"
    assert (skipped.execution_count, after.outputs[0].text) == (None, "after\n")
    assert "Skipped: this cell" in read_artifact(look(), run.info.run_id, "notebook/tiny.html")


def test_relative_paths_start_at_the_folder_of_the_command(
    write_notebook: Write, papermill: Papermill, tmp_path: Path, look: Look
) -> None:
    for name in ("start/notebooks", "start/inner", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "start/pyproject.toml").touch()
    (tmp_path / "elsewhere/pyproject.toml").touch()
    (tmp_path / "elsewhere/beside.py").write_text("HERE = 'beside the kernel'")
    write_notebook("import beside\nprint(beside.HERE)").rename(tmp_path / "start/notebooks/tiny.ipynb")
    done = papermill("notebooks/tiny.ipynb", "new/out.ipynb", "--cwd", "../elsewhere", cwd=tmp_path / "start")
    assert done.returncode == 0, done.stderr
    run = only_run(look(f"sqlite:///{tmp_path}/start/mlflow.db"))
    assert run.data.tags["mlflow.source.name"] == f"{tmp_path}/start/notebooks/tiny.ipynb"
    assert "beside the kernel" in (tmp_path / "start/new/out.ipynb").read_text()
    assert not (tmp_path / "elsewhere/new").exists()


def test_a_password_stays_out_of_the_run_and_the_notebooks(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    declared = 'api_key: str = ""  # secret\naddress: str = ""  # with a password\n'
    path = write_notebook("print(api_key, address)\nassert api_key == 'abc-123-xyz'", parameters=declared)
    done = papermill(
        path,
        "out.ipynb",
        "-p",
        "api_key",
        "abc-123-xyz",
        "-p",
        "address",
        "ftp://me:p4ss%20word@host/x",
        MLFLOW_TRACKING_URI=store,
    )
    assert done.returncode == 0, done.stderr
    run = only_run(look())
    assert run.data.params == {"api_key": "***", "address": "ftp://me:***@host/x"}
    everything = [done.stderr, (path.parent / "out.ipynb").read_text()]
    everything += [read_artifact(look(), run.info.run_id, name) for name in NOTEBOOK]
    assert not [text for text in everything if any(secret in text for secret in ("abc-123-xyz", "p4ss", "98765432", "hunter22"))]


@pytest.mark.parametrize("output", ["folder", "absent/"])
def test_refuses_an_output_that_is_a_folder(
    write_notebook: Write, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    done = run_here(write_notebook("print(x)"), output, "-p", "tracking_uri", store)
    message = f"Error: tiny.ipynb: The output {tmp_path / output} is a folder. Name a file in it.\n"
    assert (done.returncode, done.stderr) == (1, message)
    assert not (tmp_path / "absent").exists()


def test_works_from_the_python_api_and_from_a_thread(write_notebook: Write, store: str, look: Look) -> None:
    path = write_notebook("print(x)", "raise ValueError('no')")
    script = f"""
import threading, papermill
def run():
    try:
        papermill.execute_notebook({str(path)!r}, 'api.ipynb', dict(tracking_uri={store!r}), progress_bar=False)
    except papermill.PapermillExecutionError as error:
        print(error.ename)
run()
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=path.parent, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.stdout.split() == ["ValueError", "ValueError"], done.stderr
    assert [run.info.status for run in all_runs(look())] == ["FAILED", "FAILED"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "y", 1], "No parameter 'y'. It takes: x, experiment, run_name, tracking_uri."),
        (["-p", "x", "abc"], "x takes a whole number, not 'abc'."),
        (["-p", "tracking_uri", "sqlite:////no/such/folder/x.db"], "the folder /no/such/folder does not exist"),
        (["-p", "tracking_uri", "http://127.0.0.1:9"], "no server answers"),
        (["-p", "tracking_uri", "gopher://x"], "has an unknown form"),
        (["-p", "tracking_uri", "x.db"], "write sqlite:///"),
        (["-k", "python33"], "No Jupyter kernel 'python33'. Did you mean 'python3'?"),
    ],
)
def test_refuses_before_anything_runs(
    write_notebook: Write,
    store: str,
    look: Look,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    done = run_here(write_notebook("print(x)"), "new/out.ipynb", *options)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: tiny.ipynb: ")
    assert message in line
    assert not (tmp_path / "new").exists()
    assert not all_runs(look())


def test_a_refusal_is_one_line_of_the_command(write_notebook: Write, papermill: Papermill, store: str) -> None:
    done = papermill(write_notebook("print(x)"), "out.ipynb", "-p", "tracking_uri", store, "-p", "x", "abc")
    *names, line = done.stderr.splitlines()
    assert (done.returncode, line) == (1, "Error: tiny.ipynb: x takes a whole number, not 'abc'.")
    assert [name.partition(":")[0] for name in names] == ["Input Notebook", "Output Notebook"]


def test_the_default_store_is_that_of_the_project(
    write_notebook: Write, papermill: Papermill, tmp_path: Path, look: Look
) -> None:
    (tmp_path / "project" / "notebooks").mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").touch()
    (tmp_path / "elsewhere").mkdir()
    path = write_notebook("print(x)").rename(tmp_path / "project/notebooks/tiny.ipynb")
    for cwd in (tmp_path, tmp_path / "elsewhere"):
        assert papermill(path, tmp_path / "out.ipynb", cwd=cwd).returncode == 0
    assert len(all_runs(look(f"sqlite:///{tmp_path}/project/mlflow.db"))) == 2
    assert {item.name for item in (tmp_path / "project").iterdir()} >= {"mlflow.db", "mlartifacts"}
    assert not list((tmp_path / "elsewhere").iterdir())
