"""The lab's notebooks: each parameter set and each search space fits its notebook, and training runs without a person."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from mlflow import MlflowClient

from boostlab.notebook import check_parameters
from boostlab.sweep import Space

LAB = Path(__file__).parents[1]
NOTEBOOKS = {path.stem: path for path in (LAB / "notebooks").glob("*.ipynb")}
SPACES = sorted((LAB / "parameters" / "sweep").glob("*.yaml"))
SETS = [path for path in (LAB / "parameters").glob("*/*.yaml") if path.name != "gate.yaml" and path not in SPACES]


@pytest.mark.parametrize("path", NOTEBOOKS.values(), ids=lambda path: path.name)
def test_the_defaults_of_each_notebook_are_allowed(path: Path) -> None:
    check_parameters(nbformat.read(path, as_version=4), {})


@pytest.mark.parametrize("path", SETS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_each_parameter_set_fits_its_notebook(path: Path) -> None:
    check_parameters(nbformat.read(NOTEBOOKS[path.parent.name], as_version=4), yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_each_search_space_fits_the_training(path: Path) -> None:
    notebook = nbformat.read(NOTEBOOKS["train"], as_version=4)
    assert Space.read(str(path), notebook=notebook, fixed={}, folder=LAB).dimensions


def test_training_runs_and_is_recorded(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(NOTEBOOKS["train"]), str(tmp_path / "out.ipynb")]
    options = ["-f", str(LAB / "parameters" / "train" / "quick.yaml"), "-p", "tracking_uri", store]
    done = subprocess.run([*command, *options], cwd=LAB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    client = MlflowClient(store, store)
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert run.info.status == "FINISHED"
    assert [item.path for item in client.list_artifacts(run.info.run_id, "notebook")]
