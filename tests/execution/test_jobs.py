"""Headless executions in the background: what they report, how they end, and what is refused before they start."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tests.support.executions import PARAMETERS, Look, Write
from tests.support.stores import all_runs
from tests.support.waiting import TIMEOUT_S, wait_until

from boostlab.errors import LabError
from boostlab.execution import jobs as launch
from boostlab.execution.jobs import Job

SHOW = "from IPython.display import display\nh = display({'text/plain': 'begun'}, raw=True, display_id=True)\n"
RECORD = """\
from boostlab import start_run
from boostlab.notebook.settings import Tracked
run = start_run(Tracked.check(globals()))
run.log_metrics({"best_valid_rmse": 2})
run.log_tags({"boostlab.split": "d"})
run.log_curves({"valid_rmse": [3, 2]})"""


@pytest.fixture
def started(store: str) -> Iterator[Callable[..., Job]]:
    """Return a function that starts an execution in the test's store; all are stopped at the end."""
    jobs: list[Job] = []

    def begin(notebook: Path, **parameters: Any) -> Job:
        jobs.append(launch.start(notebook, {"tracking_uri": store, **parameters}))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.stop()
        job.wait(TIMEOUT_S)


@pytest.mark.slow
def test_a_file_in_the_working_directory_shadows_no_package(
    write_notebook: Write, started: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "click.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    job = started(write_notebook("1"))
    assert job.wait(TIMEOUT_S) == "finished", job.message


@pytest.mark.slow
def test_runs_in_the_background_and_reports(
    write_notebook: Write, look: Look, started: Callable[..., Job], tmp_path: Path
) -> None:
    go_on = tmp_path / "go"
    wait = f"import time, pathlib\nwhile not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.05)"
    notebook = write_notebook(f"{SHOW}h.update({{'text/plain': 'round 1 of 2'}}, raw=True)\n{wait}", RECORD)
    document = nbformat.read(notebook, as_version=4)
    document.cells.insert(1, nbformat.v4.new_markdown_cell("## Training\n\nTrees."))
    nbformat.write(document, notebook)
    job = started(notebook, x=5)
    assert job.progress.share is None
    wait_until(lambda: job.progress.note == "round 1 of 2")
    assert (job.state, job.progress.cell, job.progress.cells) == ("running", 3, 5)  # papermill has put in a cell of its own
    assert job.progress.describe() == "Training, round 1 of 2" and job.progress.share == 3.5 / 5

    go_on.touch()
    assert job.wait(TIMEOUT_S) == "finished"
    (run,) = all_runs(look())
    facts = job.progress.run
    assert facts is not None
    assert (run.info.status, run.info.run_id, run.data.params["x"]) == ("FINISHED", facts.run_id, "5")
    assert job.progress.cell == 5 and job.message == "" and job.output.exists()
    assert (job.progress.metrics, job.progress.tags) == ({"best_valid_rmse": 2.0}, {"boostlab.split": "d"})
    assert any("FINISHED" in line for line in job.log) and 0 < job.duration_s == job.duration_s


@pytest.mark.slow
def test_several_run_at_once_and_each_can_be_stopped(write_notebook: Write, look: Look, started: Callable[..., Job]) -> None:
    notebook = write_notebook("import time\nif x > 1: time.sleep(600)")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a Jupyter that a shell has started in the background
    try:
        stopped, left = started(notebook, x=2), started(notebook, x=1)
    finally:
        signal.signal(signal.SIGINT, before)
    wait_until(lambda: stopped.progress.cell >= 2)
    stopped.stop()

    assert (stopped.wait(TIMEOUT_S), left.wait(TIMEOUT_S)) == ("stopped", "finished")
    assert {run.data.params["x"]: run.info.status for run in all_runs(look())} == {"1": "FINISHED", "2": "KILLED"}


@pytest.mark.slow
def test_says_why_it_failed(write_notebook: Write, started: Callable[..., Job]) -> None:
    job = started(write_notebook("from boostlab.errors import DataError\nraise DataError('No rows. Give some.')"))

    assert job.wait(TIMEOUT_S) == "failed"
    assert job.message == "tiny.ipynb, cell In [3]: No rows. Give some."


@pytest.mark.slow
def test_is_a_run_of_its_own_when_started_from_a_kernel(
    write_notebook: Write, look: Look, started: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOSTLAB_JOURNAL", "/nowhere")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    job = started(write_notebook("import os\nos.environ['BOOSTLAB_JOURNAL'], os.environ.get('BOOSTLAB_STATUS')"))

    assert job.wait(TIMEOUT_S) == "finished", job.message
    assert len(all_runs(look())) == 1


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("no.ipynb", {}, "There is no notebook"),
        ("text.ipynb", {}, "is not a notebook"),
        ("tiny.ipynb", {"y": 1}, "No parameter 'y'"),
        ("tiny.ipynb", {"x": "a"}, "x takes a whole number"),
    ],
)
def test_refuses_at_once(write_notebook: Write, tmp_path: Path, name: str, parameters: dict[str, Any], words: str) -> None:
    write_notebook("x")
    (tmp_path / "text.ipynb").write_text("text")
    with pytest.raises(LabError, match=words):
        launch.start(tmp_path / name, parameters)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_keeps_secrets_off_the_command_line(write_notebook: Write, started: Callable[..., Job]) -> None:
    parameters = PARAMETERS + 'password: str = ""  # a secret\n'
    job = started(write_notebook("x", parameters=parameters), password="hunter22")
    words = wait_until(lambda: Path(f"/proc/{job._process.pid}/cmdline").read_text())  # empty for the first moment
    assert "papermill" in words and "hunter22" not in words
    assert all("hunter22" not in path.read_text() for path in job._folder.iterdir())
    assert os.environ.get("MLFLOW_RUN_ID") is None
