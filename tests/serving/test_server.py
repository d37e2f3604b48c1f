"""The server as a process: what it says of itself, limits, slow clients, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from tests.serving.test_app import GOOD, JSON, records, serving
from tests.support.common import TIMEOUT_S
from tests.support.packages import Packaged

from boostlab.deployment.load_test import Load, press
from boostlab.serving.settings import ServerSettings, ServingError, read_settings, tabulate_settings

BODY = json.dumps(records()).encode()
LEAN = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pandas", "mlflow", "sklearn", "pyarrow", "pydantic", "yaml", "boostlab_predictor"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocker())
from pathlib import Path
from boostlab.serving import server
from boostlab.serving.model import ServedModel
ServedModel(Path(sys.argv[1])).warm_up()
print(*(name for name in sys.modules if name.startswith("boostlab.") and not name.startswith("boostlab.serving")))
"""


@pytest.fixture(scope="module")
def folder(package: Callable[[str], Packaged]) -> Path:
    return package("own_classes")[0]


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(folder, max_body_mb=0.5, header_timeout_s=0.5, body_timeout_s=0.5) as where:
        yield where


def connect(address: str) -> socket.socket:
    where = urlsplit(address)
    return socket.create_connection((where.hostname, where.port), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the server hangs up."""
    chunks = b""
    while chunk := connection.recv(65536):
        chunks += chunk
    return chunks


def predict(address: str, body: bytes = BODY, request_id: str = "") -> requests.Response:
    headers = {"Content-Type": JSON} | ({"X-Request-ID": request_id} if request_id else {})
    return requests.post(f"{address}/invocations", data=body, headers=headers, timeout=60)


def test_needs_neither_pandas_nor_mlflow_and_little_of_boostlab(folder: Path) -> None:
    command = [sys.executable, "-c", LEAN, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    allowed = {f"boostlab.{name}" for name in ("errors", "models", "models.predictor", "models.contract")}
    assert {"boostlab.errors", "boostlab.models.predictor"} <= set(done.stdout.split()) <= allowed, done.stderr


def test_the_example_of_its_description_works_as_it_stands(address: str) -> None:
    description = requests.get(f"{address}/openapi.json", timeout=60).json()
    content = description["paths"]["/invocations"]["post"]["requestBody"]["content"]

    assert description["openapi"] == "3.1.0"
    for kind, said in content.items():
        body = said["example"] if isinstance(said["example"], str) else json.dumps(said["example"])
        answer = requests.post(f"{address}/invocations", data=body.encode(), headers={"Content-Type": kind}, timeout=60)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["predictions"]) == 5


def test_its_page_fetches_nothing_from_elsewhere(address: str) -> None:
    page = requests.get(f"{address}/docs", timeout=60).text

    assert "//" not in page.replace("http://localhost:8080/invocations", "")
    assert all(name in page for name in GOOD)


def test_counts_for_all_workers_together(folder: Path) -> None:
    with serving(folder, workers=3) as where:
        for _ in range(20):
            predict(where)
        predict(where, b"{}")
        last = requests.get(f"{where}/metrics", timeout=60).text

    assert 'boostlab_requests_total{path="/invocations",status="200"} 20' in last
    assert 'boostlab_requests_total{path="/invocations",status="400"} 1' in last
    assert "boostlab_rows_total 20" in last and "boostlab_request_seconds_count 21" in last


def test_returns_the_request_id_that_it_was_given_or_makes_one(address: str) -> None:
    assert predict(address, request_id="order-17").headers["x-request-id"] == "order-17"
    made = {predict(address, request_id=given).headers["x-request-id"] for given in ("", "a b", "x" * 65, 'a"b')}
    assert len(made) == 4 and all(len(one) == 16 for one in made)


def test_logs_each_request_as_a_line_of_json(folder: Path) -> None:
    command = [sys.executable, "-m", "boostlab.serving", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = json.loads(process.stdout.readline())["port"]
    predict(f"http://127.0.0.1:{port}", request_id="seen")
    requests.get(f"http://127.0.0.1:{port}/ping", timeout=60)
    process.terminate()
    lines = [json.loads(line) for line in process.communicate(timeout=TIMEOUT_S)[0].splitlines()]

    assert process.returncode == 0
    assert [line.get("request_id", line.get("message")) for line in lines] == ["seen", "stopped"]
    assert lines[0] | {"time": 0, "ms": 0} == {
        "time": 0, "level": "info", "request_id": "seen", "ms": 0, "rows": 1,
        "method": "POST", "path": "/invocations", "status": 200,
    }  # fmt: skip


def test_refuses_a_body_that_is_too_large_and_goes_on(address: str) -> None:
    answer = predict(address, b"[" * 3_000_000)

    assert answer.status_code == 413
    assert "3.0 MB. The server takes at most 0.5 MB" in answer.json()["message"]
    assert predict(address).status_code == 200


def test_answers_a_large_batch_beside_others(folder: Path) -> None:
    with serving(folder) as where:
        answer = predict(where, json.dumps(records(*[GOOD] * 5000)).encode())

    assert answer.json()["predictions"] == [predict_one(folder)] * 5000


def predict_one(folder: Path) -> Any:
    from boostlab.serving.model import ServedModel

    return json.loads(ServedModel(folder).answer(BODY, JSON)[0])["predictions"][0]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b"408"),
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\nX-A: ", b"408"),
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{", b"408"),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 8_250, b"431"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    ],
    ids=["silence", "half a head", "half a body", "a huge head", "no HTTP", "a negative length", "a path of other bytes"],
)
def test_hangs_up_on_who_does_not_come_to_the_point(address: str, sent: bytes, status: bytes) -> None:
    with connect(address) as connection:
        connection.sendall(sent)
        answer = read_all(connection)

    assert answer.split()[1] == status
    assert predict(address).status_code == 200


def test_takes_a_request_that_trickles_in_within_the_time(folder: Path) -> None:
    with serving(folder) as where, connect(where) as connection:
        head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nConnection: close\r\n"
        for byte in head.encode() + f"Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY:
            connection.sendall(bytes([byte]))
        assert read_all(connection).startswith(b"HTTP/1.1 200")


def test_answers_chunks_and_pipelined_requests(address: str) -> None:
    chunked = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n"
    last = b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connect(address) as connection:
        connection.sendall(chunked.encode() + b"\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY) + last)
        answers = read_all(connection)

    assert answers.count(b"HTTP/1.1 200") == 2


def test_sends_an_answer_whole(address: str) -> None:
    head = f"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: {JSON}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    with connect(address) as connection:
        for _ in range(20):
            connection.sendall(head + BODY)
            assert connection.recv(65536).endswith(b"]}")


def test_says_that_it_is_busy_when_there_are_too_many_connections(folder: Path) -> None:
    with serving(folder, workers=1, connections=2) as where, connect(where), connect(where):
        assert predict(where).status_code == 503


def test_replaces_a_worker_that_dies(folder: Path) -> None:
    with serving(folder, workers=2) as where:
        parent = max(psutil.Process().children(), key=psutil.Process.create_time)
        time.sleep(5.2)  # what dies earlier is not replaced
        first = {child.pid for child in parent.children()}
        os.kill(min(first), signal.SIGKILL)
        deadline = time.monotonic() + TIMEOUT_S
        while len({child.pid for child in parent.children()} - {min(first)}) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert all(predict(where).status_code == 200 for _ in range(10))
        assert len(parent.children()) == 2


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["/nowhere"], {}, "/nowhere does not hold a model made by boostlab"),
        ([], {"BOOSTLAB_WORKERS": "many"}, "BOOSTLAB_WORKERS='many' is not a whole number"),
        ([], {"BOOSTLAB_MAX_BODY_MB": "0"}, "BOOSTLAB_MAX_BODY_MB=0 is out of range"),
        (["--host", "192.0.2.1"], {}, "Cannot listen on 192.0.2.1"),
    ],
)
def test_says_in_one_line_why_it_does_not_start(
    folder: Path, arguments: list[str], environment: dict[str, str], words: str
) -> None:
    given = arguments if arguments and arguments[0].startswith("/") else [str(folder), *arguments]
    command = [sys.executable, "-m", "boostlab.serving", *given]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("ServingError: ") and words in done.stderr and done.stderr.count("\n") == 1


def test_says_that_a_port_is_taken(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "-m", "boostlab.serving", str(folder), "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    assert "Address already in use. Choose another port" in done.stderr


def test_every_setting_has_a_variable_and_a_meaning() -> None:
    assert len(tabulate_settings()) == len(ServerSettings.__dataclass_fields__)
    assert read_settings({}) == ServerSettings()
    with pytest.raises(ServingError, match="from 0 to 65535"):
        read_settings({"BOOSTLAB_PORT": "70000"})


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2, pytest.param(60, id="a minute")])
def test_loses_no_request_that_it_accepted_when_it_is_stopped_under_load(folder: Path, seconds: float) -> None:
    command = [sys.executable, "-m", "boostlab.serving", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = json.loads(process.stdout.readline())["port"]
    loads: list[Load] = []
    log: list[str] = []
    reader = threading.Thread(target=lambda: log.extend(process.stdout or []))
    clients = threading.Thread(
        target=lambda: loads.append(press(f"http://127.0.0.1:{port}/invocations", BODY, clients=32, seconds=seconds + 30))
    )
    reader.start()
    clients.start()
    time.sleep(seconds)
    process.terminate()
    clients.join()
    reader.join()
    process.stdout.close()

    (load,) = loads
    assert process.wait(TIMEOUT_S) == 0
    assert load.lost == 0
    assert set(load.statuses) == {200}
    assert load.statuses[200] == sum('"status":200' in line for line in log)
