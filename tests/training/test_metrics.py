from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from boostlab.data.splits import Part
from boostlab.data.table import Roles, Table
from boostlab.errors import LabError
from boostlab.models.contract import Contract, Feature, Task
from boostlab.models.predictor import Predictor
from boostlab.training.metrics import (
    evaluate_answers,
    evaluate_constant,
    is_higher_better,
    predict_part,
    prefix_names,
    score_classification,
    score_regression,
    tabulate_scores,
)


def part(values: list[Any]) -> Part:
    data = pa.table({"a": np.arange(len(values), dtype=float), "y": values})
    table = Table(data, Roles(target="y"), ("a",), name="made", source="here")
    return Part(table, np.arange(len(values)), table.target, None)


def test_scores_a_regression() -> None:
    scores = score_regression(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0]))

    assert scores == pytest.approx({"rmse": sqrt(4 / 3), "mae": 2 / 3, "r2": -1.0})


def test_scores_two_classes_by_the_second_label() -> None:
    second = np.array([0.1, 0.2, 0.9, 0.6])
    scores = score_classification(np.array([0, 0, 0, 1]), np.column_stack([1 - second, second]), ["a", "b"])

    assert scores == pytest.approx(
        {
            "log_loss": -(log(0.9) + log(0.8) + log(0.1) + log(0.6)) / 4,
            "accuracy": 3 / 4,
            "balanced_accuracy": (2 / 3 + 1) / 2,
            "f1": 2 / 3,
            "roc_auc": 2 / 3,
        }
    )


def test_scores_three_classes_by_their_unweighted_mean() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    scores = score_classification(np.array([0, 1, 2, 2]), probabilities, [10, 20, 30])

    assert scores == pytest.approx(
        {
            "log_loss": -(log(0.6) + log(0.5) + log(0.2) + log(0.8)) / 4,
            "accuracy": 3 / 4,
            "balanced_accuracy": (1 + 1 + 1 / 2) / 3,
            "f1": (2 / 3 + 1 + 2 / 3) / 3,
            "roc_auc": (1 + 1 + 3 / 4) / 3,
        }
    )


def test_predicts_the_training_mean_as_a_constant() -> None:
    scores = evaluate_constant(part([1.0, 3.0]), part([2.0, 4.0]), task="regression", labels=[])

    assert scores == pytest.approx({"rmse": sqrt(2), "mae": 1.0, "r2": -1.0})


def test_predicts_the_training_shares_as_a_constant() -> None:
    scores = evaluate_constant(part(["a", "a", "a", "b"]), part(["a", "b"]), task="classification", labels=["a", "b"])

    assert scores["log_loss"] == pytest.approx(-(log(3 / 4) + log(1 / 4)) / 2)
    assert (scores["accuracy"], scores["balanced_accuracy"], scores["roc_auc"], scores["f1"]) == (0.5, 0.5, 0.5, 0.0)


@pytest.mark.parametrize(
    ("objective", "values", "labels", "perfect"),
    [
        ("reg:squarederror", [1.0, 2.0, 3.0, 4.0], [], {"rmse": 0.0, "r2": 1.0}),
        ("binary:logistic", ["n", "n", "y", "y"], ["n", "y"], {"accuracy": 1.0, "f1": 1.0, "roc_auc": 1.0}),
        ("multi:softprob", ["c", "b", "a", "b"], ["a", "b", "c"], {"accuracy": 1.0, "f1": 1.0, "roc_auc": 1.0}),
    ],
)
def test_evaluates_a_model_that_knows_the_answers(
    objective: str, values: list[Any], labels: list[str], perfect: dict[str, float]
) -> None:
    rows = part(values)
    target = [labels.index(value) for value in values] if labels else values
    params = {"objective": objective, "eta": 1, "lambda": 0, "min_child_weight": 0, "nthread": 1}
    params |= {"num_class": len(labels)} if len(labels) > 2 else {}
    booster = xgb.train(params, xgb.DMatrix(rows.head(len(rows)), label=target), num_boost_round=20)
    task: Task = "classification" if labels else "regression"
    answers = predict_part(Predictor(booster, Contract(task, tuple(labels), (Feature("a", "number", "double"),))), rows)
    scores = evaluate_answers(answers, rows, task=task, labels=labels)

    assert answers.shape == ((len(values), len(labels)) if labels else (len(values),))
    assert {name: scores[name] for name in perfect} == pytest.approx(perfect, abs=1e-4)


def test_leaves_the_area_out_where_all_rows_are_of_one_class() -> None:
    scores = score_classification(np.array([0, 0]), np.array([[0.5, 0.5], [0.8, 0.2]]), ["a", "b"])

    assert set(scores) == {"log_loss", "accuracy", "balanced_accuracy", "f1"}


def test_tabulates_a_model_beside_the_constant_with_units() -> None:
    table = tabulate_scores({"rmse": 1.0, "accuracy": 0.9}, {"rmse": 2.0, "accuracy": 0.5})

    assert table.loc["rmse"].to_dict() == {"model": 1.0, "constant predictor": 2.0, "unit": "unit of the target"}
    assert table.loc["accuracy", "unit"] == "0 to 1"


def test_prefixes_names() -> None:
    assert prefix_names({"rmse": 1.0, "r2": 0.5}, "test") == {"test_rmse": 1.0, "test_r2": 0.5}


@pytest.mark.parametrize(
    ("metric", "higher"),
    [("test_rmse", False), ("r2", True), ("valid_error:0.7", False), ("test_roc_auc", True), ("baseline_log_loss", False)],
)
def test_each_metric_has_a_direction(metric: str, higher: bool) -> None:
    assert is_higher_better(metric) == higher


def test_says_which_metrics_have_a_known_direction() -> None:
    with pytest.raises(LabError, match="'test_acuracy' is better is not known"):
        is_higher_better("test_acuracy")
