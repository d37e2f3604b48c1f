"""The Open Inference Protocol: metadata, tensors of columns and of a matrix, outputs, and errors that name the tensor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.support.packages import Packaged
from tests.support.serving import ROW, predict, serve

Tensors = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def numbers_address(package: Callable[[str], Packaged]) -> Iterator[str]:
    """Return the address of a regression model with columns of numbers only."""
    with serve(package("diabetes")[0], model_name="wine", model_version="7", log_requests=0) as found:
        yield found


def infer(address: str, tensors: object, *, model: str = "model", **more: object) -> requests.Response:
    return requests.post(f"{address}/v2/models/{model}/infer", json={"inputs": tensors, **more}, timeout=60)


def test_describes_the_server_and_the_model(address: str) -> None:
    assert requests.get(f"{address}/v2", timeout=60).json()["name"] == "boostlab"
    assert requests.get(f"{address}/v2/health/live", timeout=60).json() == {"live": True}
    assert requests.get(f"{address}/v2/health/ready", timeout=60).json() == {"ready": True}
    model = requests.get(f"{address}/v2/models/model/versions/1", timeout=60).json()
    assert model["name"] == "model" and model["versions"] == ["1"]
    assert {each["name"]: each["datatype"] for each in model["inputs"]}.items() >= {"size": "FP64", "city": "BYTES"}.items()
    assert [each["name"] for each in model["outputs"]] == ["predictions", "probabilities", "contributions", "bias"]


def test_answers_rows_as_the_other_path_does(address: str, as_tensors: Tensors) -> None:
    rows = [ROW, ROW | {"size": 7.5, "city": "Porto"}, ROW | {"rooms": 9}]
    body = json.dumps({"dataframe_records": rows, "params": {"probabilities": True}}).encode()
    expected = predict(address, body).json()["predictions"]

    answer = infer(address, as_tensors(*rows), id="a1", outputs=[{"name": "probabilities"}, {"name": "predictions"}]).json()

    probabilities, predictions = answer["outputs"]
    assert answer["id"] == "a1" and answer["model_name"] == "model"
    assert probabilities["shape"] == [3, len(expected[0])] and predictions["shape"] == [3]
    assert probabilities["data"] == [share for row in expected for share in row.values()]
    assert predictions["data"] == [max(row, key=row.get) for row in expected]


def test_reads_a_matrix_and_nested_lists(numbers_address: str) -> None:
    names = [each["name"] for each in requests.get(f"{numbers_address}/v2/models/wine", timeout=60).json()["inputs"]]
    rows = [[0.01 * (row + column) for column in range(len(names))] for row in range(3)]
    records = [dict(zip(names, row, strict=True)) for row in rows]
    expected = predict(numbers_address, json.dumps({"dataframe_records": records}).encode()).json()["predictions"]

    flat = [value for row in rows for value in row]
    for data in (flat, rows):
        tensor = {"name": "input-0", "shape": [3, len(names)], "datatype": "FP32", "data": data}
        answer = infer(numbers_address, [tensor], model="wine/versions/7").json()
        assert answer["outputs"] == [{"name": "predictions", "datatype": "FP64", "shape": [3], "data": expected}]
        assert answer["model_version"] == "7"


def test_reads_what_the_other_path_reads_beyond_json(address: str, as_tensors: Tensors) -> None:
    tensors = as_tensors()
    place = [each["name"] for each in tensors].index("rooms_gap")
    for value in (20.0, float("nan")):
        row = ROW | {"rooms_gap": value}
        expected = predict(address, json.dumps({"dataframe_records": [row]}).encode()).json()["predictions"]
        tensors[place]["data"] = [value]
        body = b"\xef\xbb\xbf" + json.dumps({"inputs": tensors}).encode()
        answer = requests.post(f"{address}/v2/models/model/infer", data=body, timeout=60)
        assert answer.status_code == 200 and answer.json()["outputs"][0]["data"] == expected


def change(**parts: object) -> Callable[[list[dict[str, Any]]], Any]:
    return lambda tensors: [tensors[0] | parts, *tensors[1:]]


WRONG: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], str]] = {
    "no inputs": (lambda _: None, "needs `inputs`"),
    "inputs without tensors": (lambda _: [], "needs `inputs`"),
    "a tensor that is a number": (lambda _: [1], "needs `inputs`"),
    "no data": (change(data=None), "needs a name and `data`"),
    "no shape": (change(shape=[]), "needs a shape"),
    "a shape of text": (change(shape=["1"]), "needs a shape"),
    "a negative shape": (change(shape=[-1]), "needs a shape"),
    "an unknown datatype": (change(datatype="FP128"), "the datatype 'FP128'"),
    "too many values": (change(data=[1.0, 2.0]), "has 2 values, and the shape [1] needs 1"),
    "text as a number": (change(data=["1"]), "the datatype FP64, and the value '1'"),
    "a mixture": (change(data=[1.0, [2.0]], shape=[2]), "mixes values and lists"),
    "a cube": (change(shape=[1, 1, 1]), "A column has the shape"),
    "other numbers of rows": (change(data=[1.0, 2.0], shape=[2]), "different numbers of rows"),
    "a tensor twice": (lambda tensors: [*tensors, tensors[0]], "same name"),
    "a column missing": (lambda tensors: tensors[1:], "missing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_says_what_is_wrong_with_a_tensor(address: str, as_tensors: Tensors, name: str) -> None:
    spoil, message = WRONG[name]
    answer = infer(address, spoil(as_tensors()))

    assert answer.status_code == 400
    assert message in answer.json()["error"] == answer.json()["message"]


def test_refuses_another_model_another_output_and_binary_data(address: str, as_tensors: Tensors) -> None:
    tensors = as_tensors()
    assert infer(address, tensors, model="other").status_code == 404
    assert infer(address, tensors, model="model/versions/2").status_code == 404
    answer = infer(address, tensors, outputs=[{"name": "logits"}])
    assert answer.status_code == 400 and "It has: predictions, probabilities" in answer.json()["error"]
    url, headers = f"{address}/v2/models/model/infer", {"Inference-Header-Content-Length": "7"}
    assert "not as binary data" in requests.post(url, data=b"{}", headers=headers, timeout=60).json()["error"]
    assert requests.post(url, data=b"{", timeout=60).status_code == requests.post(url, data=b"[]", timeout=60).status_code == 400


def test_counts_its_predictions(folder: Path, as_tensors: Tensors) -> None:
    with serve(folder, workers=1, log_requests=0) as address:
        infer(address, as_tensors(ROW, ROW))
        infer(address, [], model="model/versions/1")
        page = requests.get(f"{address}/metrics", timeout=60).text
    for line in ("rows_total 2", 'requests_total{path="/v2/infer",status="200"} 1', "request_seconds_count 2"):
        assert f"boostlab_{line}" in page.splitlines()
