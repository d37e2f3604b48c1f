"""What a hostile body costs a real server: a short answer, and memory in proportion to the body."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import requests
from tests.support.serving import CSV, JSON, ROW, predict, start_server

from boostlab.serving.model import ServedModel

MOST_MB = 100  # for a body of 1.1 MB; reading all of its cells takes 48 GB
NAMES = [f"u{number}" for number in range(20_000)]
WIDE = ",".join(NAMES)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Return the process and the address of a server that has answered a request."""
    with start_server(folder, log_requests=0, workers=1) as (process, address):
        assert predict(address).status_code == 200
        yield psutil.Process(process.pid), address


def peak_mb(process: psutil.Process) -> float:
    """Return the largest memory that the server's processes have had resident."""
    texts = [Path(f"/proc/{each.pid}/status").read_text() for each in (process, *process.children(recursive=True))]
    return max(int(text.partition("VmHWM:")[2].split()[0]) for text in texts) / 1000


HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "a wide header and empty rows": (f"{WIDE}\n" + '""\n' * 300_000, CSV),
    "a wide header and rows": (f"{WIDE}\n" + "," * 19_999 * 50, CSV),
    "wide columns and empty rows": (json.dumps({"dataframe_split": {"columns": NAMES, "data": [[]] * 300_000}}), JSON),
    "a wide row and empty rows": (json.dumps({"dataframe_split": {"columns": NAMES, "data": [NAMES, *[[]] * 300_000]}}), JSON),
    "a wide record and empty ones": (json.dumps({"dataframe_records": [dict.fromkeys(NAMES, 1), *[{}] * 300_000]}), JSON),
    "wide rows": (json.dumps({"instances": [ROW | dict.fromkeys(NAMES, 1)] * 5}), JSON),
    "empty objects": ('{"inputs": [' + "{}," * 400_000 + "{}]}", JSON),
    "depth": ('{"inputs": ' + "[" * 1_100_000, JSON),
    "bytes that are no text": (b"\xff" * 1_100_000, JSON),
    "numbers of 100,000 digits": ('{"inputs": [' + ("1" * 100_000 + ",") * 10 + "1]}", JSON),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_takes_little_memory_and_gets_a_short_answer(server: tuple[psutil.Process, str], name: str) -> None:
    process, address = server
    body, media_type = HOSTILE[name]
    before = peak_mb(process)
    data = body if isinstance(body, bytes) else body.encode()
    answer = requests.post(f"{address}/invocations", data=data, headers={"Content-Type": media_type}, timeout=60)

    assert answer.status_code in (200, 400, 413) and (answer.ok or len(answer.content) <= 2000)
    assert peak_mb(process) - before < MOST_MB
    assert predict(address).status_code == 200


@pytest.mark.slow
def test_bad_bytes_take_at_most_a_few_times_their_size(server: tuple[psutil.Process, str]) -> None:
    process, address = server
    before = peak_mb(process)
    for start in (b"\xff", b"\0", b'{"NaN\xff', "🏠".encode(), b"["):
        answer = predict(address, start * (10_000_000 // len(start)))
        assert answer.status_code in (400, 413) and len(answer.content) <= 2000
        assert answer.headers["content-type"] == "application/json"

    assert peak_mb(process) - before < 60


def test_an_error_names_the_request_the_row_and_the_column(server: tuple[psutil.Process, str]) -> None:
    body = json.dumps({"dataframe_records": [ROW, ROW | {"size": "big"}]}).encode()
    answer = predict(server[1], body, request_id="order-17")

    assert answer.status_code == 400
    found = answer.json()
    assert found | {"message": "", "detail": ""} == {
        "error_code": "BAD_REQUEST", "sqlstate": "KAM00", "error_class": "INVALID_PARAMETER_VALUE", "message": "",
        "type": "about:blank", "title": "Bad Request", "status": 400, "detail": "", "instance": "order-17",
        "row": 2, "column": "size",
    }  # fmt: skip
    assert found["message"] == found["detail"] == "Column 'size' takes numbers, not 'big' (row 2)."


def test_limits_cells_by_its_setting(folder: Path) -> None:
    with start_server(folder, max_cells=30, workers=1, log_requests=0) as (_, address):
        statuses = [predict(address, json.dumps({"inputs": [ROW] * rows}).encode()).status_code for rows in (3, 4)]

    assert statuses == [200, 413]


def test_mlflows_client_shows_the_error(server: tuple[psutil.Process, str]) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    host, port = server[1].removeprefix("http://").split(":")
    client = ScoringServerClient(host=host, port=int(port))
    with pytest.raises(Exception, match=r"error code 400.*takes numbers, not 'big' \(row 1"):  # MLflow raises no other type
        client.invoke(pd.DataFrame([ROW | {"size": "big"}]))


def test_brackets_inside_texts_are_no_rows(folder: Path) -> None:
    row = {name: value for name, value in ROW.items() if not name.endswith("_gap")} | {"city": "[{[{" * 50 + '\\"['}
    body = json.dumps({"dataframe_records": [row] * 20}).encode()

    assert len(json.loads(ServedModel(folder, max_cells=200).answer(body, JSON)[0])["predictions"]) == 20
