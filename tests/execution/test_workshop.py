from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from tests.support.stores import NewStore, all_runs, only_run
from tests.support.waiting import wait_until

from boostlab.execution.courier_template import share_courier_template
from boostlab.execution.workshop import Order, Outcome, Stop, Workshop
from boostlab.tracking.store import OpenStore, find_store, open_store

pytestmark = pytest.mark.slow
PARAMETERS = """\
value: float = 1.0  # a number
do: str = ""  # code to run
experiment: str = "own"  # MLflow experiment
run_name: str = ""  # name of the run
tracking_uri: str = ""  # store"""
WORK = """\
import os, time
from boostlab import start_run
from boostlab.notebook.settings import Tracked
run = start_run(Tracked.check(globals()))
exec(do)
run.log_metrics({"loss": value})
run.log_tags({"threads": os.environ.get("OMP_NUM_THREADS", "none"), "place": os.getcwd()})
run.finish()"""


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def opened(new_store: NewStore, tmp_path: Path) -> OpenStore:
    return open_store(find_store(new_store(tmp_path / "own"), project=tmp_path))


@pytest.fixture
def workshop(opened: OpenStore) -> Iterator[Workshop]:
    before = set(psutil.Process().children())  # of other tests
    shop = Workshop(opened, env={"OMP_NUM_THREADS": "1"})
    yield shop
    shop.close()
    shared = share_courier_template()  # lives on for the next workshop
    wait_until(lambda: {child for child in psutil.Process().children() if child.pid != shared.pid} <= before)


def order(name: str = "one", *, cwd: str | None = None, tags: dict[str, str] | None = None, **parameters: Any) -> Order:
    cell = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    document = nbformat.v4.new_notebook(
        cells=[cell, nbformat.v4.new_code_cell(WORK)], metadata={"boostlab": {}, "kernelspec": kernel}
    )
    return Order(document, Path("small.ipynb"), parameters, "side by side", name, tags=tags or {}, cwd=cwd)


def test_executes_notebooks_side_by_side_as_runs_with_their_notebooks(
    workshop: Workshop, opened: OpenStore, tmp_path: Path
) -> None:
    def execute(number: int) -> Outcome:
        return workshop.execute(order(f"run {number}", value=float(number), tags={"mine": str(number)}, cwd=str(tmp_path)))

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(execute, range(8)))
    assert [(one.status, one.metrics["loss"], one.reason) for one in outcomes] == [("FINISHED", float(n), "") for n in range(8)]
    runs = {run.info.run_id: run for run in all_runs(opened.client)}
    assert len(runs) == 8
    for number, outcome in enumerate(outcomes):
        run = runs[outcome.run_id]
        assert (run.info.run_name, run.data.tags["mine"], run.data.metrics["loss"]) == (f"run {number}", str(number), number)
        assert (run.data.tags["threads"], run.data.tags["place"]) == ("1", str(tmp_path))
        file = opened.client.download_artifacts(outcome.run_id, "notebook/small.ipynb", str(tmp_path))
        cells = nbformat.read(file, as_version=4).cells
        assert [cell.execution_count for cell in cells] == [1, 2, 3]


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"do": "raise ValueError('so it is')"}, "so it is"),
        ({"do": "os.kill(os.getpid(), 9)"}, "The kernel died: it was killed (SIGKILL), as the system does when memory runs out."),
    ],
)
def test_a_failed_notebook_is_a_failed_run_and_the_next_one_works(
    workshop: Workshop, opened: OpenStore, parameters: dict[str, Any], reason: str
) -> None:
    outcome = workshop.execute(order(**parameters))
    assert outcome.status == "FAILED" and reason in outcome.reason, outcome
    run = only_run(opened.client)
    assert (run.info.status, run.info.run_id) == ("FAILED", outcome.run_id)
    assert workshop.execute(order()).status == "FINISHED"


def test_refuses_a_parameter_before_a_run_is_made(workshop: Workshop, opened: OpenStore) -> None:
    outcome = workshop.execute(order(valeu=1.0))
    assert (outcome.status, outcome.run_id) == ("FAILED", "") and "Did you mean 'value'?" in outcome.reason
    assert all_runs(opened.client) == []


def test_stops_a_running_execution_whose_run_ends_killed(workshop: Workshop, opened: OpenStore) -> None:
    stop, found = Stop(), []
    thread = threading.Thread(target=lambda: found.append(workshop.execute(order(do="time.sleep(600)"), stop=stop)))
    thread.start()
    wait_until(lambda: [run.info.status for run in all_runs(opened.client)] == ["RUNNING"])
    stop("the test")
    thread.join()
    assert (found[0].status, found[0].reason) == ("KILLED", "Stopped by the test.")
    assert only_run(opened.client).info.status == "KILLED"
    assert "before it began" in workshop.execute(order(), stop=stop).reason


def test_a_run_that_the_store_does_not_have_whole_is_no_finished_one(workshop: Workshop, opened: OpenStore) -> None:
    outcome = workshop.execute(order(do=f"os.rename({str(opened.path)!r}, {str(opened.path)!r} + '.away')"))
    assert outcome.status == "FAILED" and "When the store is back, run: boostlab deliver" in outcome.reason, outcome
