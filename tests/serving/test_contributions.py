"""Contributions of the lean server: equal bits in every way of asking, limits, and other requests meanwhile."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
import xgboost as xgb
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from mlflow.pyfunc import load_model
from mlflow.pyfunc.scoring_server import invocations
from tests.support.packages import Packaged
from tests.support.serving import JSON, ROW, predict, serve

from boostlab.models.contract import Contract, Feature
from boostlab.serving.booster import Booster
from boostlab.serving.model import ServedModel
from boostlab.serving.openapi import describe_api

EXPLAIN = {"params": {"contributions": True}}


def make_body(rows: pd.DataFrame, **params: Any) -> bytes:
    split = json.loads(rows.to_json(orient="split", index=False, double_precision=15, date_format="iso"))
    return json.dumps({"dataframe_split": split, "params": {"contributions": True} | params}).encode()


@pytest.mark.parametrize("name", ["own", "own_classes", "own_quantiles", "iris", "breast_cancer"])
def test_are_equal_in_python_in_mlflows_server_and_in_ours(package: Callable[[str], Packaged], name: str) -> None:
    folder, predictor, split = package(name)
    rows, model = split.test.head(30), load_model(str(folder))
    both: dict[str, Any] = {"probabilities": True} if predictor.contract.labels else {}
    for params in ({}, both):
        here: Any = model.predict(rows, params={"contributions": True} | params)
        body = make_body(rows, **params)
        theirs = json.loads(invocations(body, JSON, model, model.metadata.get_input_schema()).response)["predictions"]
        for threads in (1, 2):
            ours = json.loads(ServedModel(folder, threads=threads).answer(body, JSON)[0])["predictions"]
            assert ours == theirs == here.to_dict(orient="records")
    assert len(ours) == 30 and list(ours[0]) == ["prediction", "bias", "contributions"]


@pytest.mark.parametrize("kind", ["gbtree", "dart", "gblinear"])
def test_are_what_the_package_computes_for_each_kind_of_booster(kind: str) -> None:
    matrix = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    matrix[::7, 2] = np.nan
    labels = np.digitize(matrix[:, 0], [-0.5, 0.5])
    made = xgb.train(
        {"booster": kind, "objective": "multi:softprob", "num_class": 3, "nthread": 1}, xgb.DMatrix(matrix, labels), 10
    )
    expected = made.predict(xgb.DMatrix(matrix), pred_contribs=True, strict_shape=True)
    content = bytes(made.save_raw("ubj"))
    found = [Booster(content, threads=threads).contribute(matrix) for threads in (1, 3)]
    assert expected.shape == (300, 3, 6)
    assert all(np.array_equal(each, expected) for each in found)


def test_threads_do_not_meet(package: Callable[[str], Packaged]) -> None:
    folder, _, split = package("own_classes")
    model = ServedModel(folder, threads=2)
    bodies = [make_body(split.test.head(rows)) for rows in (1, 7, 20, 30)]
    expected, found = [model.answer(body, JSON) for body in bodies], {}
    tasks = [
        threading.Thread(target=lambda number=number: found.update({number: [model.answer(body, JSON) for body in bodies]}))
        for number in range(6)
    ]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert list(found.values()) == [expected] * 6


def test_the_other_protocol_has_them_as_outputs(address: str, as_tensors: Callable[..., Any]) -> None:
    rows = [ROW, ROW | {"size": 7.5, "city": "Porto, PT"}]
    expected = predict(address, json.dumps({"dataframe_records": rows, **EXPLAIN}).encode()).json()["predictions"]
    asked = {"inputs": as_tensors(*rows), "outputs": [{"name": name} for name in ("contributions", "bias", "predictions")]}
    found = requests.post(f"{address}/v2/models/model/infer", json=asked, timeout=60).json()["outputs"]
    described = requests.get(f"{address}/v2/models/model", timeout=60).json()["outputs"]

    assert [each["shape"] for each in found] == [[2, 1, len(ROW)], [2, 1], [2]]
    assert [each["data"] for each in found] == [
        [value for row in expected for value in row["contributions"]["dear"].values()],
        [row["bias"]["dear"] for row in expected],
        [row["prediction"] for row in expected],
    ]
    shapes = {each["name"]: each["shape"] for each in described}
    assert (shapes["contributions"], shapes["bias"]) == ([-1, 1, len(ROW)], [-1, 1])


@pytest.mark.parametrize("name", ["own", "own_classes", "iris"])
def test_are_limited_by_rows_times_columns_times_outputs(package: Callable[[str], Packaged], name: str) -> None:
    folder, predictor, split = package(name)
    outputs = 3 if name == "iris" else 1
    limit = 4 * len(predictor.contract.names) * outputs + 1
    model, rows = ServedModel(folder, max_contributions=limit), split.test.head(5)
    assert model.answer(make_body(rows.head(4)), JSON)[1] == 4
    assert model.answer(make_body(rows, contributions=False), JSON)[1] == 5
    with pytest.raises(Exception, match=f"more than 4 rows, and asks for the contributions of .* at most {limit} ") as refused:
        model.answer(make_body(rows), JSON)
    assert getattr(refused.value, "status", None) == 413


def test_the_limit_is_a_setting_of_the_server(folder: Path) -> None:
    body = {rows: json.dumps({"dataframe_records": [ROW] * rows, **EXPLAIN}).encode() for rows in (2, 3)}
    with serve(folder, max_contributions=2 * len(ROW), log_requests=0) as address:
        assert [predict(address, body[rows]).status_code for rows in (2, 3)] == [200, 413]


def test_no_rows_have_none(package: Callable[[str], Packaged]) -> None:
    model = ServedModel(package("iris")[0])
    body = json.dumps({"dataframe_split": {"columns": model.contract.names, "data": []}, **EXPLAIN}).encode()
    assert json.loads(model.answer(body, JSON)[0]) == {"predictions": []}


@pytest.mark.parametrize("name", ["own", "own_classes"])
@pytest.mark.parametrize("wrong", ["yes", 1, [True]])
def test_refuses_what_is_neither_true_nor_false(package: Callable[[str], Packaged], name: str, wrong: Any) -> None:
    folder, _, split = package(name)
    with pytest.raises(Exception, match="parameter 'contributions' takes true or false, not") as refused:
        ServedModel(folder).answer(make_body(split.test.head(1), contributions=wrong), JSON)
    assert getattr(refused.value, "status", None) == 400


def test_a_model_that_xgboost_cannot_explain_is_one_clear_error(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    folder, _, split = package("iris")
    shutil.copytree(folder, tmp_path / "model")
    data, rows = tmp_path / "model" / "data" / "model_data", split.test.head(9)
    params = {"objective": "multi:softprob", "num_class": 3, "multi_strategy": "multi_output_tree", "nthread": 1}
    made = xgb.train(params, xgb.DMatrix(rows.to_numpy(np.float32), np.arange(9) % 3), 2)
    made.save_model(data / "model.ubj")
    labels = Contract.read(data).labels
    Contract("classification", labels, tuple(Feature(str(name), "number", "double") for name in rows)).write(data)
    served = ServedModel(tmp_path / "model")

    assert served.answer(make_body(rows, contributions=False), JSON)[1] == 9
    with pytest.raises(Exception, match=r"contributions: XGBoost has none for this model .* multi_output_tree") as refused:
        served.answer(make_body(rows), JSON)
    assert getattr(refused.value, "status", None) == 400


@pytest.mark.parametrize(
    ("name", "unit"), [("own", "unit of the target"), ("own_classes", "log-odds of dear"), ("iris", "log-probability")]
)
def test_the_description_states_the_form_and_the_unit(package: Callable[[str], Packaged], name: str, unit: str) -> None:
    folder, _, split = package(name)
    model = ServedModel(folder)
    described = describe_api(model)["components"]["schemas"]["Predictions"]
    for params in ({}, {"contributions": False}):
        answer = json.loads(model.answer(make_body(split.test.head(5), **params), JSON)[0])
        Draft202012Validator(described).validate(answer)
    wrong = {"predictions": [{"prediction": 1.0, "bias": 1.0, "contributions": {}}]}
    assert not Draft202012Validator(described).is_valid(wrong)
    assert unit in json.dumps(described)


def test_a_slow_explanation_does_not_hold_up_other_requests(tmp_path: Path, package: Callable[[str], Packaged]) -> None:
    """A small request for contributions, of a large model, takes seconds; a health check meanwhile is answered first."""
    folder, _, split = package("diabetes")
    shutil.copytree(folder, tmp_path / "model")
    draw, rows = np.random.default_rng(0), split.test.head(60)
    inputs = draw.normal(size=(3000, rows.shape[1])).astype(np.float32)
    matrix = xgb.DMatrix(inputs, draw.normal(size=3000), feature_names=list(rows))
    made = xgb.train({"max_depth": 10, "min_child_weight": 0, "nthread": 2}, matrix, 12)
    made.save_model(tmp_path / "model" / "data" / "model_data" / "model.ubj")
    body = make_body(rows.round(3))
    assert len(body) < 16_384  # it would take the short way, inside the event loop
    order: list[str] = []
    with serve(tmp_path / "model", workers=1, log_requests=0) as address:
        explaining = threading.Thread(target=lambda: order.append(f"explained {predict(address, body).status_code}"))
        predict(address, make_body(rows.head(1)))
        explaining.start()
        while "boostlab_requests_in_progress 2" not in (text := requests.get(f"{address}/metrics", timeout=60).text):
            assert explaining.is_alive() or order, text
            if order:
                break
        order.append("metrics")
        explaining.join()
    assert order == ["metrics", "explained 200"]
