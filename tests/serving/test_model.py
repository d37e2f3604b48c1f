"""A served model: its encoding, its boosters, and folders that hold no model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from tests.support.packages import Packaged, make_package
from tests.support.servers import serve_model
from tests.support.serving import predict, serve
from tests.support.settings import make_settings

from boostlab.models.contract import Contract, Feature
from boostlab.models.predictor import encode_date
from boostlab.serving.model import ServedModel
from boostlab.serving.openapi import describe_api
from boostlab.serving.parsing import Rows
from boostlab.serving.settings import ServingError
from boostlab.training.objectives import OBJECTIVES, ObjectiveName


@pytest.mark.parametrize(
    "texts",
    [
        ["2020-02-29T23:59:59.999999", None, "1969-12-31", "2024-01-01T00:00+05:30", "2020-01-01T00:00:00.123456789"],
        ["1600-01-01", None, "2300-12-31"],  # beyond the range of nanoseconds
    ],
)
def test_encodes_dates_in_text_as_the_predictor_does(folder: Path, texts: list[str | None]) -> None:
    model = ServedModel(folder)
    (feature,) = [item for item in model.features if item.name == "sold_gap"]

    matrix = model.encode(Rows({"sold_gap": np.array(texts, object)}, len(texts)))

    encoded = matrix[:, ~np.isnan(matrix).all(axis=0)]  # the columns of the other features are missing
    assert np.array_equal(encoded, encode_date(pd.Series(texts), feature), equal_nan=True)


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "reg:quantileerror"])
def test_answers_each_objective_as_the_predictor_does(objective: ObjectiveName, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=200), "kind": draw.choice(["a", "b"], 200)})
    y = np.exp(frame["x"] + draw.normal(size=200) / 9)
    targets = {"binary:logistic": np.where(y > 1, "y", "n"), "multi:softprob": pd.qcut(y, 3, labels=["l", "m", "h"]).astype(str)}
    frame.assign(y=targets.get(objective, y / (1 + y))).to_csv(tmp_path / "t.csv", index=False)
    settings = make_settings(dataset=str(tmp_path / "t.csv"), target="y", objective=objective, num_boost_round=5)
    folder, predictor, split = make_package(settings, tmp_path)
    rows = split.test.head(40)
    body = json.dumps({"dataframe_records": rows.to_dict(orient="records")}).encode()
    served = json.loads(ServedModel(folder).answer(body, "application/json")[0])["predictions"]

    assert served == list(np.asarray(predictor.predict(rows)).tolist())
    assert predictor.contract.metric == OBJECTIVES[objective].metrics[0] + (":1.5" if objective == "reg:tweedie" else "")


def test_an_unknown_text_in_a_category_of_whole_numbers_is_a_missing_value(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"shop": draw.integers(1, 5, 200), "x": draw.normal(size=200)})
    frame.assign(y=(frame.shop == 3) * 9 + frame["x"]).to_csv(tmp_path / "t.csv", index=False)
    settings = make_settings(dataset=str(tmp_path / "t.csv"), target="y", column_types={"shop": "category"}, num_boost_round=5)
    folder, predictor, _ = make_package(settings, tmp_path)
    rows = [{"shop": shop, "x": 0.5} for shop in (1, "1", "1.0", "new", "1_0", None, "NA", "")]
    expected = np.asarray(predictor.predict(pd.DataFrame(rows))).tolist()
    table = {name: [row[name] for row in rows] for name in ("shop", "x")}
    split = {"columns": ["shop", "x"], "data": [list(row.values()) for row in rows]}
    served = ServedModel(folder)

    assert expected[0] == expected[1] == expected[2] != expected[3] == expected[5]
    for body in ({"dataframe_records": rows}, {"dataframe_split": split}, {"instances": rows}, {"inputs": table}):
        assert json.loads(served.answer(json.dumps(body).encode(), "application/json")[0])["predictions"] == expected
    assert json.loads(served.answer(b"shop,x\n1.0,0.5\nnew,0.5\nNA,0.5\n", "text/csv")[0])["predictions"] == [
        expected[0],
        *expected[3:4] * 2,
    ]
    one = {"inputs": {"shop": "new", "x": 0.5}}
    assert json.loads(served.answer(json.dumps(one).encode(), "application/json")[0])["predictions"] == expected[3:4]


@pytest.mark.slow
def test_quantiles_are_equal_in_python_in_our_server_and_in_mlflows(package: Callable[[str], Packaged], store: str) -> None:
    folder, predictor, split = package("own_quantiles")
    rows = split.test.head(30)
    body = rows.to_json(orient="split", index=False, date_format="iso", double_precision=15)
    here: Any = predictor.predict(rows)
    sent = json.dumps({"dataframe_split": json.loads(body)}).encode()
    with serve(folder) as ours, serve_model(str(folder), store) as theirs:
        answers = [predict(address, sent).json()["predictions"] for address in (ours, theirs)]

    assert list(here.columns) == ["quantile 0.1", "quantile 0.5", "quantile 0.9"]
    assert answers == [here.to_dict(orient="records")] * 2
    assert (np.diff(here.to_numpy(), axis=1) >= 0).all()


def test_describes_and_answers_no_rows_and_each_quantile(package: Callable[[str], Packaged]) -> None:
    model = ServedModel(package("own_quantiles")[0])
    described = describe_api(model)["components"]["schemas"]["Predictions"]
    answered = json.loads(model.answer(json.dumps(model.info.example).encode(), "application/json")[0])

    names = ["quantile 0.1", "quantile 0.5", "quantile 0.9"]
    assert described["properties"]["predictions"]["items"]["anyOf"][0]["required"] == names
    assert [list(row) for row in answered["predictions"]] == [names] * 5
    assert "It answers with: quantile 0.1, quantile 0.5, quantile 0.9." in describe_api(model)["info"]["description"]
    assert model.predict(np.empty((0, 3), np.float32)) == []


@pytest.mark.parametrize(
    ("other", "is_fast"),
    [
        (Feature("b", "number", "double"), True),
        (Feature("b", "category", "string", optional=True), False),
        (Feature("b", "number", "long"), True),
        (Feature("b", "number", "double", missing=(-999.0,)), False),
    ],
)
def test_has_a_fast_path_if_each_column_takes_numbers(
    package: Callable[[str], Packaged], tmp_path: Path, other: Feature, is_fast: bool
) -> None:
    shutil.copytree(package("diabetes")[0], tmp_path / "model")
    fractions = [Feature(name, "number", "double") for name in "acdefghij"]
    contract = Contract("regression", (), (*fractions, other))
    contract.write(tmp_path / "model" / "data" / "model_data")

    assert ServedModel(tmp_path / "model").fast_reader.names == (contract.names if is_fast else [])


@pytest.mark.parametrize("missing", ["MLmodel", "serving_input_example.json", "data/model_data/contract.json"])
def test_refuses_a_folder_that_lacks_a_file(folder: Path, tmp_path: Path, missing: str) -> None:
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / missing).unlink()

    with pytest.raises(ServingError, match=f"does not hold a model made by boostlab: .*{Path(missing).name}"):
        ServedModel(tmp_path / "model")


def test_knows_its_origin_from_mlmodel(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    text = (folder / "MLmodel").read_text()
    kept = "".join(line for line in text.splitlines(True) if not line.startswith(("run_id:", "model_id:")))
    (tmp_path / "model" / "MLmodel").write_text(kept + "run_id: abc\nmodel_id: null\n")

    info = ServedModel(tmp_path / "model").info

    assert (info.run_id, info.model_id) == ("abc", "")
    assert f"mlflow_version: {info.mlflow_version}\n" in text


def test_predicts_with_boosters_that_do_not_predict_in_place(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    """DART rounds differently without a DMatrix, and a linear model cannot predict without one."""
    folder, predictor, split = package("diabetes")
    shutil.copytree(folder, tmp_path / "model")
    rows = split.test.head(50)
    for booster in ("dart", "gblinear"):
        matrix = xgb.DMatrix(rows.to_numpy(np.float32), label=np.arange(50.0), feature_names=predictor.booster.feature_names)
        made = xgb.train({"booster": booster, "nthread": 1}, matrix, 5)
        made.save_model(tmp_path / "model" / "data" / "model_data" / "model.ubj")
        served = ServedModel(tmp_path / "model")
        body = json.dumps(
            {"dataframe_split": json.loads(rows.to_json(orient="split", index=False, double_precision=15))}
        ).encode()
        assert (
            json.loads(served.answer(body, "application/json")[0])["predictions"] == made.predict(matrix).astype(float).tolist()
        )
