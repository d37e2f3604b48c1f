from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb

import boostlab.predictor
from boostlab.predictor import Predictor, load_predictor

ROWS = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "b": [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]})
MULTICLASS = {"objective": "multi:softprob", "num_class": 3}


def make_predictor(objective: dict[str, Any], target: list[float], labels: list[Any]) -> Predictor:
    params = {"eta": 1, "min_child_weight": 0, "nthread": 1, **objective}
    booster = xgb.train(params, xgb.DMatrix(ROWS, label=target), num_boost_round=5)
    return Predictor(booster, {"task": "classification" if labels else "regression", "features": ["a", "b"], "labels": labels})


@pytest.fixture(scope="module")
def regressor() -> Predictor:
    return make_predictor({"objective": "reg:squarederror"}, [0, 0, 10, 10, 20, 20], [])


@pytest.mark.parametrize("labels", [["no", "yes"], [3, 7], [False, True], [0.5, 1.5]])
def test_answers_with_the_labels_of_two_classes(labels: list[Any]) -> None:
    answers = make_predictor({"objective": "binary:logistic"}, [0, 0, 0, 1, 1, 1], labels).predict(ROWS)

    assert isinstance(answers, np.ndarray)
    assert answers.tolist() == [labels[0]] * 3 + [labels[1]] * 3
    assert {type(answer) for answer in answers.tolist()} == {type(labels[0])}


def test_answers_with_the_labels_of_three_classes() -> None:
    answers = make_predictor(MULTICLASS, [2, 2, 0, 0, 1, 1], ["x", "y", "z"]).predict(ROWS)

    assert list(answers) == ["z", "z", "x", "x", "y", "y"]


@pytest.mark.parametrize(
    ("objective", "target", "labels"),
    [({"objective": "binary:logistic"}, [0, 0, 0, 1, 1, 1], [3, 7]), (MULTICLASS, [2, 2, 0, 0, 1, 1], ["x", "y", "z"])],
)
def test_answers_with_probabilities_where_asked(objective: dict[str, Any], target: list[float], labels: list[Any]) -> None:
    answers = make_predictor(objective, target, labels).predict(ROWS, {"probabilities": True})

    assert isinstance(answers, pd.DataFrame)
    assert list(answers.columns) == [str(label) for label in labels]
    assert answers.sum(axis=1).tolist() == pytest.approx([1.0] * 6)
    assert answers.to_numpy().argmax(axis=1).tolist() == target


def test_answers_with_the_value_of_a_regression(regressor: Predictor) -> None:
    answers = regressor.predict(ROWS)

    assert isinstance(answers, np.ndarray)
    assert answers.dtype == np.float64
    assert answers.tolist() == pytest.approx([0, 0, 10, 10, 20, 20], abs=0.5)


@pytest.mark.parametrize("rows", [ROWS[["b", "a"]], ROWS.assign(c="text"), ROWS.astype(int), ROWS.set_index("a", drop=False)])
def test_takes_columns_in_any_order_and_more_of_them(regressor: Predictor, rows: pd.DataFrame) -> None:
    assert np.array_equal(regressor.predict(rows), regressor.predict(ROWS))


def test_takes_missing_values(regressor: Predictor) -> None:
    assert np.isfinite(regressor.predict(ROWS * np.nan)).all()


def test_refuses_rows_without_a_feature(regressor: Predictor) -> None:
    with pytest.raises(ValueError, match=r"^Columns missing: b\. The model takes: a, b\.$"):
        regressor.predict(ROWS[["a"]])


def test_refuses_to_give_probabilities_of_a_quantity(regressor: Predictor) -> None:
    with pytest.raises(ValueError, match="a regression model has none"):
        regressor.predict(ROWS, {"probabilities": True})


def test_answers_alike_after_it_was_loaded(regressor: Predictor, tmp_path: Path) -> None:
    regressor.booster.save_model(tmp_path / "model.ubj")
    (tmp_path / "contract.json").write_text(json.dumps(regressor.contract), encoding="utf-8")

    assert np.array_equal(load_predictor(tmp_path).predict(ROWS), regressor.predict(ROWS))


def test_imports_nothing_that_a_served_model_lacks() -> None:
    tree = ast.parse(Path(boostlab.predictor.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}

    assert imported == {"__future__", "json", "pathlib", "typing", "numpy", "pandas", "xgboost"}
