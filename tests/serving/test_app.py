"""Both servers on loopback, the same requests to each: equal answers but for the differences that are listed here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.support.common import TIMEOUT_S
from tests.support.packages import Packaged
from tests.support.servers import serve_model

JSON, CSV = "application/json", "text/csv"
GOOD = {
    "size": 0.5, "rooms": 30, "new": True, "city": "Faro", "sold": "2020-04-23T06:30:15.250000",
    "size_gap": None, "rooms_gap": 20.0, "new_gap": "true", "city_gap": None, "sold_gap": "2021-04-23T06:30:15.250000",
}  # fmt: skip
NEEDED = {name: value for name, value in GOOD.items() if not name.endswith("gap")}


@dataclass(frozen=True)
class Case:
    """A request, and why the answers to it differ, if they do.

    Attributes
    ----------
    body : object
        JSON content; text or bytes are sent as they are.
    differs : str
        Why our answer is another one, and what it is.
    status : int
        Our status where it differs from MLflow's; 0: the same.
    """

    body: object = None
    kind: str | None = JSON
    method: str = "POST"
    path: str = "/invocations"
    differs: str = ""
    status: int = 0


def split(**changes: Any) -> dict[str, Any]:
    row = GOOD | changes
    return {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}


def records(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"dataframe_records": list(rows) or [GOOD | changes]}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


def columns(**changes: Any) -> dict[str, Any]:
    """Return rows by column, without gaps: numpy makes text of them."""
    fine = GOOD | {"size_gap": 1.5, "city_gap": "Faro"}
    return {name: [value, value] for name, value in fine.items()} | changes


HEADER = ",".join(NEEDED)
CASES = {
    "split": Case(split()),
    "split, several rows": Case({"dataframe_split": {"columns": list(GOOD), "data": [list(GOOD.values())] * 7}}),
    "split with an index": Case({"dataframe_split": {**split()["dataframe_split"], "index": [5]}}),
    "split, index too long": Case(
        {"dataframe_split": {**split()["dataframe_split"], "index": [5, 6]}},
        status=400,
        differs="pandas repeats a single row until the index is full; rows and index do not belong together then.",
    ),
    "split, columns in another order": Case({"dataframe_split": {"columns": [*GOOD][::-1], "data": [[*GOOD.values()][::-1]]}}),
    "split without columns": Case({"dataframe_split": {"data": [list(GOOD.values())]}}),
    "split without data": Case({"dataframe_split": {"columns": list(GOOD)}}),
    "split with an unknown key": Case({"dataframe_split": {**split()["dataframe_split"], "rows": 1}}),
    "split, a row too short": Case({"dataframe_split": {"columns": list(GOOD), "data": [list(GOOD.values())[:3]]}}),
    "split, rows of two lengths": Case({"dataframe_split": {"columns": list(GOOD), "data": [[*GOOD.values()], [1.0, 2, True]]}}),
    "split, no rows": Case({"dataframe_split": {"columns": list(GOOD), "data": []}}),
    "split is a list": Case({"dataframe_split": [1]}),
    "records": Case(records()),
    "records, several": Case(records(GOOD, GOOD | {"city": "Porto, PT"}, GOOD | {"size": -4.0})),
    "records without what may be left out": Case(records(NEEDED)),
    "records, left out in one of two": Case(records(GOOD, NEEDED)),
    "records, a needed column missing in one of two": Case(records(GOOD, without("city"))),
    "records, keys in another order": Case(records(dict(reversed(GOOD.items())))),
    "records is a dictionary": Case({"dataframe_records": GOOD}),
    "records, none": Case({"dataframe_records": []}),
    "records, an empty one": Case({"dataframe_records": [{}]}),
    "instances": Case({"instances": [GOOD | {"size_gap": 1.0, "city_gap": "Faro"}]}),
    "instances by column": Case({"instances": columns()}),
    "instances, columns of two lengths": Case({"instances": columns(size=[1.0])}),
    "instances, a matrix": Case({"instances": [[1, 2], [3, 4]]}),
    "inputs": Case({"inputs": columns()}),
    "inputs, one row of plain values": Case({"inputs": {name: values[0] for name, values in columns().items()}}),
    "inputs by row": Case({"inputs": [GOOD | {"size_gap": 1.0, "city_gap": "Faro"}]}),
    "inputs, columns of two lengths": Case({"inputs": columns(size=[1.0])}),
    "inputs is text": Case({"inputs": "abc"}),
    "probabilities": Case({**split(), "params": {"probabilities": True}}),
    "probabilities: false": Case({**records(), "params": {"probabilities": False}}),
    "probabilities: null": Case({**records(), "params": {"probabilities": None}}),
    "probabilities: text": Case({**records(), "params": {"probabilities": "yes"}}),
    "unknown parameter": Case({**records(), "params": {"temperature": 1}}),
    "parameters are a list": Case({**records(), "params": [1]}),
    "a category that training did not see": Case(records(city="Atlantis")),
    "a number for a category": Case(records(city=3)),
    "a gap in a needed number": Case(records(size=None)),
    "NaN": Case(json.dumps(split(size=float("nan")))),
    "Infinity": Case(json.dumps(split(size=float("inf")))),
    "a whole number for a fraction": Case(records(size=3)),
    "a fraction for a whole number": Case(records(rooms=3.5)),
    "text that reads as a number": Case(records(size="1.5")),
    "text for a number": Case(records(size="big")),
    "a list for a number": Case(records(size=[1])),
    "a dictionary for a number": Case(records(size={"a": 1})),
    "a gap in a needed whole number": Case(records(rooms=None)),
    "text for true": Case(records(new="no")),
    "a gap in a needed truth": Case(records(new=None)),
    "neither true nor false in text": Case(records(new_gap="perhaps")),
    "a number too large for XGBoost": Case(records(size=1e300)),
    "a date alone": Case(records(sold="2020-04-23", sold_gap="2021-04-23")),
    "no date": Case(records(sold="tomorrow")),
    "a date with a zone": Case(records(sold="2020-04-23T06:30:15Z")),
    "a column missing": Case(records(without("city"))),
    "a column missing and one too many": Case(records(without("city") | {"town": "Faro"})),
    "a column too many": Case(records(GOOD | {"town": "Faro"})),
    "a column named twice": Case({"dataframe_split": {"columns": [*GOOD, "size"], "data": [[*GOOD.values(), 1.0]]}}),
    "two formats": Case({**records(), **split()}),
    "no format": Case({"rows": [GOOD]}),
    "an old format": Case({"columns": ["a"], "data": [[1]]}),
    "a list": Case([GOOD]),
    "a number": Case("5"),
    "null": Case("null"),
    "nothing": Case(""),
    "broken JSON": Case('{"dataframe_records": [{"size": '),
    "JSON and more": Case(json.dumps(records()) + "}"),
    "no UTF-8": Case(b'{"dataframe_records": [{"city": "\xff"}]}'),
    "UTF-16": Case(json.dumps(records()).encode("utf-16")),
    "a lone surrogate": Case(
        json.dumps(records()).replace("Faro", "\\ud800"),
        status=200,
        differs="pandas cannot hold such text; for us it is one more category that training did not see.",
    ),
    "a key twice": Case('{"dataframe_records": [], ' + json.dumps(records())[1:]),
    "JSON with a character set": Case(records(), kind="application/json; charset=utf-8"),
    "another character set": Case(records(), kind="application/json; charset=latin-1"),
    "an unknown parameter of the type": Case(records(), kind="application/json; version=2"),
    "CSV without what may be left out, and with dates": Case(
        f"{HEADER}\n0.5,30,True,Faro,2020-04-23T06:30:15.25\n",
        kind=CSV,
        status=200,
        differs="MLflow reads no dates from CSV, for want of a pandas type; we do.",
    ),
    "CSV, empty": Case("", kind=CSV),
    "CSV, open quote": Case(f'{HEADER}\n0.5,30,True,"Faro,2020', kind=CSV),
    "CSV, no UTF-8": Case(b"a,b\n\xff,1\n", kind=CSV),
    "another type": Case("<rows/>", kind="application/xml"),
    "Parquet": Case(b"PAR1", kind="application/vnd.apache.parquet", status=415, differs="The image holds no reader of Parquet."),
    "no type": Case("{}", kind=None, status=415, differs="MLflow fails with 500: it splits None."),
    "deep": Case("[" * 100_000, status=400, differs="MLflow fails with 500: Python's recursion limit."),
    "a number of 5,000 digits": Case(
        '{"dataframe_records": [{"size": ' + "1" * 5000 + "}]}",
        status=400,
        differs="MLflow fails with 500: Python's limit on digits.",
    ),
    "a whole number beyond 64 bits": Case(
        records(rooms=2**63), status=400, differs="MLflow answers for -9223372036854775808, by wrapping around."
    ),
    "dates in two forms": Case(
        records(GOOD, GOOD | {"sold": "2020-04-23"}),
        status=200,
        differs="pandas takes the form of the first date for that of all; each is plain enough by itself.",
    ),
    "a date in American order": Case(
        records(sold="04/23/2020"), status=400, differs="pandas guesses the order of day and month; a server should not."
    ),
    "a language model's request": Case(
        {"input": "Hello"}, differs="MLflow hands it to the model as rows; either way it is refused with 400.", status=400
    ),
    "ping": Case(method="GET", path="/ping"),
    "health": Case(method="GET", path="/health"),
    "version": Case(method="GET", path="/version"),
    "another path": Case(method="GET", path="/predict"),
    "another method": Case(method="GET"),
    "posting to ping": Case({}, path="/ping"),
    "a slash at the end": Case(method="GET", path="/ping/", status=404, differs="FastAPI redirects."),
}  # fmt: skip
# Equal as far as a program can tell; MLflow repeats the rows that were sent, lists formats in the order of a set, or adds a
# traceback (`stack_trace`). The rows do not belong in logs, and the traceback is nobody's business.
SAME = ("error_code", "sqlstate", "error_class", "detail", "predictions")


@contextmanager
def serving(model: Path, **settings: object) -> Iterator[str]:
    """Serve a model by our server on a free port, and yield its address."""
    environment = {f"BOOSTLAB_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "boostlab.serving", str(model), "--port", "0"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()


def ask(address: str, case: Case) -> tuple[int, dict[str, Any] | str, str]:
    """Return status, content as far as it has to be equal, and the message."""
    body = case.body if isinstance(case.body, str | bytes) else json.dumps(case.body)
    data = body.encode() if isinstance(body, str) else body
    headers = {} if case.kind is None or case.method == "GET" else {"Content-Type": case.kind}
    answer = requests.request(
        case.method, address + case.path, data=None if case.method == "GET" else data, headers=headers, timeout=60
    )
    try:
        content = answer.json()
    except ValueError:
        return answer.status_code, "" if answer.status_code >= 400 else answer.text, answer.text
    if not isinstance(content, dict):
        return answer.status_code, content, ""
    return answer.status_code, {name: content[name] for name in SAME if name in content}, content.get("message", "")


@pytest.fixture(scope="module")
def both(package: Callable[[str], Packaged], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Return the addresses of MLflow's server and of ours, for the same model."""
    folder = package("own_classes")[0]
    store = f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"
    with serve_model(str(folder), store) as theirs, serving(folder) as ours:
        yield theirs, ours


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) >= 60


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_answers_as_mlflow_does_but_for_what_is_listed(both: tuple[str, str], name: str) -> None:
    case = CASES[name]
    theirs, ours = (ask(address, case) for address in both)

    if case.differs:
        assert ours[0] == case.status
        assert ours[:2] != theirs[:2], "they are equal: take it off the list"
    else:
        assert ours[:2] == theirs[:2]
        assert theirs[0] < 500
    assert "Traceback" not in ours[2]
