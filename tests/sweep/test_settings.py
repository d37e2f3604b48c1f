"""Settings of ``sweep.ipynb``: what goes together, and the name of the study."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from boostlab.errors import ParameterError
from boostlab.sweep.settings import Sweep

DEFAULTS: dict[str, Any] = {
    "experiment": "sweep",
    "run_name": "",
    "tracking_uri": "",
    "study": "",
    "notebook": "train.ipynb",
    "space": "quick",
    "fixed": {},
    "metric": [],
    "direction": [],
    "sampler": "tpe",
    "pruner": "none",
    "n_trials": 20,
    "timeout_s": 0,
    "n_jobs": 0,
    "seed": 0,
    "scheduler": "",
    "champion": "",
    "final_training": True,
    "register_as": "",
    "max_failures": 5,
}


def sweep(**changes: Any) -> Sweep:
    return Sweep.check(DEFAULTS | changes)


@pytest.mark.parametrize(
    "given",
    [
        {"metric": ["best_valid_rmse", "fit_time_s"], "direction": ["auto", "lower"]},
        {"scheduler": "tcp://10.0.0.1:8786"},
        {"scheduler": "tls://[::1]:8786"},
        {"pruner": "wilcoxon", "fixed": {"folds": 5}},
        {"pruner": "wilcoxon", "fixed": {"folds": 2, "repeats": 2}},
        {"direction": ["higher"]},
        {"register_as": "homes", "final_training": True},
        {"n_trials": 100_000, "timeout_s": 0.5},
    ],
)
def test_takes_what_goes_together(given: dict[str, Any]) -> None:
    settings = sweep(**given)
    assert {name: getattr(settings, name) for name in given} == given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"metric": ["test_rmse"]}, "Name a metric of the validation rows, such as best_valid_rmse"),
        ({"metric": ["cv_rmse", "cv_rmse"]}, "cv_rmse stands twice"),
        ({"metric": [" "]}, "a name is empty"),
        ({"metric": ["a", "b"], "direction": ["lower"]}, "direction has 1 values for 2 metrics"),
        ({"direction": ["lower", "lower"]}, "direction has 2 values for 0 metrics"),
        ({"direction": ["down"]}, "has no choice 'down'"),
        ({"metric": ["a", "b"], "pruner": "median"}, "pruner median compares trials by one metric, and there are 2"),
        ({"metric": ["a", "b"], "sampler": "cmaes"}, "sampler cmaes optimises one metric"),
        ({"pruner": "wilcoxon"}, r"Add -y 'fixed: \{folds: 5\}'"),
        ({"pruner": "wilcoxon", "fixed": {"folds": 3}}, "never sure with 3 folds"),
        ({"register_as": "homes", "final_training": False}, "register_as homes registers the model of the final training"),
        ({"fixed": {"tracking_uri": "x"}}, "tracking_uri says where a run is recorded. Set it for the sweep"),
        ({"fixed": {"register_as": "x"}}, "register_as says where a run is recorded"),
        ({"fixed": {"xgb_params": {"a": float("nan")}}}, "no value of JSON"),
        ({"notebook": "notebooks/sweep.ipynb"}, "a sweep cannot search a sweep"),
        ({"notebook": "train"}, "the path of a notebook, such as train.ipynb"),
        ({"space": " "}, "the name of a file in parameters/sweep"),
        ({"n_trials": 0}, "n_trials = 0 is out of range"),
        ({"n_trials": 100_001}, "n_trials = 100001 is out of range"),
        ({"timeout_s": -1}, "timeout_s = -1 is out of range"),
        ({"n_jobs": -1}, "n_jobs = -1 is out of range"),
        ({"max_failures": 0}, "max_failures = 0 is out of range"),
        ({"scheduler": "10.0.0.1:8786"}, "It takes tcp://HOST:PORT"),
        ({"sampler": "gp"}, "sampler has no choice 'gp'"),
        ({"pruner": "medan"}, "Did you mean 'median'"),
    ],
)
def test_refuses_what_does_not(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        sweep(**given)


def test_the_same_command_goes_on_with_the_same_study() -> None:
    name = sweep(fixed={"a": 1, "b": 2}).study_name()
    assert name.startswith("train-quick-")
    same = {
        "fixed": {"b": 2, "a": 1},
        "n_trials": 99,
        "timeout_s": 9,
        "n_jobs": 3,
        "scheduler": "tcp://a:1",
        "notebook": "x/train.ipynb",
    }
    assert sweep(**same).study_name() == name


@pytest.mark.parametrize(
    "change",
    [
        {"notebook": "other.ipynb"},
        {"space": "xgboost"},
        {"fixed": {"folds": 5}},
        {"metric": ["cv_rmse"]},
        {"sampler": "random"},
        {"pruner": "median"},
        {"seed": 1},
    ],
)
def test_another_question_is_another_study(change: dict[str, Any]) -> None:
    assert sweep(**change).study_name() != sweep().study_name()


def test_a_named_study_keeps_its_name() -> None:
    assert sweep(study=" mine ").study_name() == "mine"


def test_the_champion_is_by_default_the_model_to_register() -> None:
    assert sweep(register_as="homes").champion_model == "homes"
    assert sweep(register_as="homes", champion="old").champion_model == "old"
    assert sweep().champion_model == ""


def test_settings_and_spaces_load_nothing_heavy() -> None:
    script = "import sys, boostlab.sweep.settings, boostlab.sweep.space_file\n"
    script += "print(*sorted({'optuna', 'numpy', 'mlflow', 'pandas', 'sklearn', 'distributed'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
