from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import xgboost as xgb
from tests.support.settings import make_settings

from boostlab.errors import ParameterError
from boostlab.notebook.parameters import check_parameters
from boostlab.training.objectives import OBJECTIVES, MetricName, ObjectiveName
from boostlab.training.settings import Hyperparameters, Train

NOTEBOOK = json.loads((Path(__file__).parents[2] / "notebooks" / "train.ipynb").read_text(encoding="utf-8"))
TINY = 1e-9
NOT_NEGATIVE = ([0, 0.5, 1e6], [-TINY])
FRACTION = ([TINY, 1], [0, 1 + TINY])
INNER_FRACTION = ([TINY, 0.79], [0, 1])
COUNT = ([0, 1], [-1])
NOT_XGBOOST = {"objective", "quantiles", "metric", "xgb_params", "num_boost_round", "early_stopping_rounds", "scale_pos_weight"}
XGBOOST = Hyperparameters.model_fields.keys() - {"objective", "quantiles", "metric"}
TABLE = {
    "target",
    "test_dataset",
    "features",
    "drop",
    "sample_weight",
    "group",
    "time",
    "split",
    "time_gap",
    "stratify",
    "read",
    "column_types",
    "keep",
}  # checked against one another
FREE = {
    "purpose",
    "details",
    "learning_curve",
    "threshold",
    "positive_label",
    "quantiles",
    "run_name",
    "tracking_uri",
    "xgb_params",
} | TABLE
VALUES: dict[str, tuple[list[Any], list[Any]]] = {  # values at the bounds, and just beyond them
    "objective": (
        ["auto", *(name for name in OBJECTIVES if name != "reg:quantileerror")],
        ["rank:ndcg", "survival:cox", "multi:softmax", "reg:linear"],
    ),
    "metric": (["auto", "rmse", "roc_auc"], ["auc", "rms", "pinball"]),
    "eta": ([0, 1], [-TINY, 1 + TINY]),
    "max_depth": COUNT,
    "min_child_weight": NOT_NEGATIVE,
    "max_delta_step": NOT_NEGATIVE,
    "gamma": NOT_NEGATIVE,
    "subsample": FRACTION,
    "colsample_bytree": FRACTION,
    "colsample_bylevel": FRACTION,
    "colsample_bynode": FRACTION,
    "reg_lambda": NOT_NEGATIVE,
    "reg_alpha": NOT_NEGATIVE,
    "scale_pos_weight": NOT_NEGATIVE,
    "tree_method": (["auto", "hist", "approx", "exact"], ["gpu_hist", ""]),
    "grow_policy": (["depthwise", "lossguide"], ["Depthwise"]),
    "max_leaves": COUNT,
    "max_bin": ([2, 512], [1]),
    "num_parallel_tree": ([1, 3], [0]),
    "seed": ([0, 2**31 - 1], [-1, 2**31]),
    "split_seed": ([0, 2**31 - 1], [-1, 2**31]),
    "nthread": COUNT,
    "device": (["cpu", "cuda", "cuda:1", "gpu"], ["tpu", "cuda:", "cuda:x", "CPU", ""]),
    "dataset": (["breast_cancer", "diabetes", "digits", "iris", "wine"], ["boston"]),
    "task": (["auto", "regression", "classification"], ["ranking"]),
    "duplicates": (["together", "apart"], ["drop"]),
    "test_size": INNER_FRACTION,
    "valid_size": INNER_FRACTION,
    "workers": ([0, 1, 1000], [-1, 1001]),
    "scheduler": (["", "tcp://host:8786"], ["host:8786", "http://host:8786"]),
    "folds": ([0, 2, 1000], [-1, 1, 1001]),
    "repeats": ([1], [0, 1001]),
    "memory": (["auto", "internal", "external"], ["disk", ""]),
    "final_model": (["best"], ["last", ""]),
    "class_weight": (["none", "balanced"], ["heavy", ""]),
    "calibrate": (["none", "sigmoid", "isotonic"], ["platt", ""]),
    "cost_false_positive": ([1], [-TINY]),
    "cost_false_negative": ([1], [-TINY]),
    "num_boost_round": ([1], [0]),
    "early_stopping_rounds": COUNT,
    "register_as": (["", "my model-1.0"], ["a/b", "a:b"]),
    "experiment": (["a"], [""]),
}


def train(**given: Any) -> Train:
    settings = check_parameters(NOTEBOOK, given)
    assert isinstance(settings, Train)
    return settings


def cases(side: int) -> list[tuple[str, Any]]:
    return [(name, value) for name, sides in VALUES.items() for value in sides[side]]


def test_limits_every_field_but_free_text_and_mappings() -> None:
    assert set(Train.model_fields) - set(VALUES) == FREE


@pytest.mark.parametrize(("name", "value"), cases(0))
def test_accepts_a_value_at_its_bounds(name: str, value: Any) -> None:
    assert getattr(train(**{name: value}), name) == value


@pytest.mark.parametrize(("name", "value"), cases(1))
def test_refuses_a_value_beyond_its_bounds(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=rf"^{name} "):
        train(**{name: value})


@pytest.mark.parametrize(("name", "value"), [case for case in cases(0) if case[0] in XGBOOST])
def test_xgboost_takes_what_is_accepted(name: str, value: Any) -> None:
    params = train(**({"nthread": 1} | {name: value})).booster_params() | {"device": "cpu"}

    assert xgb.train(params, xgb.DMatrix(np.eye(4), label=np.arange(4)), num_boost_round=1).num_boosted_rounds() == 1


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("eta", 2, "0 <= eta <= 1"),
        ("subsample", 0, "0 < subsample <= 1"),
        ("max_bin", 1, "2 <= max_bin"),
        ("seed", 2**31, "0 <= seed < 2147483648"),
    ],
)
def test_says_which_range_is_allowed(name: str, value: float, allowed: str) -> None:
    with pytest.raises(ParameterError) as caught:
        train(**{name: value})

    assert str(caught.value) == f"{name} = {value!r} is out of range. Allowed: {allowed}."


def test_says_which_type_and_range_are_allowed() -> None:
    with pytest.raises(ParameterError, match=r"^eta takes a number with 0 <= eta <= 1, not 'high'\.$"):
        train(eta="high")


@pytest.mark.parametrize(("name", "value"), [("device", "tpu"), ("register_as", "a/b"), ("experiment", "")])
def test_does_not_tell_that_text_is_no_text(name: str, value: str) -> None:
    with pytest.raises(ParameterError) as caught:
        train(**{name: value})

    assert "takes text, not" not in str(caught.value)


def test_names_the_nearest_choice() -> None:
    with pytest.raises(ParameterError, match=r"^task has no choice 'regresion'\. Did you mean 'regression'\? It takes: auto,"):
        train(task="regresion")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"folds": 1}, "folds = 1 leaves no rows to learn from. Allowed: 0"),
        ({"repeats": 2}, "repeats = 2 is for cross-validation: set folds too"),
        ({"final_model": "all_rows"}, "final_model = all_rows needs folds, which judge it: set -p folds 5"),
        ({"final_model": "folds"}, "final_model = folds needs folds"),
        (
            {"folds": 3, "repeats": 2, "split": "time", "time": "t", "dataset": __file__, "target": "y"},
            "does not fit split: time",
        ),
    ],
)
def test_refuses_folds_that_do_not_fit_the_rest(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        make_settings(**given)


@pytest.mark.parametrize(("test_size", "valid_size"), [(0.5, 0.5), (0.9, 0.2), (0.7, 0.3)])
def test_refuses_shares_that_leave_no_rows_for_training(test_size: float, valid_size: float) -> None:
    with pytest.raises(ParameterError, match=r"leave no rows for training\. .* their sum is below 1\.$"):
        train(test_size=test_size, valid_size=valid_size)


def test_refuses_an_own_parameter_among_xgb_params() -> None:
    with pytest.raises(ParameterError, match=r"^xgb_params names eta: set it by its own parameter, as -p eta"):
        train(xgb_params={"eta": 0.1, "num_boost_round": 5})


@pytest.mark.parametrize(
    ("name", "own"), [("eval_metric", "metric"), ("objective", "objective"), ("quantile_alpha", "quantiles")]
)
def test_objective_metric_and_quantiles_are_parameters_of_their_own(name: str, own: str) -> None:
    with pytest.raises(ParameterError, match=rf"^xgb_params names {name}: set it by its own parameter, as -p {own} VALUE\.$"):
        train(xgb_params={name: "x"})


def test_names_the_objectives_that_are_supported() -> None:
    with pytest.raises(
        ParameterError, match=r"^objective has no choice 'rank:pairwise'\. It takes: auto, reg:squarederror, .*multi:"
    ):
        train(objective="rank:pairwise")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"objective": "reg:quantileerror"},
            "quantiles = [] does not fit objective reg:quantileerror. reg:quantileerror, and no other",
        ),
        ({"objective": "reg:gamma", "quantiles": [0.5]}, "quantiles = [0.5] does not fit objective reg:gamma. "),
        (
            {"quantiles": [0.5, 1.0]},
            "quantiles = [0.5, 1.0]: 1.0 is out of range, or stands twice. Allowed are different numbers",
        ),
        ({"quantiles": [0.5, 0.5]}, "0.5 is out of range, or stands twice"),
        (
            {"quantiles": [0.5], "task": "classification"},
            "task classification does not fit objective reg:quantileerror, which is for",
        ),
        ({"objective": "binary:logistic", "task": "regression"}, "task regression does not fit objective binary:logistic"),
        (
            {"objective": "reg:gamma", "metric": "f1"},
            "metric f1 does not fit objective reg:gamma. Allowed: auto, gamma_deviance, rmse",
        ),
        ({"quantiles": [0.5], "metric": "mae"}, "metric mae does not fit objective reg:quantileerror. Allowed: auto, pinball."),
        (
            {"metric": "gamma_deviance"},
            "metric gamma_deviance does not fit objective auto. Allowed: auto, rmse, mae, r2, mape, log_loss",
        ),
        (
            {"objective": "reg:tweedie", "xgb_params": {"tweedie_variance_power": 2}},
            "Allowed: 1 < tweedie_variance_power < 2. For 1",
        ),
    ],
)
def test_refuses_objectives_metrics_and_quantiles_that_do_not_agree(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError) as caught:
        train(**given)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "task"),
    [
        ({}, "auto"),
        ({"objective": "count:poisson"}, "regression"),
        ({"quantiles": [0.5]}, "regression"),
        ({"objective": "multi:softprob"}, "classification"),
        ({"task": "regression"}, "regression"),
    ],
)
def test_an_objective_implies_the_task(given: dict[str, Any], task: str) -> None:
    assert train(**given).requested_task == task


def test_each_objective_and_metric_can_be_chosen() -> None:
    assert set(OBJECTIVES) == set(get_args(ObjectiveName))
    assert {metric for objective in OBJECTIVES.values() for metric in objective.metrics} == set(get_args(MetricName))


def test_hands_xgboost_its_parameters_and_nothing_else() -> None:
    params = train(eta=0.3, xgb_params={"sampling_method": "uniform"}).booster_params()

    assert set(params) == set(Hyperparameters.model_fields) - NOT_XGBOOST | {"sampling_method"}
    assert params["eta"] == 0.3


def test_hands_on_a_weight_of_the_second_class_that_changes_something() -> None:
    assert train(scale_pos_weight=2).booster_params()["scale_pos_weight"] == 2
