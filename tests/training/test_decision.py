from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.class_weight import compute_sample_weight
from tests.support.settings import make_settings

from boostlab.data.columns import profile_columns
from boostlab.data.splits import Split, split_table
from boostlab.data.table import load_table
from boostlab.errors import TrainingError
from boostlab.evaluation.metrics import evaluate_test
from boostlab.models.answers import calibrate
from boostlab.training.choice import weigh_classes
from boostlab.training.cross_validation import cross_validate
from boostlab.training.final_model import make_final_model
from boostlab.training.fit import Fit, fit_booster


@pytest.fixture
def rare(tmp_path: Path) -> Path:
    """Return a table whose rows churn in one of ten cases, depending on x."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=1500)
    churned = draw.random(1500) < 1 / (1 + np.exp(3.2 - 1.5 * x))
    columns = {"x": x, "z": draw.normal(size=1500), "w": draw.integers(1, 4, 1500), "y": np.where(churned, "churned", "stayed")}
    path = tmp_path / "rare.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def train(path: Path, **given: Any) -> tuple[Fit, Split]:
    options = {"dataset": str(path), "target": "y", "num_boost_round": 30, "max_depth": 2, "drop": ["w"]} | given
    settings = make_settings(**options)
    split = split_table(load_table(settings), settings)
    return fit_booster(split, profile_columns(split), settings).decide(split, settings), split


def test_the_positive_label_is_the_last_class_and_all_that_asks_for_the_second_follows(rare: Path) -> None:
    usual, split = train(rare)
    turned, _ = train(rare, positive_label="churned")
    first, second = (evaluate_test(fit.predictor, split) for fit in (usual, turned))

    assert usual.predictor.contract.labels == ("churned", "stayed")
    assert turned.predictor.contract.labels == ("stayed", "churned")
    assert second.answers == pytest.approx(first.answers[:, ::-1], abs=1e-4)
    assert second.scores["average_precision"] < 0.7 < 0.9 < first.scores["average_precision"]
    assert second.scores["log_loss"] == pytest.approx(first.scores["log_loss"], abs=1e-4)
    same, _ = train(rare, positive_label="stayed")
    assert same.predictor.contract.labels == usual.predictor.contract.labels


@pytest.mark.parametrize(
    ("values", "text", "labels"),
    [([True, False], "false", (True, False)), ([0, 1], "0", (1, 0)), ([1.0, 2.0], "1", (2, 1)), (["1", "01"], "1", ("01", "1"))],
)
def test_a_positive_label_may_be_a_number_or_a_truth(tmp_path: Path, values: list[Any], text: str, labels: Any) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=200), "y": np.array(values, object)[draw.integers(0, 2, 200)]})
    frame.infer_objects().to_parquet(tmp_path / "t.parquet")
    fit, _ = train(tmp_path / "t.parquet", positive_label=text, drop=[], task="classification")

    assert fit.predictor.contract.labels == labels


@pytest.mark.parametrize(
    ("dataset", "given", "message"),
    [
        ("breast_cancer", {"positive_label": "malignat"}, "positive_label = 'malignat' is no class of 'target'. Did you mean"),
        ("breast_cancer", {"positive_label": "1"}, "is no class of 'target'. It has: benign, malignant."),
        ("iris", {"positive_label": "setosa"}, "positive_label = 'setosa' is for two classes, and 'target' has 3: setosa, "),
        ("iris", {"threshold": "f1"}, "threshold = 'f1' is for two classes, and 'target' has 3: setosa, versicolor, virginica."),
        ("diabetes", {"calibrate": "sigmoid"}, "calibrate = 'sigmoid' is for classification, and the target is a quantity."),
        (
            "diabetes",
            {"class_weight": "balanced"},
            "class_weight = 'balanced' is for classification, and the target is a quantity.",
        ),
        (
            "iris",
            {"calibrate": "isotonic"},
            "calibrate = 'isotonic' needs at least 20 validation rows of each class, and 'setosa'",
        ),
    ],
)
def test_refuses_a_decision_that_the_target_does_not_have(dataset: str, given: dict[str, Any], message: str) -> None:
    settings = make_settings(dataset=dataset, num_boost_round=2, **given)
    split = split_table(load_table(settings), settings)
    with pytest.raises(TrainingError) as caught:
        fit_booster(split, profile_columns(split), settings).decide(split, settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("weight", ["", "w"])
def test_balanced_weights_are_those_of_scikit_learn_and_only_of_the_training_part(rare: Path, weight: str) -> None:
    fit, split = train(rare, class_weight="balanced", sample_weight=weight, drop=[] if weight else ["w"])
    own = np.ones(len(split.train)) if split.train.weight is None else split.train.weight
    settings = make_settings(dataset=str(rare), target="y", class_weight="balanced")
    weighed = weigh_classes(split.train, fit.predictor.contract.labels, settings).weight

    assert weighed is not None
    if not weight:
        assert weighed == pytest.approx(compute_sample_weight("balanced", split.train.target))
    sums = pd.Series(weighed).groupby(split.train.target.to_numpy()).sum()
    assert sums["churned"] == pytest.approx(sums["stayed"]) and weighed.sum() == pytest.approx(own.sum())
    assert (pd.Series(np.round(weighed / own, 4)).groupby(split.train.target.to_numpy()).nunique() == 1).all()
    plain, _ = train(rare, sample_weight=weight, drop=[] if weight else ["w"])
    balanced, usual = (evaluate_test(each.predictor, split) for each in (fit, plain))
    assert balanced.answers[:, 0].mean() > 2 * usual.answers[:, 0].mean()  # churned
    assert balanced.baseline == usual.baseline


def test_calibration_repairs_what_balanced_weights_do_to_probabilities(rare: Path) -> None:
    options = {"class_weight": "balanced", "positive_label": "churned"}
    raw, split = train(rare, **options)
    fit, _ = train(rare, **options, calibrate="sigmoid")
    before, after = (evaluate_test(each.predictor, split) for each in (raw, fit))
    share = (split.test.target == "churned").mean()

    assert before.answers[:, 1].mean() > 2 * share
    assert after.answers[:, 1].mean() == pytest.approx(share, abs=0.03)
    assert after.scores["brier"] < before.scores["brier"] - 0.05
    assert after.scores["roc_auc"] == pytest.approx(before.scores["roc_auc"])


def test_a_threshold_decides_on_the_test_part_and_is_chosen_on_the_validation_part(rare: Path) -> None:
    fit, split = train(rare, positive_label="churned", threshold="recall >= 0.8", calibrate="sigmoid")
    contract, curve = fit.predictor.contract, fit.decision.curve
    assert curve is not None and contract.threshold == curve.threshold < 0.3

    def decide(part: Any) -> tuple[Any, Any]:
        frame = next(part.batches(contract.names))
        likely: Any = fit.predictor.predict(frame, {"probabilities": True})
        labels: Any = fit.predictor.predict(frame)
        assert (labels == np.where(likely["churned"] >= contract.threshold, "churned", "stayed")).all()
        return labels == "churned", part.target.to_numpy() == "churned"

    predicted, true = decide(split.valid)
    assert predicted[true].mean() == pytest.approx(curve.chosen["recall"]) and curve.chosen["recall"] >= 0.8
    predicted, true = decide(split.test)
    evaluation = evaluate_test(fit.predictor, split, reported=fit.decision.reported)
    assert evaluation.scores["accuracy"] == pytest.approx((predicted == true).mean())
    assert evaluation.scores["f1"] == pytest.approx(2 * (predicted & true).sum() / (predicted.sum() + true.sum()))
    assert fit.decision.reported == ("precision_at_recall:0.8",) and "precision_at_recall:0.8" in evaluation.scores
    assert fit.decision.metrics()["threshold"] == contract.threshold
    assert fit.decision.tags()["boostlab.decision"].startswith(
        "Probabilities are calibrated on the validation rows (sigmoid). The threshold is 0."
    )


def test_costs_move_the_threshold_and_are_reported(rare: Path) -> None:
    options = {"positive_label": "churned", "threshold": "cost"}
    careful, split = train(rare, **options, cost_false_negative=20.0)
    plain, _ = train(rare, **options)
    evaluation = evaluate_test(careful.predictor, split, reported=careful.decision.reported)
    lost = evaluate_test(plain.predictor, split, reported=careful.decision.reported)

    assert careful.predictor.contract.threshold < plain.predictor.contract.threshold  # type: ignore[operator]
    assert evaluation.scores["cost:1-20"] < lost.scores["cost:1-20"]


def test_no_request_leaves_the_model_and_the_run_as_they_were(rare: Path) -> None:
    fit, _ = train(rare)

    assert (fit.predictor.contract.calibration, fit.predictor.contract.threshold) == (None, None)
    assert not (fit.decision.tags() or fit.decision.metrics() or fit.decision.plot())
    assert fit.decision.describe() == "Nothing was asked for: the answers are the booster's own."


@pytest.mark.parametrize("final_model", ["all_rows", "folds"])
def test_a_final_model_decides_on_the_rows_of_the_cross_validation(rare: Path, final_model: str) -> None:
    asked = {"positive_label": "churned", "class_weight": "balanced", "calibrate": "sigmoid", "threshold": "recall >= 0.8"}
    options: dict[str, Any] = {"dataset": str(rare), "target": "y", "num_boost_round": 20, "max_depth": 2, "drop": ["w"]} | asked
    settings = make_settings(folds=3, final_model=final_model, **options)
    table = load_table(settings)
    fit, _ = train(rare, **asked)
    folds = cross_validate(table, settings)
    final = make_final_model(fit, folds, table, settings)
    rows, contract = folds.out_of_fold, final.predictor.contract

    assert rows is not None and contract.calibration is not None and contract.threshold is not None
    assert contract.labels == ("stayed", "churned") and contract.threshold != fit.predictor.contract.threshold
    true, chosen = rows.part.target.to_numpy() == "churned", calibrate(folds.raw, contract.calibration)[:, 1]
    assert 0.8 <= (chosen >= contract.threshold)[true].mean() < 0.9
    assert chosen.mean() == pytest.approx(true.mean(), abs=0.01)  # though the weights of the classes were balanced
