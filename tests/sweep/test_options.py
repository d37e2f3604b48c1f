"""The options of a sweep: pruners, grids, several metrics, limits, and what is refused before any trial."""

from __future__ import annotations

import json
from typing import Any

import nbformat
import pytest
from tests.support.executions import Look
from tests.support.paths import PROJECT
from tests.support.stores import all_runs
from tests.support.sweeps import REPORT, START, Sweeps, finished, number_of, point_of, trial_runs

from boostlab.sweep import records
from boostlab.tracking.facts import PRUNED_TAG, REPORTS_TAG, STUDY_TAG

pytestmark = pytest.mark.slow
TRAIN: dict[str, Any] = {"notebook": str(PROJECT / "notebooks" / "train.ipynb"), "space": "quick", "metric": [], "direction": []}


def test_pruned_trials_are_finished_runs_with_their_reports(sweeps: Sweeps, look: Look) -> None:
    sweeps.write_tiny(START, REPORT, "run.log_metrics({'loss': (x - 0.3) ** 2 + y})")
    sweeps.run(n_trials=14, n_jobs=1, pruner="median", sampler="random")
    sweeps.wait_for_nothing()
    runs = finished(look())
    pruned = [run for run in runs if PRUNED_TAG in run.data.tags]
    assert pruned and len(runs) == 14 and {run.info.status for run in runs} == {"FINISHED"}
    for run in pruned:
        steps = [int(step) for step in json.loads(run.data.tags[REPORTS_TAG])]
        assert max(steps) == int(run.data.tags[PRUNED_TAG]) and "loss" not in run.data.metrics
    assert "pruned" in sweeps.output()


@pytest.mark.parametrize(
    ("pruner", "fixed"),
    [("median", {"num_boost_round": 30}), ("wilcoxon", {"num_boost_round": 10, "folds": 5})],
)
def test_trainings_are_pruned_by_rounds_and_by_folds(sweeps: Sweeps, look: Look, pruner: str, fixed: dict[str, int]) -> None:
    (sweeps.folder / "wide.yaml").write_text("eta: [0.3, 0.001, 0.0015, 0.002, 0.0025, 0.003, 0.0035, 0.004]\n")
    sweeps.execute(**TRAIN | {"space": "wide.yaml"}, n_trials=9, n_jobs=1, pruner=pruner, fixed=fixed, sampler="random")
    runs = finished(look())
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert any(PRUNED_TAG in run.data.tags for run in runs) and any(PRUNED_TAG not in run.data.tags for run in runs)


def test_a_grid_of_seeds_is_tried_once_each_and_ends_the_sweep(sweeps: Sweeps, look: Look) -> None:
    (sweeps.folder / "seeds.yaml").write_text("seed: [1, 2, 3]\n")
    sweeps.run(space="seeds.yaml", sampler="grid", n_trials=9, n_jobs=6)  # so many have worker processes of their own
    sweeps.wait_for_nothing()
    assert "All points of the space have been tried." in sweeps.output()
    assert sorted(point_of(run) for run in finished(look())) == ['{"seed": 1}', '{"seed": 2}', '{"seed": 3}']


def test_two_metrics_and_a_limit_of_time(sweeps: Sweeps, look: Look) -> None:
    values: dict[str, Any] = {"metric": ["loss", "size"], "direction": ["lower", "higher"], "fixed": {"pause_s": 0.5}}
    sweeps.execute(**values, n_trials=1000, timeout_s=2.0)
    assert "The time limit of 2 s was reached." in sweeps.output() and "Pareto" in sweeps.output()
    assert 2 <= len(finished(look())) < 100


def test_the_champion_is_trial_0_and_the_best_is_trained_and_registered(sweeps: Sweeps, look: Look) -> None:
    client = look()
    values = {**TRAIN, "n_jobs": 1, "fixed": {"num_boost_round": 8}, "register_as": "homes"}
    sweeps.execute(**values, n_trials=2, final_training=True, study="first")
    assert "Its model is a new version of homes." in sweeps.output().replace("`", "")
    (version,) = client.search_model_versions("name = 'homes'")
    client.set_registered_model_alias("homes", "production", version.version)
    sweeps.execute(**values, n_trials=1, final_training=True, study="second")
    (run,) = [run for run in trial_runs(client) if run.data.tags[STUDY_TAG] == "second"]
    assert run.data.tags[records.SOURCE_TAG] == "champion" and number_of(run) == 0
    champion = client.get_run(version.run_id).data.params
    assert {name: champion[name] for name in json.loads(point_of(run))} == {
        name: run.data.params[name] for name in json.loads(point_of(run))
    }


def test_two_sweeps_of_one_study_at_a_time_are_refused(sweeps: Sweeps, look: Look) -> None:
    process = sweeps.start_until(1, look(), n_trials=50, study="one", fixed={"pause_s": 1.0})
    printed = sweeps.execute(code=1, n_trials=50, study="one")
    process.kill()
    process.communicate()
    assert "The study one is being searched by the run sweep-" in printed and "Traceback" not in printed


def test_refuses_a_notebook_that_is_no_lab_notebook(sweeps: Sweeps, look: Look) -> None:
    notebook = nbformat.read(sweeps.folder / "tiny.ipynb", as_version=4)
    del notebook.metadata["boostlab"]
    nbformat.write(notebook, sweeps.folder / "tiny.ipynb")
    printed = sweeps.execute(code=1)
    assert "tiny.ipynb is no lab notebook" in printed and '"boostlab": {}' in printed
    assert len(all_runs(look())) == 1, "the sweep's own run"


def test_refuses_to_rank_trials_of_a_table_that_has_changed(sweeps: Sweeps) -> None:
    sweeps.write_tiny(START, "run.log_tags({'boostlab.judging_rows': open('rows').read()})", "run.log_metrics({'loss': x})")
    (sweeps.folder / "rows").write_text("aaaa")
    sweeps.execute(n_trials=2)
    (sweeps.folder / "rows").write_text("bbbb")
    for _ in range(2):  # the trial on other rows is in the study from now on
        printed = sweeps.execute(code=1, n_trials=4)
        assert "were judged on different rows" in printed and "Traceback" not in printed
