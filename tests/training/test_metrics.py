from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from boostlab.data.splits import Part, Split
from boostlab.data.table import Roles, Table
from boostlab.errors import LabError
from boostlab.models.contract import Contract, Feature, Task
from boostlab.models.predictor import Predictor
from boostlab.training.metrics import (
    Evaluation,
    evaluate_test,
    is_higher_better,
    score_classification,
    score_regression,
)


def part(values: list[Any]) -> Part:
    task: Task = "classification" if isinstance(values[0], str) else "regression"
    data = pa.table({"a": np.arange(len(values), dtype=float), "y": values})
    table = Table(data, Roles(target="y"), ("a",), name="made", source="here", task=task)
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


def evaluate(learned: list[Any], tested: list[Any]) -> Evaluation:
    """Evaluate a model that learned from some rows on others."""
    labels = sorted(set(learned)) if isinstance(learned[0], str) else []
    kind = ("reg:squarederror", "reg:squarederror", "binary:logistic", "multi:softprob")[len(labels)]
    params = {"objective": kind, "eta": 1, "lambda": 0, "min_child_weight": 0, "nthread": 1}
    params |= {"num_class": len(labels)} if len(labels) > 2 else {}
    train, test = part(learned), part(tested)
    target = [labels.index(value) for value in learned] if labels else learned
    booster = xgb.train(params, xgb.DMatrix(train.head(len(train)), label=target), num_boost_round=20)
    contract = Contract(train.table.task, tuple(labels), (Feature("a", "number", "double"),))
    return evaluate_test(Predictor(booster, contract), Split(train, train, test))


def test_the_constant_of_a_regression_is_the_training_mean() -> None:
    baseline = evaluate([1.0, 3.0], [2.0, 4.0]).baseline

    assert baseline == pytest.approx({"rmse": sqrt(2), "mae": 1.0, "r2": -1.0})


def test_the_constant_of_a_classification_is_the_share_of_each_class() -> None:
    baseline = evaluate(["a", "a", "a", "b"], ["a", "b"]).baseline

    assert baseline["log_loss"] == pytest.approx(-(log(3 / 4) + log(1 / 4)) / 2)
    assert (baseline["accuracy"], baseline["balanced_accuracy"], baseline["roc_auc"], baseline["f1"]) == (0.5, 0.5, 0.5, 0.0)


@pytest.mark.parametrize(
    ("values", "columns", "perfect"),
    [
        ([1.0, 2.0, 3.0, 4.0], None, {"rmse": 0.0, "r2": 1.0}),
        (["n", "n", "y", "y"], 2, {"accuracy": 1.0, "f1": 1.0, "roc_auc": 1.0}),
        (["c", "b", "a", "b"], 3, {"accuracy": 1.0, "f1": 1.0, "roc_auc": 1.0}),
    ],
)
def test_a_model_that_knows_the_answers_has_perfect_scores(
    values: list[Any], columns: int | None, perfect: dict[str, float]
) -> None:
    evaluation = evaluate(values, values)

    assert evaluation.answers.shape == ((4, columns) if columns else (4,))
    assert {name: evaluation.scores[name] for name in perfect} == pytest.approx(perfect, abs=1e-4)


def test_leaves_the_area_out_where_all_rows_are_of_one_class() -> None:
    scores = score_classification(np.array([0, 0]), np.array([[0.5, 0.5], [0.8, 0.2]]), ["a", "b"])

    assert set(scores) == {"log_loss", "accuracy", "balanced_accuracy", "f1"}


def test_tabulates_model_and_constant_with_units() -> None:
    table = evaluate([1.0, 3.0], [2.0, 4.0]).tabulate()

    assert list(table.columns) == ["model", "constant predictor", "unit"]
    assert table.loc["rmse", "constant predictor"] == pytest.approx(sqrt(2))
    assert (table.loc["rmse", "unit"], table.loc["r2", "unit"]) == ("unit of the target", "1 is perfect")


def test_names_the_metrics_by_their_part() -> None:
    evaluation = evaluate([1.0, 3.0], [2.0, 4.0])
    names = ("rmse", "mae", "r2")

    assert list(evaluation.metrics()) == [f"{part}_{name}" for part in ("test", "baseline") for name in names]
    assert evaluation.metrics()["baseline_rmse"] == evaluation.baseline["rmse"]


@pytest.mark.parametrize(
    ("metric", "higher"),
    [("test_rmse", False), ("r2", True), ("valid_error:0.7", False), ("test_roc_auc", True), ("baseline_log_loss", False)],
)
def test_each_metric_has_a_direction(metric: str, higher: bool) -> None:
    assert is_higher_better(metric) == higher


def test_says_which_metrics_have_a_known_direction() -> None:
    with pytest.raises(LabError, match="'test_acuracy' is better is not known"):
        is_higher_better("test_acuracy")
