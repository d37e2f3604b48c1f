"""What a model's predictions rest on: means with their errors, permutation against scikit-learn, gain, and the artifact."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from scipy import stats
from sklearn.inspection import permutation_importance
from tests.support.packages import Packaged

from boostlab.data.splits import Part
from boostlab.data.table import encode_labels
from boostlab.evaluation.explanations import explain_model, permute_columns, rank_gain
from boostlab.evaluation.metric_names import is_higher_better
from boostlab.evaluation.metrics import score_metric
from boostlab.models.contract import Contract, Feature
from boostlab.models.predictor import Predictor, encode_rows, input_names


@pytest.mark.parametrize("name", ["own", "own_classes", "own_quantiles", "iris", "diabetes"])
def test_explains_the_rows_of_a_part(package: Callable[[str], Packaged], name: str) -> None:
    _, predictor, split = package(name)
    found = explain_model(predictor, split.valid)
    sizes = np.abs(predictor.contributions(found.frame)[:, :, :-1]).mean(axis=1)

    assert found.rows.tolist() == split.valid.rows.tolist() and found.refusal == ""
    assert set(found.importance.index) == set(predictor.contract.names)
    shown = found.importance.loc[predictor.contract.names]
    np.testing.assert_allclose(shown.contribution, sizes.mean(axis=0))
    np.testing.assert_allclose(shown.contribution_error, stats.sem(sizes))
    assert found.importance.contribution.is_monotonic_decreasing
    assert np.array_equal(found.answers, predictor.answers(found.frame))
    assert found.rank_columns()[0] in predictor.contract.names


def test_rows_count_by_their_weights(package: Callable[[str], Packaged]) -> None:
    _, predictor, split = package("diabetes")
    weight = np.tile([0, 2], len(split.valid))[: len(split.valid)].astype(np.float32)
    part = Part(split.valid.table, split.valid.rows, split.valid.target, weight)
    half = Part(split.valid.table, split.valid.rows[1::2], split.valid.target.iloc[1::2], None)
    columns = ["contribution", "contribution_error", "permutation", "gain"]
    found, expected = (explain_model(predictor, each).importance.sort_index()[columns] for each in (part, half))
    pd.testing.assert_frame_equal(found, expected)


def test_rows_without_a_weight_are_no_sample(package: Callable[[str], Packaged], monkeypatch: pytest.MonkeyPatch) -> None:
    _, predictor, split = package("breast_cancer")
    weight = np.zeros(len(split.train), np.float32)
    weight[[5, 77, 200]] = 1
    part = Part(split.train.table, split.train.rows, split.train.target, weight)
    monkeypatch.setattr("boostlab.evaluation.explanations.MOST_ROWS", 20)
    found = explain_model(predictor, part)

    assert found.rows.tolist() == part.rows[[5, 77, 200]].tolist()
    assert np.isfinite(found.importance.contribution).all()


def test_a_large_part_or_a_large_model_is_sampled_evenly(
    package: Callable[[str], Packaged], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, predictor, split = package("digits")
    part = split.train
    monkeypatch.setattr("boostlab.evaluation.explanations.MOST_ROWS", 150)
    few = explain_model(predictor, part)
    assert len(few.rows) == 150 and few.part_rows == len(part) > 1_000
    assert (few.rows[0], few.rows[-1]) == (part.rows[0], part.rows[-1]) and np.diff(few.rows).max() < 40
    monkeypatch.setattr("boostlab.evaluation.explanations.MOST_WORK", 1)
    assert len(explain_model(predictor, part).rows) == 100


class Judged:
    """A predictor as scikit-learn takes it: an estimator of the booster's inputs."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def fit(self, *_: Any) -> Judged:
        return self


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer", "iris"])
def test_permutation_agrees_with_scikit_learn(package: Callable[[str], Packaged], name: str) -> None:
    _, predictor, split = package(name)
    contract, part = predictor.contract, split.train
    inputs = encode_rows(part.head(len(part)), contract.features)
    true = encode_labels(part.target, contract.labels) if contract.labels else part.target.to_numpy(float)
    weight = np.random.default_rng(1).random(len(true)).astype(np.float32)
    sign = 1 if is_higher_better(contract.metric) else -1

    def score(judged: Judged, given: Any, target: Any, sample_weight: Any = None) -> float:
        return sign * score_metric(contract.metric, target, judged.predictor.answer_inputs(given), sample_weight)

    options: dict[str, Any] = {"scoring": score, "n_repeats": 40, "random_state": 0, "sample_weight": weight}
    expected = permutation_importance(Judged(predictor), inputs, true, **options)
    found = permute_columns(predictor, inputs, true, weight=weight, columns=contract.names)
    for place, column in enumerate(contract.names):
        mean, error = found[column]
        spread = expected.importances_std[place]
        assert abs(mean - expected.importances_mean[place]) <= 4 * spread / 5**0.5 + 1e-9, column
        assert error <= 3 * spread / 5**0.5 + 1e-9
    best = max(found, key=lambda column: found[column][0])
    assert best == contract.names[int(np.argmax(expected.importances_mean))]


def test_the_parts_of_a_date_are_permuted_together_and_an_unused_column_changes_nothing() -> None:
    draw = np.random.default_rng(0)
    features = (Feature("d", "date", "string", parts=("year", "month")), Feature("unused", "number", "double"))
    year, month = draw.integers(0, 2, 400), draw.integers(0, 2, 400)
    inputs = np.column_stack([year, month, draw.normal(size=400)]).astype(np.float32)
    target = (year == month) * 10.0  # one part alone says nothing
    booster = xgb.train(
        {"max_depth": 2, "nthread": 1, "eta": 1, "reg_lambda": 0},
        xgb.DMatrix(inputs[:, :2], target, feature_names=["d.year", "d.month"]),
        1,
    )
    wide = xgb.train(
        {"max_depth": 2, "nthread": 1, "eta": 1, "reg_lambda": 0},
        xgb.DMatrix(np.column_stack([inputs[:, :2], np.zeros(400)]), target, feature_names=input_names(features)),
        1,
    )
    assert booster.num_boosted_rounds() == 1
    predictor = Predictor(wide, Contract("regression", (), features, metric="rmse"))
    found = permute_columns(predictor, inputs, target, columns=["d", "unused"])
    assert found["unused"] == (0.0, 0.0)
    assert found["d"][0] > 5
    gain = rank_gain(predictor)
    assert list(gain) == ["d", "unused"] and gain["d"] > 0 == gain["unused"]


def test_the_gain_of_a_column_is_the_mean_over_its_splits(package: Callable[[str], Packaged]) -> None:
    _, predictor, _ = package("own")
    nodes = predictor.booster.trees_to_dataframe()
    splits = nodes[nodes.Feature != "Leaf"]
    found = rank_gain(predictor)
    for name in predictor.contract.names:
        own = splits[splits.Feature.str.partition(".")[0] == name] if name.startswith("sold") else splits[splits.Feature == name]
        assert found[name] == pytest.approx(own.Gain.mean() if len(own) else 0.0, rel=1e-4), name
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_the_artifact_states_what_the_numbers_are(package: Callable[[str], Packaged]) -> None:
    _, predictor, split = package("own_classes")
    found = explain_model(predictor, split.valid)
    content = json.loads(found.to_json())
    assert content["rows"] == len(found.rows) and content["unit"] == "log-odds of dear" and content["metric"] == "log_loss"
    assert list(content["columns"]) == list(found.importance.index)
    first = found.importance.iloc[0]
    assert content["columns"][found.importance.index[0]] == pytest.approx(first.to_dict())


def test_a_model_without_contributions_still_has_the_other_importances(package: Callable[[str], Packaged]) -> None:
    _, predictor, split = package("iris")
    rows = split.train.head(len(split.train))
    codes = encode_labels(split.train.target, predictor.contract.labels)
    params = {"objective": "multi:softprob", "num_class": 3, "multi_strategy": "multi_output_tree", "nthread": 1}
    booster = xgb.train(params, xgb.DMatrix(rows.to_numpy(np.float32), codes, feature_names=list(map(str, rows))), 5)
    found = explain_model(Predictor(booster, predictor.contract), split.valid)
    assert found.refusal.startswith("contributions: XGBoost has none for this model")
    assert found.importance.contribution.isna().all() and found.importance.permutation.notna().all()
    assert json.loads(found.to_json())["columns"][found.importance.index[0]]["contribution"] is None
