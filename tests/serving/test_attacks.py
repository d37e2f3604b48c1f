"""One client cannot stop the others: each case froze or filled a worker, or passed a check that it should not."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests
from tests.support.serving import BODY, JSON, ROW, make_certificate, predict, run_server, serve, start_server
from tests.support.waiting import TIMEOUT_S, wait_until

from boostlab.serving.settings import ServerSettings, ServingError, read_keys

HEAD = f"Host: a\r\nContent-Type: {JSON}\r\n".encode()


def connect(address: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))
    connection.settimeout(TIMEOUT_S)
    return connection


def post(body: bytes, path: bytes = b"/invocations") -> bytes:
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (path, HEAD, len(body), body)


@pytest.mark.parametrize(
    "tensor",
    [
        {"name": "size", "datatype": "FP64", "shape": [2**60] * 50_000, "data": [1.0]},
        {"name": "size", "datatype": "FP64", "shape": [2**63, 2**63], "data": [1.0]},
        {"name": "size", "datatype": [], "shape": [1], "data": [1.0]},
        {"name": [[]], "datatype": "FP64", "shape": [1], "data": [1.0]},
        {"name": "size", "datatype": "FP64", "shape": [1], "data": [{"a": 1}]},
    ],
    ids=["a shape of many axes", "a huge shape", "a datatype that is a list", "a name that is a list", "an object as a value"],
)
def test_a_tensor_of_any_form_is_refused_soon(address: str, tensor: object) -> None:
    answer = requests.post(f"{address}/v2/models/model/infer", json={"inputs": [tensor]}, timeout=60)

    assert answer.status_code == 400 and len(answer.content) <= 2_000


def test_a_client_that_pipelines_does_not_fill_the_server(folder: Path) -> None:
    body = json.dumps({"inputs": ROW | {"size": [1] * 5000, "size_gap": 1.5, "city_gap": "Faro"}}).encode()
    with start_server(folder, workers=1, log_requests=0) as (process, address), connect(address) as connection:
        predict(address)  # the worker is there
        (worker,) = psutil.Process(process.pid).children()
        before = worker.memory_info().rss
        connection.settimeout(1)
        with pytest.raises(TimeoutError):  # the server stops to read, because nobody reads its answers
            connection.sendall(post(body) * 4_000)
        assert requests.get(f"{address}/livez", timeout=60).status_code == 200
        assert worker.memory_info().rss - before < 60e6


@pytest.mark.parametrize("key", ["", "wrong"])
def test_a_request_without_a_key_is_refused_before_any_work(folder: Path, tmp_path: Path, key: str) -> None:
    (tmp_path / "keys").write_text("right\n")
    with serve(folder, workers=1, api_key_file=tmp_path / "keys", log_requests=0) as address:
        answer = requests.post(f"{address}/invocations", data=b"{", headers={"X-API-Key": key, "Content-Type": JSON}, timeout=60)
    assert answer.status_code == 401  # not 400: the body was not read as JSON


@pytest.mark.parametrize(
    "first",
    [
        b"\r\n",
        b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
        b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx",
        b"POST /nothing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx",
    ],
    ids=["an empty line", "an empty line after a request", "a body after its answer", "a chunk after its answer"],
)
def test_a_silent_connection_ends(folder: Path, first: bytes) -> None:
    with (
        serve(folder, workers=1, keep_alive_s=1, header_timeout_s=1, body_timeout_s=1) as address,
        connect(address) as connection,
    ):
        connection.sendall(first)
        while connection.recv(65_536):
            pass


def test_a_client_that_does_not_agree_on_tls_is_left(folder: Path, tmp_path: Path) -> None:
    with serve(folder, workers=1, header_timeout_s=0.5, **make_certificate(tmp_path)) as address, connect(address) as connection:
        connection.settimeout(20)  # asyncio's own limit is 60 s
        connection.sendall(b"\x16\x03\x01")  # a part of the first message
        assert not connection.recv(1)


def test_trailers_take_no_memory(folder: Path) -> None:
    with start_server(folder, workers=1) as (process, address), connect(address) as connection:
        predict(address)  # the worker is there
        (worker,) = psutil.Process(process.pid).children()
        before = worker.memory_info().rss
        chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
        connection.sendall(b"POST /invocations HTTP/1.1\r\n" + HEAD + chunked)
        for _ in range(2_000):
            connection.sendall(b"X-Request-ID: " + b"1" * 65_000 + b"\r\n")
        assert worker.memory_info().rss - before < 30e6
        connection.sendall(b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_body_is_never_read_as_a_request(address: str) -> None:
    inner = b"GET /version HTTP/1.1\r\nHost: a\r\nX-Request-Id: smuggled\r\n\r\n"
    offer = b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(inner)
    for before in (b"\r\n\r\n", post(BODY)):
        with connect(address) as connection:
            connection.sendall(before + b"POST /invocations HTTP/1.1\r\n" + HEAD + offer)
            time.sleep(0.1)
            answers = b""
            try:
                connection.sendall(inner + b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                while chunk := connection.recv(65_536):
                    answers += chunk
            except ConnectionError:
                pass
        assert b"smuggled" not in answers


def test_a_body_is_unpacked_twice_at_most(address: str) -> None:
    packed = gzip.compress(gzip.compress(gzip.compress(BODY)))
    headers = {"Content-Type": JSON, "Content-Encoding": "gzip, gzip, gzip"}

    answer = requests.post(f"{address}/invocations", data=packed, headers=headers, timeout=60)
    assert answer.status_code == 415 and "unpacks at most 2 times" in answer.text


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"# of alice\nabc \r\n\n  def\n", [b"abc", b"def"]),
        ("\ufeffabc\n".encode(), [b"abc"]),
        ("abc\n".encode("utf-16"), "is not UTF-8 text"),
        (b"two words\n", "a key with a blank"),
        (b"# nothing\n", "has no key"),
    ],
)
def test_a_line_is_a_key(tmp_path: Path, content: bytes, found: object) -> None:
    (tmp_path / "keys").write_bytes(content)
    settings = ServerSettings(api_key_file=str(tmp_path / "keys"))

    if isinstance(found, str):
        with pytest.raises(ServingError, match=found):
            read_keys(settings)
    else:
        assert read_keys(settings) == found


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("API_KEYS_FILE", "/etc/keys", "Did you mean BOOSTLAB_API_KEY_FILE?"),
        ("DRAIN_S", "inf", "out of range"),
        ("MAX_BODY_MB", "inf", "out of range"),
        ("STOP_TIMEOUT_S", "100000000000000000000", "out of range"),
        ("MODEL_NAME", "a/b", "BOOSTLAB_MODEL_NAME='a/b' has a slash"),
        ("MODEL_VERSION", "1/2", "has a slash"),
        ("PREDICT_ROUTE", "/ping", "BOOSTLAB_PREDICT_ROUTE='/ping' is a path of the server for something else"),
        ("PREDICT_ROUTE", "/v2/models/model", "for something else"),
        ("HEALTH_ROUTE", "/invocations", "for something else. Choose another one, such as /healthy"),
        ("PATH_PREFIX", "/v2", "for something else"),
        ("PATH_PREFIX", "/metrics/a", "for something else"),
    ],
)
def test_a_setting_without_effect_or_sense_is_refused(folder: Path, name: str, value: str, message: str) -> None:
    done = run_server(str(folder), **{f"BOOSTLAB_{name}": value})

    assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1


def test_a_key_with_a_passphrase_is_refused_without_a_question(folder: Path, tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    key, locked = files["tls_key_file"], tmp_path / "locked.pem"
    subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked], check=True)
    settings = {"BOOSTLAB_TLS_CERTIFICATE_FILE": str(files["tls_certificate_file"]), "BOOSTLAB_TLS_KEY_FILE": str(locked)}
    done = run_server(str(folder), **settings)

    assert done.returncode == 1 and f"{locked} needs a passphrase" in done.stderr and done.stderr.count("\n") == 1


def test_a_log_that_nobody_reads_does_not_stop_the_server(folder: Path) -> None:
    command = [sys.executable, "-m", "boostlab.serving", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        for _ in range(1_200):  # lines of 150 bytes: a pipe holds 64 kB
            assert predict(address).status_code == 200
        process.terminate()
        wait_until(lambda: process.poll() is not None)
        assert process.returncode == 0
