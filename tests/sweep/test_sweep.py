"""Sweeps as a command: they lose nothing, count nothing twice, and leave nothing behind, however they end."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path
from random import Random
from typing import Any

import nbformat
import pytest
from tests.support.executions import Look
from tests.support.servers import Relay, serve_mlflow
from tests.support.stores import NewStore, all_runs, artifacts
from tests.support.sweeps import MEASURE, START, Sweeps, finished, is_whole_training, number_of, point_of, statuses, trial_runs

from boostlab.cluster import count_cores
from boostlab.sweep import records
from boostlab.tracking.facts import STUDY_TAG, SWEEP_TAG

pytestmark = pytest.mark.slow
TRIALS = int(os.environ.get("BOOSTLAB_SWEEP_TRIALS", "8"))  # of the sweeps that are killed
TELL_PARENT = "import os; run.log_tags({'parent': str(os.getppid())})"
TELL_THREADS = """\
import threading, pyarrow, threadpoolctl
found = []
thread = threading.Thread(target=lambda: found.extend(pool["num_threads"] for pool in threadpoolctl.threadpool_info()))
thread.start()
thread.join()
run.log_tags({"threads": f"{max(found)} {pyarrow.cpu_count()}"})"""
TIMED = ("/health", "/runs/log-batch")  # a slow trial sends more of these


def test_a_sweep_records_each_trial_once_and_goes_on_by_a_larger_number(sweeps: Sweeps, look: Look) -> None:
    sweeps.run(n_trials=3, study="mine", fixed={"fails_above": 0.6})
    sweeps.wait_for_nothing()
    sweeps.execute(n_trials=6, study="mine", fixed={"fails_above": 0.6})
    assert "All 6 trials of the study have ended." in sweeps.output()
    sweeps.execute(n_trials=6, study="mine", fixed={"fails_above": 0.6})
    assert "For more of them, raise -p n_trials." in sweeps.output() and "left out" not in sweeps.output()
    sweeps.execute(n_trials=6, study="mine", fixed={"fails_above": 0.7})
    assert "6 earlier trials are left out" in sweeps.output() and "had other values of `fails_above`" in sweeps.output()
    sweeps.write_tiny(START, MEASURE.replace("0.3", "0.4"))
    sweeps.execute(n_trials=6, study="mine", fixed={"fails_above": 0.6})
    assert "6 earlier trials are left out" in sweeps.output() and "the code of `tiny.ipynb` has changed since" in sweeps.output()
    sweeps.wait_for_nothing()
    client = look()
    runs = trial_runs(client)
    assert [number_of(run) for run in runs] == list(range(6)) and len({point_of(run) for run in runs}) == 6
    assert all(run.info.status == ("FAILED" if float(run.data.params["x"]) > 0.6 else "FINISHED") for run in runs)
    assert {run.info.status for run in runs} == {"FAILED", "FINISHED"}
    parents = {run.info.run_id for run in all_runs(client) if SWEEP_TAG in run.data.tags}
    assert len(parents) == 5 and {run.data.tags[records.PARENT_TAG] for run in runs} < parents
    assert {"notebook/tiny.html", "notebook/tiny.ipynb"} <= artifacts(client, runs[0].info.run_id)


def test_the_kernels_of_a_headless_sweep_are_forked_from_one_process(sweeps: Sweeps, look: Look) -> None:
    sweeps.write_tiny(START, MEASURE, TELL_PARENT, TELL_THREADS)
    sweep = nbformat.read(sweeps.folder / "sweep.ipynb", as_version=4)
    (begin,) = [place for place, cell in enumerate(sweep.cells) if "start_run(settings)" in cell.source]
    sweep.cells.insert(begin + 1, nbformat.v4.new_code_cell(TELL_PARENT))
    nbformat.write(sweep, sweeps.folder / "sweep.ipynb")
    sweeps.run(n_trials=2, n_jobs=count_cores())
    assert len({run.data.tags["parent"] for run in all_runs(look())}) == 1
    assert [run.data.tags["threads"] for run in trial_runs(look())] == ["1 1", "1 1"], "in each thread, and for Arrow"


def test_a_sweep_that_is_killed_at_random_loses_no_trial_and_runs_none_twice(sweeps: Sweeps, look: Look) -> None:
    random, client = Random(os.getpid()), look()  # another moment each time
    values = sweeps.prepare_trainings() | {"n_trials": TRIALS}
    for kill in range(1, 4):
        process = sweeps.start_until(TRIALS * kill // 5, client, **values)  # the last trials take longer than the wait
        with pytest.raises(Exception, match="timed out"):
            process.wait(random.random())
        before = {run.info.run_id for run in finished(client)}
        sweeps.kill()
        process.communicate()
        assert before <= {run.info.run_id for run in finished(client)}
    sweeps.run(**values)
    sweeps.wait_for_nothing()
    runs = finished(client)
    assert len({number_of(run) for run in runs}) == len(runs) == TRIALS
    assert all(is_whole_training(client, run) for run in runs)
    assert len({point_of(run) for run in runs}) == TRIALS
    interrupted = {point_of(run) for run in trial_runs(client)} - {point_of(run) for run in runs}
    assert not interrupted, "they were tried again"
    assert statuses(client) == ["FINISHED", "KILLED"]


def test_the_requests_for_a_trial_do_not_grow_with_the_number_of_trials(
    sweeps: Sweeps, new_store: NewStore, tmp_path: Path
) -> None:
    with serve_mlflow(tmp_path / "served", new_store) as address, Relay(address) as relay:
        sweeps.execute(**sweeps.prepare_trainings() | {"n_trials": 7, "n_jobs": 1, "tracking_uri": relay.address})
    requests = [request for request in relay.received if not request.endswith(TIMED)]
    begins = [position for position, request in enumerate(requests) if request.endswith("/runs/create")]
    assert len(begins) == 8, "the sweep, and its trials"
    counts = [end - begin for begin, end in itertools.pairwise(begins[1:])]
    assert sum(counts[3:]) - sum(counts[:3]) < 9, counts  # one more for each earlier trial would be 9


def test_a_killed_sequential_sweep_suggests_the_points_of_an_uninterrupted_one(sweeps: Sweeps, look: Look) -> None:
    client = look()
    values: dict[str, Any] = {"n_trials": 14, "n_jobs": 1, "sampler": "tpe"}
    sweeps.execute(**values, study="whole")
    process = sweeps.start_until(14 + 11, client, **values, study="killed")
    sweeps.kill()
    process.communicate()
    sweeps.run(**values, study="killed")
    points = [[point_of(run) for run in finished(client) if run.data.tags[STUDY_TAG] == study] for study in ("whole", "killed")]
    assert points[0] == points[1] and len(points[0]) == 14


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_sweep_leaves_nothing_behind_and_goes_on(sweeps: Sweeps, look: Look, signum: signal.Signals) -> None:
    client = look()
    values: dict[str, Any] = {"n_trials": 6, "fixed": {"pause_s": 1.0}}
    process = sweeps.start_until(2, client, **values)
    process.send_signal(signum)
    process.communicate()
    sweeps.wait_for_nothing()
    assert statuses(client) == ["FINISHED", "KILLED"]
    sweeps.execute(**values, study=finished(client)[0].data.tags[STUDY_TAG])
    assert len(finished(client)) == 6 and len({point_of(run) for run in finished(client)}) == 6


def test_a_sweep_stops_after_failures_in_a_row_and_says_why(sweeps: Sweeps, look: Look) -> None:
    printed = sweeps.run(code=1, n_trials=9, max_failures=3, fixed={"fails_above": -1.0})
    assert "3 trials in a row failed, so the sweep stops. The last one, " in printed and "is too large" in printed
    assert "-p max_failures" in printed and "Traceback" not in printed
    sweeps.wait_for_nothing()
    client = look()
    assert 3 <= len(finished(client)) <= 4 and "RUNNING" not in statuses(client)


def test_a_sweep_that_was_killed_after_its_trials_leaves_nothing_after_the_next_command(sweeps: Sweeps, look: Look) -> None:
    client = look()
    process = sweeps.start_until(2, client, n_trials=50, fixed={"pause_s": 1.0})
    sweeps.kill()
    process.communicate()
    assert "RUNNING" in statuses(client)
    sweeps.run(n_trials=2)  # another study
    sweeps.wait_for_nothing()
    assert statuses(client) == ["FINISHED", "KILLED"]
