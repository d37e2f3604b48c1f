"""``sweep.ipynb`` by papermill: its record, the trials below it, the final training, and the comparison of the study."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.executions import Write, run_here
from tests.support.paths import PAPERMILL, PROJECT
from tests.support.stores import NewStore, all_runs, artifacts
from tests.support.sweep_notebooks import SWEEP, write_trial

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sweep")]

COMPARE = PROJECT / "notebooks" / "compare.ipynb"
FIGURES = {"history", "importance", "slices", "pair", "parallel_coordinates", "timeline", "reports"}
FILES = {"notebook/sweep.ipynb", "notebook/sweep.html"} | {f"plots/{name}.png" for name in FIGURES}
GIVEN = ["-p", "space", "quick", "-p", "n_trials", "7", "-p", "pruner", "median", "-p", "study", "first"]
FINAL = ["-p", "final_training", "True", "-p", "register_as", "sugar", "-y", "fixed: {num_boost_round: 20}"]
Papermill = Callable[..., subprocess.CompletedProcess[str]]
Look = Callable[..., Any]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> Path:
    """Return the folder of a SQLite store with a sweep of ``train.ipynb``, and its executed notebook."""
    folder = tmp_path_factory.mktemp("swept")
    command = [PAPERMILL, "--no-progress-bar", str(SWEEP), str(folder / "out.ipynb"), "-p", "tracking_uri", new_store(folder)]
    subprocess.run([*command, *GIVEN, *FINAL], check=True, capture_output=True, cwd=PROJECT)
    return folder


def words(output: Path) -> str:
    """Return the Markdown that an executed notebook's cells show."""
    outputs = [item for cell in json.loads(output.read_text())["cells"] for item in cell.get("outputs", [])]
    return "\n".join("".join(item.get("data", {}).get("text/markdown", "")) for item in outputs)


def find_runs(client: Any) -> tuple[Any, list[Any], list[Any]]:
    """Return the run of the sweep, those of its trials by their number, and the others."""
    runs = all_runs(client)
    trials = [run for run in runs if "boostlab.trial" in run.data.tags]
    trials.sort(key=lambda run: int(run.data.tags["boostlab.trial"]))
    (sweep,) = [run for run in runs if "boostlab.sweep" in run.data.tags]
    return sweep, trials, [run for run in runs if run is not sweep and run not in trials]


def test_records_the_sweep_with_its_figures_and_each_trial_with_its_notebook(swept: Path, look: Look) -> None:
    client = look(f"sqlite:///{swept}/mlflow.db")
    sweep, trials, (final,) = find_runs(client)

    assert {run.info.status for run in all_runs(client)} == {"FINISHED"}
    assert artifacts(client, sweep.info.run_id) == FILES
    assert [run.data.tags["boostlab.trial"] for run in trials] == [str(number) for number in range(7)]
    assert {run.data.tags["mlflow.parentRunId"] for run in (*trials, final)} == {sweep.info.run_id}
    assert all({"notebook/train.ipynb", "notebook/train.html"} <= artifacts(client, run.info.run_id) for run in trials)
    complete = [run for run in trials if "boostlab.pruned_at" not in run.data.tags]
    best = min(complete, key=lambda run: run.data.metrics["best_valid_rmse"])
    assert sweep.data.metrics["trials_complete"] == len(complete)
    assert sweep.data.metrics["trials_complete"] + sweep.data.metrics["trials_pruned"] == 7
    assert sweep.data.metrics["best_valid_rmse"] == best.data.metrics["best_valid_rmse"]
    assert {name: final.data.params[name] for name in ("eta", "max_depth")} == {
        name: best.data.params[name] for name in ("eta", "max_depth")
    }
    assert client.get_model_version("sugar", "1").run_id == final.info.run_id


def test_each_cell_has_its_output(swept: Path) -> None:
    cells = [cell for cell in json.loads((swept / "out.ipynb").read_text())["cells"] if cell["cell_type"] == "code"]
    silent = [index for index, cell in enumerate(cells) if not cell["outputs"]]
    assert silent == [0, 1, 3]  # the parameters, those that papermill injects, and the imports
    assert not [item for cell in cells for item in cell["outputs"] if item.get("name") == "stderr"]
    assert sum("image/png" in item.get("data", {}) for cell in cells for item in cell["outputs"]) == len(FIGURES)
    said = words(swept / "out.ipynb")
    assert "All 7 trials of the study have ended" in said and "was trained once more as" in said
    assert "On the test rows: test_rmse = " in said.replace("\\", "")


def test_the_best_trial_is_compared_with_the_version_in_production(
    swept: Path, execute: Papermill, look: Look, tmp_path: Path
) -> None:
    client = look(f"sqlite:///{swept}/mlflow.db")
    _, trials, (final,) = find_runs(client)
    client.set_registered_model_alias("sugar", "production", 1)
    done = execute(COMPARE, "out.ipynb", "-p", "tracking_uri", f"sqlite:///{swept}/mlflow.db", "-p", "study", "first")

    assert done.returncode == 0, done.stderr
    said = words(tmp_path / "out.ipynb").replace("\\", "")
    assert "They are trials of `first` (" in said
    assert f"the champion [{final.info.run_name}](" in said
    number = client.get_experiment_by_name("compare").experiment_id
    (run,) = client.search_runs([number])
    complete = [trial for trial in trials if "boostlab.pruned_at" not in trial.data.tags]
    assert run.data.tags["boostlab.champion"] == final.info.run_id and run.data.metrics["runs_compared"] == len(complete)


def test_a_sweep_of_an_own_notebook_goes_on_with_more_trials(
    write_notebook: Write, execute: Papermill, store: str, look: Look, tmp_path: Path
) -> None:
    settings = write_trial(write_notebook, tmp_path)
    given = [word for name, value in settings.items() for word in ("-y", f"{name}: {json.dumps(value)}")]
    first = execute(SWEEP, "out.ipynb", "-p", "tracking_uri", store, "-p", "n_trials", 3, *given)
    again = execute(SWEEP, "again.ipynb", "-p", "tracking_uri", store, "-p", "n_trials", 5, *given)

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert "3 of 5 have ended in earlier sweeps" in words(tmp_path / "again.ipynb")
    trials = [run for run in all_runs(look()) if "boostlab.trial" in run.data.tags]
    assert sorted(int(run.data.tags["boostlab.trial"]) for run in trials) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "sampler", "best"], "sampler has no choice 'best'. It takes: tpe, random, grid, cmaes."),
        (["-p", "n_trials", 0], "n_trials = 0 is out of range"),
        (["-y", "metric: [test_rmse]"], "Name a metric of the validation rows, such as best_valid_rmse"),
        (["-p", "register_as", "sugar"], "register_as sugar registers the model of the final training, which is off"),
    ],
)
def test_refuses_before_anything_runs(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    done = run_here(SWEEP, "new/out.ipynb", *options)

    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "new").exists()
