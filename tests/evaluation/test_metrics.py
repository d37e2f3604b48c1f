from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb
from sklearn import metrics

from boostlab.data.splits import Part, Split
from boostlab.data.table import Roles, Table
from boostlab.display.numbers import format_number
from boostlab.evaluation.metrics import Evaluation, evaluate_test, score_intervals, score_metric
from boostlab.models.contract import Contract, Feature, Task
from boostlab.models.predictor import Predictor

CLASSES = "log_loss accuracy balanced_accuracy f1 roc_auc"
NEW = "brier mcc average_precision"


def part(values: list[Any], weight: list[float] | None = None) -> Part:
    task: Task = "classification" if isinstance(values[0], str) else "regression"
    data = pa.table({"a": np.arange(len(values), dtype=float), "y": values})
    table = Table(data, Roles(target="y"), ("a",), name="made", source="here", task=task)
    return Part(table, np.arange(len(values)), table.target, None if weight is None else np.array(weight, np.float32))


def scores(names: str, true: list[Any], answers: np.ndarray, weight: list[float] | None = None) -> dict[str, float]:
    weights = None if weight is None else np.array(weight)
    return {name: score_metric(name, np.array(true), answers, weights) for name in names.split()}


def test_scores_a_regression() -> None:
    found = scores("rmse mae r2", [1.0, 2.0, 3.0], np.array([1.0, 2.0, 5.0]))

    assert found == pytest.approx({"rmse": sqrt(4 / 3), "mae": 2 / 3, "r2": -1.0})


def test_scores_two_classes_by_the_second_label() -> None:
    second = np.array([0.1, 0.2, 0.9, 0.6])

    assert scores(CLASSES, [0, 0, 0, 1], np.column_stack([1 - second, second])) == pytest.approx(
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

    assert scores(CLASSES, [0, 1, 2, 2], probabilities) == pytest.approx(
        {
            "log_loss": -(log(0.6) + log(0.5) + log(0.2) + log(0.8)) / 4,
            "accuracy": 3 / 4,
            "balanced_accuracy": (1 + 1 + 1 / 2) / 3,
            "f1": (2 / 3 + 1 + 2 / 3) / 3,
            "roc_auc": (1 + 1 + 3 / 4) / 3,
        }
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_a_row_of_weight_two_counts_as_two_rows(classes: int) -> None:
    draw = np.random.default_rng(0)
    true, weight = draw.integers(0, classes, 40), draw.integers(0, 4, 40)
    probabilities = draw.dirichlet(np.ones(classes), 40)
    twice = np.repeat(np.arange(40), weight)

    names = f"{CLASSES} {NEW}" + (" recall_at_precision:0.6 precision_at_recall:0.7 cost:1-3" if classes == 2 else "")
    assert scores(names, list(true), probabilities, list(weight)) == pytest.approx(
        scores(names, list(true[twice]), probabilities[twice])
    )


def draw_answers(classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true classes, probabilities with many ties, and weights, of which some are 0."""
    draw = np.random.default_rng(classes)
    true = np.append(np.arange(classes), draw.integers(0, classes, 200))
    return true, np.round(draw.dirichlet(np.ones(classes), len(true)), 1) + 0.01, draw.integers(0, 3, len(true)).astype(float)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_classes_as_scikit_learn_does(classes: int, weighted: bool) -> None:
    true, answers, weight = draw_answers(classes)
    likely, own = answers / answers.sum(axis=1, keepdims=True), weight if weighted else None
    is_class, score = (true, likely[:, 1]) if classes == 2 else (np.eye(classes)[true], likely)
    expected = {
        "brier": metrics.brier_score_loss(true, likely, sample_weight=own, labels=range(classes)),
        "mcc": metrics.matthews_corrcoef(true, likely.argmax(axis=1), sample_weight=own),
        "average_precision": metrics.average_precision_score(is_class, score, sample_weight=own),
    }

    assert {name: score_metric(name, true, answers, own) for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("floor", [0.2, 0.5, 0.6, 1.0])
def test_scores_a_rate_at_a_floor_of_the_other_as_the_curve_of_scikit_learn_does(floor: float, weighted: bool) -> None:
    true, answers, weight = draw_answers(2)
    own = weight if weighted else None
    likely = answers / answers.sum(axis=1, keepdims=True)
    precision, recall, _ = metrics.precision_recall_curve(true, likely[:, 1], sample_weight=own)

    assert score_metric(f"recall_at_precision:{floor}", true, answers, own) == recall[precision >= floor].max()
    assert score_metric(f"precision_at_recall:{floor}", true, answers, own) == precision[recall >= floor].max()


def test_a_rate_at_a_floor_is_zero_if_no_threshold_reaches_it_and_no_number_without_positives() -> None:
    second = np.array([0.9, 0.8, 0.1])
    answers = np.column_stack([1 - second, second])

    assert scores("recall_at_precision:0.9 precision_at_recall:1", [0, 1, 1], answers) == pytest.approx(
        {"recall_at_precision:0.9": 0, "precision_at_recall:1": 2 / 3}
    )
    assert np.isnan(list(scores("recall_at_precision:0.9 precision_at_recall:1", [0, 0, 0], answers).values())).all()


def test_a_single_class_has_no_correlation_and_no_area_without_positives() -> None:
    answers = np.array([[0.9, 0.1], [0.2, 0.8]])

    assert scores(NEW, [0, 0], answers) == pytest.approx(
        {"brier": (0.01 + 0.64) / 2, "mcc": 0.0, "average_precision": np.nan}, nan_ok=True
    )
    assert scores("mcc average_precision", [1, 1], answers) == {"mcc": 0.0, "average_precision": 1.0}
    three = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1]])
    assert scores("average_precision", [0, 1], three) == {"average_precision": 1.0}  # of the classes that the rows have


def test_the_cost_of_a_row_counts_false_positives_and_false_negatives() -> None:
    second = np.array([0.9, 0.1, 0.1, 0.8])

    assert scores("cost:1-10", [0, 0, 1, 1], np.column_stack([1 - second, second])) == {"cost:1-10": 11 / 4}


def test_classes_without_weight_do_not_count() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.4, 0.3, 0.3]])

    found = scores("balanced_accuracy roc_auc", [0, 1, 2], probabilities, [1.0, 1.0, 0.0])
    assert found == {"balanced_accuracy": 1.0, "roc_auc": 1.0}


def evaluate(learned: list[Any], tested: list[Any], *, metric: str = "", weights: Any = (None, None)) -> Evaluation:
    """Evaluate a model that learned from some rows on others, with the weights of both."""
    labels = sorted(set(learned)) if isinstance(learned[0], str) else []
    kind = ("reg:squarederror", "reg:squarederror", "binary:logistic", "multi:softprob")[len(labels)]
    params = {"objective": kind, "eta": 1, "lambda": 0, "min_child_weight": 0, "nthread": 1}
    params |= {"num_class": len(labels)} if len(labels) > 2 else {}
    train, test = part(learned, weights[0]), part(tested, weights[1])
    target = [labels.index(value) for value in learned] if labels else learned
    booster = xgb.train(params, xgb.DMatrix(train.head(len(train)), label=target), num_boost_round=20)
    contract = Contract(train.table.task, tuple(labels), (Feature("a", "number", "double"),), metric=metric)
    return evaluate_test(Predictor(booster, contract), Split(train, train, test))


def test_the_constant_of_a_regression_is_the_training_mean() -> None:
    baseline = evaluate([1.0, 3.0], [2.0, 4.0]).baseline

    assert baseline == pytest.approx({"rmse": sqrt(2), "mae": 1.0, "r2": -1.0})


@pytest.mark.parametrize(
    ("metric", "constant"),
    [("rmse", 4.0), ("r2", 4.0), ("poisson_deviance", 4.0), ("mae", 2.0), ("mape", 1.0), ("rmsle", 60 ** (1 / 3) - 1)],
)
def test_the_constant_is_the_best_one_for_the_metric(metric: str, constant: float) -> None:
    evaluation = evaluate([1.0, 2.0, 9.0], [5.0, 5.0], metric=metric)

    assert next(iter(evaluation.scores)) == metric
    assert evaluation.baseline["mae"] == pytest.approx(abs(5 - constant))


def test_weights_count_in_the_metrics_and_in_the_constant() -> None:
    evaluation = evaluate([1.0, 2.0], [3.0, 2.0], weights=([3.0, 1.0], [1.0, 4.0]))

    assert evaluation.scores["mae"] == pytest.approx(2 / 5, abs=1e-4)  # the model answers 1 and 2
    assert evaluation.baseline["mae"] == pytest.approx((1.75 + 4 * 0.75) / 5)  # and the constant is 1.25


def test_weights_count_in_the_shares_of_classes() -> None:
    evaluation = evaluate(["a", "b"], ["a", "b"], weights=([3.0, 1.0], [1.0, 1.0]))

    assert evaluation.baseline["log_loss"] == pytest.approx(-(log(3 / 4) + log(1 / 4)) / 2)


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
    evaluation = evaluate(["a", "b"], ["a", "a"])

    assert set(evaluation.scores) == {"log_loss", "brier", "calibration_error", "accuracy", "balanced_accuracy", "f1", "mcc"}


def test_reports_how_often_the_truth_lies_between_symmetric_quantiles() -> None:
    draw = np.random.default_rng(0)
    true, weight = draw.normal(size=200), draw.integers(0, 3, 200).astype(float)
    levels = (0.05, 0.1, 0.5, 0.9, 0.95, 0.97)
    answers = np.sort(draw.normal(size=(200, 6)), axis=1)
    found = score_intervals(true, answers, weight, quantiles=levels)
    inside = [low <= value <= high for value, low, high in zip(true, answers[:, 1], answers[:, 3], strict=True)]

    assert list(found) == ["coverage:0.05-0.95", "width:0.05-0.95", "coverage:0.1-0.9", "width:0.1-0.9"]
    assert found["coverage:0.1-0.9"] == pytest.approx(np.average(inside, weights=weight))
    assert found["width:0.1-0.9"] == pytest.approx(np.average(answers[:, 3] - answers[:, 1], weights=weight))
    assert score_intervals(true, true, quantiles=(0.5,)) == score_intervals(true, answers[:, :2], quantiles=(0.1, 0.8)) == {}


def test_shows_the_coverage_next_to_the_nominal_one() -> None:
    answers = np.array([[0.0, 2.0], [3.0, 5.0]])
    names = score_intervals(np.array([1.0, 2.0]), answers, quantiles=(0.1, 0.9))
    contract = Contract("regression", (), (), metric="pinball:0.1-0.9", quantiles=(0.1, 0.9))
    table = Evaluation(part([1.0, 2.0]), contract, answers, names, names).tabulate()

    assert (table.loc["coverage:0.1-0.9", "model"], table.loc["coverage:0.1-0.9", "unit"]) == (0.5, "0 to 1; nominal 0.8")
    assert table.loc["width:0.1-0.9", "unit"] == "unit of the target"


def test_shows_the_calibration_error_with_its_interval() -> None:
    evaluation = evaluate(["a", "b"] * 20, ["a", "b"] * 20)
    found, recorded = evaluation.reliability, evaluation.metrics()

    assert [recorded[f"test_calibration_error{end}"] for end in ("", "_low", "_high")] == [found.value, found.low, found.high]
    shown = evaluation.tabulate().loc["calibration_error", "95 % interval"]
    assert shown == f"{format_number(found.low)} to {format_number(found.high)}"


def test_records_and_shows_the_intervals_of_the_metrics_that_have_one() -> None:
    evaluation = evaluate([1.0, 3.0] * 20, [1.0, 2.0, 3.0, 5.0] * 10)
    recorded, table = evaluation.metrics(), evaluation.tabulate()

    shown = str(table.loc["rmse", "95 % interval"])
    for name in ("rmse", "mae", "r2"):
        low, high = recorded[f"test_{name}_low"], recorded[f"test_{name}_high"]
        assert low < recorded[f"test_{name}"] < high
        assert table.loc[name, "95 % interval"] == f"{format_number(low)} to {format_number(high)}"
    assert f"(95 % interval {shown})" in evaluation.describe()


def test_a_threshold_decides_in_the_metrics_of_labels_alone() -> None:
    second = np.array([0.1, 0.4, 0.6, 0.9])
    answers, true = np.column_stack([1 - second, second]), np.array([0, 1, 1, 1])

    assert [score_metric("accuracy", true, answers, threshold=value) for value in (None, 0.4, 0.95)] == [0.75, 1.0, 0.25]
    assert score_metric("brier", true, answers, threshold=0.4) == score_metric("brier", true, answers)


def test_tabulates_model_and_constant_with_units() -> None:
    table = evaluate([1.0, 3.0], [2.0, 4.0]).tabulate()

    assert list(table.columns) == ["model", "95 % interval", "constant predictor", "unit"]
    assert table.loc["rmse", "constant predictor"] == pytest.approx(sqrt(2))
    assert (table.loc["rmse", "unit"], table.loc["r2", "unit"]) == ("unit of the target", "1 is perfect")


def test_names_the_metrics_by_their_part() -> None:
    evaluation = evaluate([1.0, 3.0], [2.0, 4.0])
    names = ("rmse", "mae", "r2")

    assert list(evaluation.metrics()) == [f"{part}_{name}" for part in ("test", "baseline") for name in names]
    assert evaluation.metrics()["baseline_rmse"] == evaluation.baseline["rmse"]


@pytest.mark.parametrize(
    ("scores", "baseline", "words", "verdict"),
    [
        ({"rmse": 0.5, "r2": 0.1}, {"rmse": 2.0, "r2": 0.0}, "rmse is 0.5: 75% below the constant predictor's 2.", ""),
        (
            {"rmse": 3.0},
            {"rmse": 2.0},
            "rmse is 3: 50% above the constant predictor's 2.",
            "worse than the best constant: ",
        ),
        (
            {"rmse": 2.0},
            {"rmse": 2.0},
            "rmse is 2: 0% below the constant predictor's 2.",
            "as good as the best constant: ",
        ),
        ({"rmse": 0.0}, {"rmse": 0.0}, "0% below", "as good as the best constant: rmse 0 against 0 on the test rows."),
        ({"roc_auc": 0.75}, {"roc_auc": 0.5}, "roc_auc is 0.75: 50% above the constant predictor's 0.5.", ""),
        ({"roc_auc": 0.4}, {"roc_auc": 0.5}, "20% below", "worse than the best constant: roc_auc 0.4 against 0.5 on the test"),
    ],
)
def test_finds_a_model_that_does_not_beat_the_constant(
    scores: dict[str, float], baseline: dict[str, float], words: str, verdict: str
) -> None:
    evaluation = Evaluation(part([1.0, 2.0]), Contract("regression", (), ()), np.zeros(2), scores, baseline)

    assert evaluation.describe().startswith("On 2 held-out rows the model's ") and words in evaluation.describe()
    assert [finding for finding in evaluation.findings if verdict in finding] == evaluation.findings
    assert bool(evaluation.findings) == bool(verdict)
