"""Many headless executions at once, each in a process of its own, on a store that none of them has made yet."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.executions import NOTEBOOK, Look, Write
from tests.support.stores import all_runs, artifacts, read_artifact
from tests.support.waiting import TIMEOUT_S

from boostlab.tracking.journal import journals_folder

MANY = 16
CELLS = (
    "from boostlab.notebook.settings import Tracked\nfrom boostlab.tracking import start_run",
    "settings = Tracked(experiment=experiment, run_name=run_name, tracking_uri=tracking_uri)\nrun = start_run(settings)",
    "run.log_curves({'loss': [x / (step + 1) for step in range(5)]})",
    "run.log_text(str(x), 'note.txt')\nrun.finish()",
    "assert x % 4, 'each fourth fails'",
)


@pytest.mark.slow
def test_sixteen_at_once_on_a_fresh_store_each_leave_one_true_run(
    write_notebook: Write, start_papermill: Callable[..., subprocess.Popen[str]], tmp_path: Path, look: Look
) -> None:
    path, address = write_notebook(*CELLS), f"sqlite:///{tmp_path}/fresh.db"
    started = [start_papermill(path, f"out-{x}.ipynb", "-p", "x", x, "-p", "tracking_uri", address) for x in range(MANY)]
    errors = [process.communicate(timeout=TIMEOUT_S)[1] for process in started]

    client = look(address)
    runs = {int(run.data.params["x"]): run for run in all_runs(client)}
    assert len(all_runs(client)) == MANY and sorted(runs) == list(range(MANY)), errors
    for x, process in enumerate(started):
        assert (process.returncode, runs[x].info.status) == ((0, "FINISHED") if x % 4 else (1, "FAILED")), errors[x]
        run_id = runs[x].info.run_id
        points = [(point.step, point.value) for point in client.get_metric_history(run_id, "loss")]
        assert sorted(points) == [(step, x / (step + 1)) for step in range(5)]
        assert artifacts(client, run_id) == {*NOTEBOOK, "note.txt"}
        assert read_artifact(client, run_id, "note.txt") == str(x)
    assert [experiment.name for experiment in client.search_experiments()].count("tiny") == 1
    assert not list(journals_folder().iterdir())
