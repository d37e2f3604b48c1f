from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost as xgb

from boostlab.comparison.paired import Pair, compare_pair, pair_predictor, pair_rows
from boostlab.errors import LabError
from boostlab.models.contract import Contract, Feature
from boostlab.models.predictor import Predictor
from boostlab.training.holdout import Holdout

DRAW = np.random.default_rng(5)


def pair(count: int = 500, champion: float = 1.0, challenger: float = 1.0) -> Pair:
    """Return a pair whose models have these errors."""
    true = DRAW.standard_normal(count)
    noise = DRAW.standard_normal((2, count))
    return Pair(true, true + champion * noise[0], true + challenger * noise[1], "regression", [], "Made rows.")


def rows(positions: Any, *, digest: str = "d", target: str = "y", labels: tuple[str, ...] = (), test_rows: int = 0) -> Holdout:
    here = np.asarray(positions)
    data = pa.table({"a": here.astype(float)})
    if not labels:
        true, answers = pd.Series(here * 1.0, name=target), here + 0.5
        return Holdout(data, true, None, here, answers, digest, "regression", [], test_rows or len(here))
    true = pd.Series(np.asarray(labels)[here % len(labels)], name=target)
    answers = np.eye(len(labels))[here % len(labels)] * 0.5 + 0.5 / len(labels)
    return Holdout(data, true, None, here, answers, digest, "classification", list(labels), test_rows or len(here))


def predictor(labels: tuple[str, ...] = (), feature: str = "a") -> Predictor:
    matrix = xgb.DMatrix(np.arange(100.0)[:, np.newaxis], label=np.arange(100) % max(len(labels), 1), feature_names=[feature])
    params = {"objective": "binary:logistic" if labels else "reg:squarederror", "nthread": 1}
    contract = Contract("classification" if labels else "regression", labels, (Feature(feature, "number", "double"),))
    return Predictor(xgb.train(params, matrix, 3), contract)


@pytest.mark.parametrize(
    ("errors", "metric", "verdict"),
    [
        ((1.0, 0.8), "test_rmse", "better"),
        ((0.8, 1.0), "rmse", "worse"),
        ((1.0, 0.8), "r2", "better"),
        ((0.8, 1.0), "r2", "worse"),
        ((1.0, 1.0), "mae", "no significant difference"),
    ],
)
def test_judges_in_the_metrics_own_direction(errors: tuple[float, float], metric: str, verdict: str) -> None:
    found = compare_pair(pair(1000, *errors), metric=metric)

    assert found.verdict == verdict
    assert found.low <= found.challenger - found.champion <= found.high


def test_covers_a_true_difference_of_zero_about_as_often_as_it_says() -> None:
    verdicts = [compare_pair(pair(100), metric="rmse", draws=400, seed=n).verdict for n in range(200)]

    assert 0.85 < np.mean([verdict == "no significant difference" for verdict in verdicts]) < 0.99


def test_describes_the_difference_and_its_rows() -> None:
    found = compare_pair(replace(pair(1000, 1.0, 0.8), caution="Mind this."), metric="rmse")

    words = found.describe("run a", "Run b")
    assert words.startswith(f"Run b is better than run a: rmse {found.challenger:.4g} against {found.champion:.4g} on 1000 rows")
    assert words.endswith("Made rows. Mind this.")


def test_equal_predictions_are_no_significant_difference() -> None:
    one = pair(100)
    found = compare_pair(replace(one, challenger=one.champion), metric="rmse")

    assert (found.verdict, found.low, found.high) == ("no significant difference", 0, 0)


def test_needs_twenty_rows_for_a_verdict() -> None:
    found = compare_pair(pair(5, 100.0, 0.01), metric="rmse")

    assert found.verdict == "no significant difference"
    assert "Fewer than 20 rows are too few for a verdict." in found.describe()


def test_refuses_a_metric_without_a_paired_form() -> None:
    with pytest.raises(LabError, match="'test_auc' cannot compare two models on the same rows"):
        compare_pair(pair(), metric="test_auc")


def test_compares_quantiles_by_their_pinball_loss_alone() -> None:
    one = pair()
    both = replace(one, champion=np.column_stack([one.champion] * 2), challenger=np.column_stack([one.challenger] * 2))

    assert compare_pair(both, metric="test_pinball:0.5-0.5").value == pytest.approx(compare_pair(one, metric="mae").value / 2)
    with pytest.raises(LabError, match=r"'rmse' cannot compare two models .* For regression, use one of: pinball\."):
        compare_pair(both, metric="rmse")


def test_refuses_a_metric_that_the_rows_do_not_define() -> None:
    one = rows(range(0, 60, 2), labels=("n", "y"))
    with pytest.raises(LabError, match="roc_auc is not defined on these 30 rows"):
        compare_pair(Pair(one.true, one.answers, one.answers, "classification", ["n", "y"], ""), metric="roc_auc")


def test_compares_on_the_rows_that_both_held_out() -> None:
    found = pair_rows(rows(range(50)), rows(range(20, 70)))

    assert found is not None
    assert found.true.tolist() == list(range(20, 50))
    assert (found.champion == found.challenger).all()
    assert (found.basis, found.caution) == ("The rows are 30 that both runs held out.", "")


def test_says_that_both_held_out_the_same_rows() -> None:
    found = pair_rows(rows(range(50)), rows(range(50)))

    assert found is not None and found.basis == "The rows are all 50 of the test part, which both runs held out."


def test_brings_classes_into_one_order() -> None:
    old, new = (rows(range(40), labels=labels) for labels in (("n", "y"), ("y", "n")))
    found = pair_rows(replace(old, target=new.target), new)

    assert found is not None and found.labels == ["y", "n"]
    assert found.champion.tolist() == old.answers[:, ::-1].tolist()


OTHER_TARGETS = [rows(range(9), target="z"), rows(range(9), labels=("n", "y")), replace(rows(range(9)), quantiles=(0.1, 0.9))]


@pytest.mark.parametrize("other", [rows(range(90, 140)), rows(range(100), digest="other")])
def test_finds_no_common_rows_if_too_few_or_of_other_data(other: Holdout) -> None:
    assert pair_rows(rows(range(100)), other) is None


@pytest.mark.parametrize("other", OTHER_TARGETS)
def test_refuses_runs_that_predict_different_things(other: Holdout) -> None:
    with pytest.raises(LabError, match="Only models of the same target can be compared"):
        pair_rows(rows(range(9)), other)


@pytest.mark.parametrize(
    ("kept", "caution"),
    [
        (None, "It is unknown whether the champion was trained on some of these rows"),
        (rows(range(100), digest="other"), "It is unknown"),
        (rows(range(90, 140)), "The champion was trained on up to 90 of these 100 rows, which favours it."),
        (rows(range(90, 140), test_rows=60), "The champion may have been trained on some of these rows"),
    ],
)
def test_cautions_if_the_champion_may_know_the_rows(kept: Holdout | None, caution: str) -> None:
    found = pair_predictor(predictor(), rows(range(100)), kept=kept)

    assert caution in found.caution
    assert "predicted again by the champion's model" in found.basis
    assert found.champion.tolist() == np.asarray(predictor().predict(rows(range(100)).frame)).tolist()


def test_orders_a_champions_classes_as_the_challenger_does() -> None:
    new = rows(range(30), labels=("y", "n"))
    found = pair_predictor(predictor(("n", "y")), new)

    assert found.champion.tolist() == predictor(("n", "y")).answers(new.frame)[:, ::-1].tolist()


@pytest.mark.parametrize(
    ("champion", "message"),
    [
        (predictor(("n", "y")), "The champion's model does classification into n, y, the challenger's regression"),
        (predictor(feature="b"), "cannot read the challenger's test rows: Columns missing: b"),
    ],
)
def test_explains_why_a_champion_cannot_predict(champion: Predictor, message: str) -> None:
    with pytest.raises(LabError, match=message):
        pair_predictor(champion, rows(range(30)))
