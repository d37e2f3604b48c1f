"""The application: the same answers as MLflow's server, except for the differences listed here; ids, limits and logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.support.servers import serve_model
from tests.support.serving import BODY, CSV, JSON, ROW, predict, start_server

from boostlab.serving.model import ServedModel

REQUIRED = {name: value for name, value in ROW.items() if not name.endswith("gap")}


@dataclass(frozen=True)
class Case:
    """A request, and the reason if the two servers answer it differently.

    Attributes
    ----------
    body : object
        JSON content; text or bytes are sent unchanged.
    differs : str
        Why our answer differs.
    status : int
        Our status if the answers differ.
    """

    body: object = None
    content_type: str | None = JSON
    method: str = "POST"
    path: str = "/invocations"
    differs: str = ""
    status: int = 0


def split(**changes: Any) -> dict[str, Any]:
    row = ROW | changes
    return {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}


def records(*rows: Any, **changes: Any) -> dict[str, Any]:
    return {"dataframe_records": list(rows) or [ROW | changes]}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ROW.items() if key != name}


def columns(**changes: Any) -> dict[str, Any]:
    """Return rows by column, without missing values, which numpy turns into text."""
    fine = ROW | {"size_gap": 1.5, "city_gap": "Faro"}
    return {name: [value, value] for name, value in fine.items()} | changes


HEADER = ",".join(REQUIRED)
CASES = {
    "split": Case(split()),
    "split, several rows": Case({"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())] * 7}}),
    "split with an index": Case({"dataframe_split": {**split()["dataframe_split"], "index": [5]}}),
    "split, index too long": Case(
        {"dataframe_split": {**split()["dataframe_split"], "index": [5, 6]}},
        status=400,
        differs="pandas repeats a single row for each entry of the index; we reject the mismatch.",
    ),
    "split, columns in another order": Case({"dataframe_split": {"columns": [*ROW][::-1], "data": [[*ROW.values()][::-1]]}}),
    "split without columns": Case({"dataframe_split": {"data": [list(ROW.values())]}}),
    "split without data": Case({"dataframe_split": {"columns": list(ROW)}}),
    "split with an unknown key": Case({"dataframe_split": {**split()["dataframe_split"], "rows": 1}}),
    "split, a row too short": Case({"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())[:3]]}}),
    "split, rows of two lengths": Case(
        {"dataframe_split": {"columns": list(ROW), "data": [[*ROW.values()], [1.0, 2, True]]}},
        status=400,
        differs="pandas fills a short row with missing values.",
    ),
    "split, no rows": Case({"dataframe_split": {"columns": list(ROW), "data": []}}),
    "split is a list": Case({"dataframe_split": [1]}),
    "records": Case(records()),
    "records, several": Case(records(ROW, ROW | {"city": "Porto, PT"}, ROW | {"size": -4.0})),
    "records without optional columns": Case(records(REQUIRED)),
    "records, optional columns in one of two": Case(records(ROW, REQUIRED)),
    "records, a required column missing in one of two": Case(records(ROW, without("city"))),
    "records, keys in another order": Case(records(dict(reversed(ROW.items())))),
    "records is a dictionary": Case({"dataframe_records": ROW}),
    "records, none": Case({"dataframe_records": []}),
    "records, an empty one": Case({"dataframe_records": [{}]}),
    "instances": Case({"instances": [ROW | {"size_gap": 1.0, "city_gap": "Faro"}]}),
    "instances by column": Case({"instances": columns()}),
    "instances, columns of two lengths": Case({"instances": columns(size=[1.0])}),
    "instances, a matrix": Case({"instances": [[1, 2], [3, 4]]}),
    "inputs": Case({"inputs": columns()}),
    "inputs, one row of single values": Case({"inputs": {name: values[0] for name, values in columns().items()}}),
    "inputs by row": Case({"inputs": [ROW | {"size_gap": 1.0, "city_gap": "Faro"}]}),
    "inputs, columns of two lengths": Case(
        {"inputs": columns(size=[1.0])}, status=400, differs="MLflow's code is that of a wrong schema, other than for instances."
    ),
    "inputs is text": Case({"inputs": "abc"}),
    "probabilities": Case({**split(), "params": {"probabilities": True}}),
    "probabilities: false": Case({**records(), "params": {"probabilities": False}}),
    "probabilities: null": Case({**records(), "params": {"probabilities": None}}),
    "probabilities: text": Case({**records(), "params": {"probabilities": "yes"}}),
    "unknown parameter": Case({**records(), "params": {"temperature": 1}}),
    "parameters are a list": Case({**records(), "params": [1]}),
    "a category that training did not see": Case(records(city="Atlantis")),
    "a number for a category": Case(records(city=3)),
    "a missing value in a required number": Case(records(size=None)),
    "NaN": Case(json.dumps(split(size=float("nan")))),
    "Infinity": Case(json.dumps(split(size=float("inf")))),
    "a whole number for a fraction": Case(records(size=3)),
    "a fraction for a whole number": Case(records(rooms=3.5)),
    "text that reads as a number": Case(records(size="1.5")),
    "text for a number": Case(records(size="big")),
    "a list for a number": Case(records(size=[1])),
    "a dictionary for a number": Case(records(size={"a": 1})),
    "a missing value in a required whole number": Case(records(rooms=None)),
    "text for true": Case(records(new="no")),
    "a missing value in a required boolean": Case(records(new=None)),
    "text for an optional boolean": Case(records(new_gap="perhaps")),
    "a number too large for XGBoost": Case(records(size=1e300)),
    "a date without a time": Case(records(sold="2020-04-23", sold_gap="2021-04-23")),
    "text for a date": Case(records(sold="tomorrow")),
    "a date with a zone": Case(records(sold="2020-04-23T06:30:15Z")),
    "a column missing": Case(records(without("city"))),
    "a column missing and one too many": Case(records(without("city") | {"town": "Faro"})),
    "a column too many": Case(records(ROW | {"town": "Faro"})),
    "a column named twice": Case({"dataframe_split": {"columns": [*ROW, "size"], "data": [[*ROW.values(), 1.0]]}}),
    "two formats": Case({**records(), **split()}),
    "no format": Case({"rows": [ROW]}),
    "MLflow's old format": Case({"columns": ["a"], "data": [[1]]}),
    "a list": Case([ROW]),
    "a number": Case("5"),
    "null": Case("null"),
    "nothing": Case(""),
    "broken JSON": Case('{"dataframe_records": [{"size": '),
    "JSON and more": Case(json.dumps(records()) + "}"),
    "not UTF-8": Case(b'{"dataframe_records": [{"city": "\xff"}]}'),
    "UTF-16": Case(json.dumps(records()).encode("utf-16")),
    "an own spelling of the media type": Case(records(), content_type="application/json;charset=UTF-8"),
    "JSON with a byte order mark": Case(json.dumps(records()).encode("utf-8-sig")),
    "a lone surrogate": Case(
        json.dumps(records()).replace("Faro", "\\ud800"),
        status=200,
        differs="pandas cannot hold such text; for us it is a category that training did not see.",
    ),
    "a key twice": Case('{"dataframe_records": [], ' + json.dumps(records())[1:]),
    "JSON with a character set": Case(records(), content_type="application/json; charset=utf-8"),
    "another character set": Case(records(), content_type="application/json; charset=latin-1"),
    "an unknown parameter of the type": Case(records(), content_type="application/json; version=2"),
    "CSV without optional columns and with dates": Case(
        f"{HEADER}\n0.5,30,True,Faro,2020-04-23T06:30:15.25\n",
        content_type=CSV,
        status=200,
        differs="MLflow does not read dates from CSV; we do.",
    ),
    "CSV, empty": Case("", content_type=CSV),
    "CSV, open quote": Case(f'{HEADER}\n0.5,30,True,"Faro,2020', content_type=CSV),
    "CSV, not UTF-8": Case(b"a,b\n\xff,1\n", content_type=CSV),
    "another type": Case("<rows/>", content_type="application/xml"),
    "Parquet": Case(b"PAR1", content_type="application/vnd.apache.parquet", status=415, differs="The image cannot read Parquet."),
    "no type": Case("{}", content_type=None, status=415, differs="MLflow fails with 500: it splits None."),
    "deep": Case("[" * 100_000, status=400, differs="MLflow fails with 500: Python's recursion limit."),
    "a number of 5,000 digits": Case(
        '{"dataframe_records": [{"size": ' + "1" * 5000 + "}]}",
        status=400,
        differs="MLflow fails with 500: Python's limit on digits.",
    ),
    "a whole number beyond 64 bits": Case(records(rooms=2**63)),
    "dates in two forms": Case(records(ROW, ROW | {"sold": "2020-04-23"})),
    "a date in American order": Case(records(sold="04/23/2020")),
    "a date beyond nanoseconds": Case(records(sold="9999-12-31")),
    "a record that is null": Case(records(ROW, None)),
    "a record that is a number": Case(records(ROW, 5)),
    "a language model's request": Case(
        {"input": "Hello"}, differs="MLflow passes it to the model as rows; both reject it with 400.", status=400
    ),
    "ping": Case(method="GET", path="/ping"),
    "health": Case(method="GET", path="/health"),
    "version": Case(method="GET", path="/version"),
    "another path": Case(method="GET", path="/predict"),
    "another method": Case(method="GET"),
    "posting to ping": Case({}, path="/ping"),
    "a slash at the end": Case(method="GET", path="/ping/"),
}  # fmt: skip
# The fields that a program reads. Messages differ: MLflow's repeat the rows, list the formats in random order, or add a
# traceback (`stack_trace`). Rows do not belong in logs, and a traceback does not belong in a response. MLflow answers an unknown
# content type in plain text, and its errors have no fields of RFC 9457.
SAME = ("error_code", "sqlstate", "error_class", "predictions")


def ask(address: str, case: Case) -> tuple[int, dict[str, Any] | str, str]:
    """Return the status, the part of the content that must be equal, and the message."""
    body = case.body if isinstance(case.body, str | bytes) else json.dumps(case.body)
    data = body.encode() if isinstance(body, str) else body
    headers = {} if case.content_type is None or case.method == "GET" else {"Content-Type": case.content_type}
    answer = requests.request(
        case.method, address + case.path, data=None if case.method == "GET" else data, headers=headers, timeout=60
    )
    try:
        content = answer.json()
    except ValueError:
        return answer.status_code, "" if answer.status_code >= 400 else answer.text, answer.text
    if not isinstance(content, dict) or answer.status_code == 415:
        return answer.status_code, "" if answer.status_code >= 400 else content, ""
    if "error_code" not in content and "detail" in content:
        return answer.status_code, content["detail"], ""
    return answer.status_code, {name: content[name] for name in SAME if name in content}, content.get("message", "")


@pytest.fixture(scope="module")
def mlflow_address(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of MLflow's server for the same model."""
    with serve_model(str(folder), f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}") as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_answers_as_mlflow_does_except_where_listed(mlflow_address: str, address: str, name: str) -> None:
    case = CASES[name]
    theirs, ours = ask(mlflow_address, case), ask(address, case)

    if case.differs:
        assert ours[0] == case.status
        assert ours[:2] != theirs[:2], "they are equal: remove the difference from the list"
    else:
        assert ours[:2] == theirs[:2]
        assert theirs[0] < 500
    assert "Traceback" not in ours[2]


def test_returns_the_callers_request_id_or_a_new_one(address: str) -> None:
    assert predict(address, request_id="order-17").headers["x-request-id"] == "order-17"
    new = {predict(address, request_id=sent).headers["x-request-id"] for sent in ("", "a b", "x" * 65, 'a"b')}
    assert len(new) == 4 and all(len(request_id) == 16 for request_id in new)


def test_rejects_a_body_that_is_too_large_and_goes_on(strict_address: str) -> None:
    answer = predict(strict_address, b"[" * 3_000_000)

    assert answer.status_code == 413
    assert "3.0 MB. The server takes at most 0.5 MB" in answer.json()["message"]
    assert predict(strict_address).status_code == 200


def test_answers_a_large_batch(address: str, folder: Path) -> None:
    answer = predict(address, json.dumps(records(*[ROW] * 5000)).encode())

    (expected,) = json.loads(ServedModel(folder).answer(BODY, JSON)[0])["predictions"]
    assert answer.json()["predictions"] == [expected] * 5000


def test_logs_each_request_but_no_health_check_as_a_line_of_json(folder: Path) -> None:
    with start_server(folder) as (process, where):
        predict(where, request_id="logged")
        requests.get(f"{where}/ping", timeout=60)
        process.terminate()
        lines = [json.loads(line) for line in process.stdout or []]

    assert process.returncode == 0
    assert [line.get("request_id", line.get("message")) for line in lines] == ["logged", "stopped"]
    assert lines[0] | {"time": 0, "ms": 0} == {
        "time": 0, "level": "info", "request_id": "logged", "ms": 0, "rows": 1,
        "method": "POST", "path": "/invocations", "status": 200,
    }  # fmt: skip
