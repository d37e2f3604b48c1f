"""Real clients get the right answer: those of other languages, of Python, of MLflow and of KServe."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests
from tests.support.serving import BODY, CSV, JSON, ROW
from tests.support.waiting import TIMEOUT_S

CLIENTS = Path(__file__).with_name("clients")
KSERVE = Path(__file__).parents[2] / "build/kserve/bin/python"  # .ci/run makes this environment


@pytest.fixture(scope="module")
def expected(address: str) -> str:
    """Return the answer to BODY, from the simplest of all clients."""
    answer = requests.post(f"{address}/invocations", data=BODY, headers={"Content-Type": JSON}, timeout=60)
    assert answer.status_code == 200
    return answer.text


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    found = os.environ | (env or {})
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S, env=found).stdout


def find(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed.")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("language", ["java", "go", "node"])
def test_a_client_of_another_language_gets_the_answer(address: str, expected: str, tmp_path: Path, language: str) -> None:
    body = tmp_path / "body.json"
    body.write_bytes(BODY)
    program = find(language)
    commands: dict[str, list[str | Path]] = {
        "java": [program, CLIENTS / "Client.java"],
        "go": [program, "run", CLIENTS / "client.go"],
        "node": [program, CLIENTS / "client.mjs"],
    }
    env = {"GOCACHE": str(tmp_path / "cache"), "GOPATH": str(tmp_path / "go"), "GOFLAGS": "-mod=mod"}

    assert run(*commands[language], f"{address}/invocations", body, env=env).splitlines() == [f"200 {expected}"] * 2


@pytest.mark.parametrize("option", ["--http1.0", "--http1.1", "--http2", "--compressed", "-HExpect: 100-continue"])
def test_curl_gets_the_answer(address: str, expected: str, option: str) -> None:
    command = [find("curl"), "--silent", "--fail", option, "--data-binary", BODY.decode(), "--header", f"Content-Type: {JSON}"]

    assert run(*command, f"{address}/invocations", f"{address}/invocations") == expected * 2


@pytest.mark.parametrize("body", [BODY, json.dumps({"dataframe_records": [ROW] * 500}).encode()], ids=["one row", "500 rows"])
def test_python_clients_get_the_answer(address: str, body: bytes) -> None:
    url, headers = f"{address}/invocations", {"Content-Type": JSON}

    async def post() -> str:
        async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
            return await answer.text()

    answers = {
        "requests": requests.post(url, data=body, headers=headers, timeout=60).text,
        "httpx": httpx.post(url, content=body, headers=headers, timeout=60).text,
        "aiohttp": asyncio.run(post()),
    }
    rows = len(json.loads(body)["dataframe_records"])
    assert len(set(answers.values())) == 1 and len(json.loads(answers["httpx"])["predictions"]) == rows


def test_mlflows_clients_get_the_answer(address: str, expected: str) -> None:
    from mlflow.deployments import PredictionsResponse
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    predictions = json.loads(expected)["predictions"]
    answer = ScoringServerClient("127.0.0.1", int(address.rpartition(":")[2])).invoke(json.dumps({"dataframe_records": [ROW]}))
    assert answer.get_predictions().to_numpy().ravel().tolist() == predictions
    assert PredictionsResponse.from_json(expected).get_predictions("ndarray").ravel().tolist() == predictions


def test_excels_web_query_gets_the_answer(address: str, expected: str) -> None:
    """Power Query sends this with Web.Contents(url, [Content = Json.FromValue(…), Headers = …])."""
    headers = {
        "Content-Type": "application/json; charset=UTF-8",
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
        "Cache-Control": "no-cache",
        "Connection": "Keep-Alive",
        "Expect": "100-continue",
        "User-Agent": "Microsoft.Data.Mashup (https://go.microsoft.com/fwlink/?LinkID=304225)",
    }

    assert requests.post(f"{address}/invocations", data=BODY, headers=headers, timeout=60).text == expected


@pytest.mark.parametrize(
    "content_type",
    [
        "APPLICATION/JSON",
        "application/json;",
        'application/json; charset="UTF-8"',
        "Application/Json;Charset=utf8",
        "application/json ; charset=utf-8;",
    ],
)
def test_reads_a_media_type_as_the_standard_writes_it(address: str, expected: str, content_type: str) -> None:
    assert requests.post(f"{address}/invocations", data=BODY, headers={"Content-Type": content_type}, timeout=60).text == expected


@pytest.mark.parametrize(("content_type", "status"), [(f"{CSV}; header=present", 200), (f"{CSV}; header=absent", 415)])
def test_reads_the_parameter_of_csv(address: str, content_type: str, status: int) -> None:
    csv = "size,rooms,new,city,sold\n0.5,30,True,Faro,2020-04-23T06:30:15.25\n"

    assert (
        requests.post(f"{address}/invocations", data=csv, headers={"Content-Type": content_type}, timeout=60).status_code
        == status
    )


@pytest.mark.slow
@pytest.mark.skipif(not KSERVE.exists(), reason="build/kserve is missing, an environment with KServe's client: .ci/run makes it.")
def test_kserves_client_gets_the_answer(address: str, expected: str, as_tensors: Callable[[], list[dict[str, object]]]) -> None:
    printed = run(KSERVE, CLIENTS / "kserve_client.py", address, json.dumps(as_tensors()))

    found = json.loads(printed.splitlines()[-1])
    assert found["health"] == [True, True, True]
    assert found["outputs"] == [["predictions", json.loads(expected)["predictions"]]]
