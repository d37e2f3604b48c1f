"""Contributions: they sum to the margin, are Shapley values, and belong to the user's columns."""

from __future__ import annotations

import itertools
import json
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from tests.support.packages import make_package
from tests.support.settings import make_settings

from boostlab.models.contract import Contract, Feature
from boostlab.models.contributions import describe_unit, name_outputs, sum_by_column
from boostlab.models.loading import wrap_predictor
from boostlab.models.predictor import Predictor, encode_rows
from boostlab.training.objectives import OBJECTIVES, ObjectiveName

LOGGED_BEFORE = Path(__file__).with_name("logged_by_0_1")
FEATURES = (Feature("x", "number", "double", optional=True), Feature("kind", "category", "string", categories=("a", "b", "c")))
VECTORS = {"multi_strategy": "multi_output_tree"}


def make_table(folder: Path) -> Path:
    """Write a table with a number, a text and a date, each with missing values, a weight, and a target of each kind."""
    draw, rows = np.random.default_rng(0), 300
    frame = pd.DataFrame(
        {
            "x": draw.normal(size=rows),
            "kind": draw.choice(["a", "b", "c"], rows),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, rows), unit="D"),
        }
    )
    score = frame["x"] + 2 * (frame.kind == "a") + frame.when.dt.month / 4
    gaps = frame.where(draw.random(frame.shape) > 0.1)
    odds = np.exp(score / 3 + draw.normal(size=rows) / 9)
    targets = {
        "share": odds / (1 + odds),
        "two": np.where(score > 2, "yes", "no"),
        "three": pd.qcut(score, 3, labels=list("lmh")),
    }
    gaps.assign(**targets, w=draw.random(rows)).astype({"three": str}).to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


def fit(folder: Path, target: str, **settings: Any) -> tuple[Predictor, pd.DataFrame]:
    """Train a model on the table of :func:`make_table`, and return it with rows that it has not seen."""
    others = {"share", "two", "three", "w"} - {target, settings.get("sample_weight")}
    given = {"dataset": str(make_table(folder)), "target": target, "drop": sorted(others), "num_boost_round": 8} | settings
    _, predictor, split = make_package(make_settings(**given), folder)
    return predictor, split.test.head(40)


def ask_margin(predictor: Predictor, rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    matrix = xgb.DMatrix(
        encode_rows(rows, predictor.contract.features),
        feature_names=predictor.booster.feature_names,
        feature_types=predictor.booster.feature_types,
        enable_categorical=True,
    )
    return np.asarray(predictor.booster.predict(matrix, output_margin=True, strict_shape=True), np.float64)


def check_sums(predictor: Predictor, rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Check that contributions sum to the margin, as far as float32 holds the sum of a few hundred terms."""
    margin, found = ask_margin(predictor, rows), predictor.contributions(rows)
    assert found.shape == (*margin.shape, 4) and found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=2), margin, rtol=2e-6, atol=2e-6)
    assert np.ptp(found[:, :, :-1], axis=0).max() > 1e-3
    return found


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_sum_to_the_margin_for_each_objective(objective: ObjectiveName, tmp_path: Path) -> None:
    target = {"binary:logistic": "two", "multi:softprob": "three"}.get(objective, "share")
    quantiles = [0.1, 0.5, 0.9] if objective == "reg:quantileerror" else []
    found = check_sums(*fit(tmp_path, target, objective=objective, quantiles=quantiles))
    assert found.shape[1] == (3 if quantiles or target == "three" else 1)


@pytest.mark.parametrize("target", ["share", "two", "three"])
@pytest.mark.parametrize(
    "settings",
    [
        {"xgb_params": {"booster": "dart", "rate_drop": 0.5, "skip_drop": 0}},
        {"num_parallel_tree": 3, "subsample": 0.6, "colsample_bynode": 0.6},
        {"sample_weight": "w"},
        {"xgb_params": {"base_score": 0.3}},
    ],
    ids=["dart", "forest", "weights", "base_score"],
)
def test_sum_to_the_margin_for_each_kind_of_booster(target: str, settings: dict[str, Any], tmp_path: Path) -> None:
    check_sums(*fit(tmp_path, target, **settings))


def list_trees(booster: xgb.Booster) -> list[tuple[int, float, dict[str, Any]]]:
    """Return output, weight and nodes of each tree."""
    model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
    forest = model["gbtree"]["model"] if "gbtree" in model else model["model"]
    weights = model.get("weight_drop") or [1.0] * len(forest["trees"])
    return list(zip(forest["tree_info"], weights, forest["trees"], strict=True))


def expect(tree: dict[str, Any], row: np.ndarray[Any, Any], known: frozenset[int], node: int = 0) -> float:
    """Return the mean of a tree's leaves for a row of which only the `known` inputs are fixed, by the rows in each node."""
    left, right = tree["left_children"][node], tree["right_children"][node]
    if left == -1:
        return float(tree["split_conditions"][node])
    if (split := tree["split_indices"][node]) not in known:
        shares = [tree["sum_hessian"][child] / tree["sum_hessian"][node] for child in (left, right)]
        return float(shares[0] * expect(tree, row, known, left) + shares[1] * expect(tree, row, known, right))
    value = row[split]
    if np.isnan(value):
        goes_left = bool(tree["default_left"][node])
    elif tree["split_type"][node]:
        place = tree["categories_nodes"].index(node)
        start, size = tree["categories_segments"][place], tree["categories_sizes"][place]
        goes_left = int(value) not in tree["categories"][start : start + size]
    else:
        goes_left = value < np.float32(tree["split_conditions"][node])
    return expect(tree, row, known, left if goes_left else right)


def find_shapley(booster: xgb.Booster, row: np.ndarray[Any, Any], outputs: int) -> np.ndarray[Any, Any]:
    """Return Shapley values by their definition: over all subsets of the inputs."""
    count = len(row)
    found = np.zeros((outputs, count))
    for output, weight, tree in list_trees(booster):
        values = {
            frozenset(subset): weight * expect(tree, row, frozenset(subset))
            for size in range(count + 1)
            for subset in itertools.combinations(range(count), size)
        }
        for place in range(count):
            for subset in (each for each in values if place not in each):
                share = factorial(len(subset)) * factorial(count - len(subset) - 1) / factorial(count)
                found[output, place] += share * (values[subset | {place}] - values[subset])
    return found


@pytest.mark.parametrize(
    ("target", "settings"),
    [
        ("share", {}),
        ("two", {"sample_weight": "w"}),
        ("three", {}),
        ("share", {"xgb_params": {"booster": "dart", "rate_drop": 0.5}}),
    ],
    ids=["regression", "weights", "classes", "dart"],
)
def test_are_shapley_values_of_each_column(target: str, settings: dict[str, Any], tmp_path: Path) -> None:
    predictor, rows = fit(tmp_path, target, num_boost_round=3, max_depth=3, **settings)
    features, few = predictor.contract.features, rows.head(8)
    widths = [feature.width for feature in features]
    inputs = encode_rows(few, features)
    assert widths[:2] == [1, 1] and widths[2] > 1 and np.isnan(inputs).any()
    found = predictor.contributions(few)
    for row, given in zip(inputs, found, strict=True):
        by_input = find_shapley(predictor.booster, row, found.shape[1])
        by_column = np.column_stack([by_input[:, :1], by_input[:, 1:2], by_input[:, 2:].sum(axis=1)])
        np.testing.assert_allclose(given[:, :-1], by_column, rtol=1e-4, atol=1e-6)


def test_dates_are_one_column() -> None:
    features = (Feature("a", "number", "double"), Feature("d", "date", "string", parts=("year", "month")), FEATURES[1])
    raw = np.array([[[1.0, 2.0, 3.0, 4.0, 0.5]]], np.float32)
    assert sum_by_column(raw, Contract("regression", (), features)).tolist() == [[[1.0, 5.0, 4.0, 0.5]]]
    assert sum_by_column(np.empty(0), Contract("classification", ("a", "b", "c"), features)).shape == (0, 3, 4)


def test_an_explanation_has_the_prediction_the_bias_and_each_column(tmp_path: Path) -> None:
    predictor, rows = fit(tmp_path, "two")
    plain: Any = predictor.predict(rows)
    likely: Any = predictor.predict(rows, {"probabilities": True})
    explained: Any = predictor.predict(rows, {"contributions": True})
    both: Any = predictor.predict(rows, {"contributions": True, "probabilities": True})
    found = predictor.contributions(rows)

    assert list(explained.columns) == ["prediction", "bias", "contributions"]
    assert explained.prediction.tolist() == plain.tolist()
    assert both.prediction.tolist() == likely.to_dict(orient="records")
    assert explained.bias.tolist() == [{"yes": bias} for bias in found[:, 0, -1]]
    assert [list(row["yes"].items()) for row in explained.contributions] == [
        list(zip(["x", "kind", "when"], values[0, :-1].tolist(), strict=True)) for values in found
    ]
    odds = np.exp(found[:, 0].sum(axis=1))
    np.testing.assert_allclose(odds / (1 + odds), likely["yes"], rtol=1e-5)


def test_a_regression_has_no_name_of_an_output_and_each_quantile_has_one(tmp_path: Path) -> None:
    predictor, rows = fit(tmp_path, "share", quantiles=[0.1, 0.9])
    quantiles: Any = predictor.predict(rows, {"contributions": True})
    assert [list(row) for row in quantiles.contributions[:1]] == [["quantile 0.1", "quantile 0.9"]]
    assert list(quantiles.prediction[0]) == list(quantiles.bias[0]) == ["quantile 0.1", "quantile 0.9"]

    (tmp_path / "plain").mkdir()
    regression: Any = fit(tmp_path / "plain", "share")[0].predict(rows, {"contributions": True})
    assert list(regression.contributions[0]) == ["x", "kind", "when"] and isinstance(regression.bias[0], float)


@pytest.mark.parametrize(
    ("objective", "labels", "unit", "outputs"),
    [
        ("binary:logistic", ("no", "yes"), "log-odds of yes", ["yes"]),
        ("multi:softprob", (1, 2, 3), "log-probability, not normalised", ["1", "2", "3"]),
        ("count:poisson", (), "log of the mean", []),
        ("reg:squaredlogerror", (), "unit of the target", []),
    ],
)
def test_states_the_unit_and_the_outputs(objective: str, labels: tuple[Any, ...], unit: str, outputs: list[str]) -> None:
    contract = Contract("classification" if labels else "regression", labels, FEATURES)
    assert (describe_unit(objective, contract), name_outputs(contract)) == (unit, outputs)


def test_vector_leaves_have_none_which_is_one_clear_error() -> None:
    rows = pd.DataFrame({"x": np.arange(30.0), "z": np.arange(30.0)[::-1]})
    params = {"objective": "multi:softprob", "num_class": 3, **VECTORS}
    booster = xgb.train(params, xgb.DMatrix(rows, np.arange(30) % 3), 2)
    features = tuple(Feature(name, "number", "double") for name in ("x", "z"))
    predictor = Predictor(booster, Contract("classification", ("a", "b", "c"), features))
    with pytest.raises(ValueError, match=r"^contributions: XGBoost has none for this model \(.*multi-target.*\)\. Train it with"):
        predictor.predict(rows, {"contributions": True})
    assert len(predictor.predict(rows)) == 30


def test_a_model_of_an_earlier_version_has_them_by_the_installed_predictor() -> None:
    rows = pd.read_parquet(LOGGED_BEFORE / "rows.parquet")
    model = wrap_predictor(LOGGED_BEFORE / "model")
    explained = model.predict(rows, params={"contributions": True})
    assert explained.prediction.tolist() == model.predict(rows).tolist()
    assert [set(row) for row in explained.contributions][:1] != [set()]
