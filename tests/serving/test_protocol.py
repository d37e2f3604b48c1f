"""Connections: slow, oversized and malformed requests are rejected; unusual valid ones are answered."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tests.support.serving import BODY, JSON, ROW, predict, start_server

HEAD = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\n".encode()
WHOLE_HEAD = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY)
LAST = b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def connect(address: str) -> socket.socket:
    where = urlsplit(address)
    return socket.create_connection((where.hostname, where.port), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes the connection."""
    chunks = b""
    while chunk := connection.recv(65536):
        chunks += chunk
    return chunks


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b"408"),
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\nX-A: ", b"408"),
        (HEAD + b"Content-Length: 99\r\n\r\n{", b"408"),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 8_250, b"431"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    ],
    ids=["silence", "half a head", "half a body", "a huge head", "not HTTP", "a negative length", "a path outside ASCII"],
)
def test_rejects_slow_and_malformed_requests(strict_address: str, sent: bytes, status: bytes) -> None:
    with connect(strict_address) as connection:
        connection.sendall(sent)
        answer = read_all(connection)

    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)
    assert head.split()[1] == status == str(error["status"]).encode() and b"content-type: application/json" in head
    assert (
        error["error_code"]
        and error["message"] == error["detail"]
        and len(body) == int(head.partition(b"length: ")[2].split()[0])
    )
    assert predict(strict_address).status_code == 200


def test_answers_a_request_that_arrives_byte_by_byte(address: str) -> None:
    with connect(address) as connection:
        for byte in WHOLE_HEAD + BODY + LAST:
            connection.sendall(bytes([byte]))
        assert read_all(connection).count(b"HTTP/1.1 200") == 2


def test_answers_chunked_and_pipelined_requests(address: str) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    with connect(address) as connection:
        connection.sendall(chunked + LAST)
        answers = read_all(connection)

    assert answers.count(b"HTTP/1.1 200") == 2


def test_sends_head_and_body_of_an_answer_together(address: str) -> None:
    with connect(address) as connection:
        for _ in range(20):
            connection.sendall(WHOLE_HEAD + BODY)
            assert connection.recv(65536).endswith(b"]}")


MANY = json.dumps({"dataframe_records": [ROW] * 100}).encode()
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
REQUESTS = {  # and the statuses of their answers
    "small": (WHOLE_HEAD + BODY, 200),
    "small and wrong": (HEAD + b"Content-Length: 2\r\n\r\n{}", 400),
    "large": (HEAD + b"Content-Length: %d\r\n\r\n" % len(MANY) + MANY, 200),
    "chunked": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), 200),
    "probe": (b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "unknown": (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "upgrade": (HEAD + UPGRADE + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY, 200),
}


SINGLE = [[name] for name in sorted(REQUESTS)]
BROKEN_CHUNK = HEAD + b"Transfer-Encoding: chunked\r\n\r\nno size\r\n"


def find_statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"(?:^|[}\n])HTTP/1\.1 (\d+)", answers)]


@pytest.mark.parametrize("names", [*SINGLE, ["small", "large"], ["probe", "small", "chunked"]], ids=str)
def test_answers_a_client_that_has_shut_its_writing_side(address: str, names: list[str]) -> None:
    with connect(address) as connection:
        connection.sendall(b"".join(REQUESTS[name][0] for name in names))
        connection.shutdown(socket.SHUT_WR)
        assert find_statuses(read_all(connection)) == [REQUESTS[name][1] for name in names]


def test_leaves_a_client_that_shuts_its_writing_side_within_a_request(address: str) -> None:
    for sent in (b"GET /pi", WHOLE_HEAD + BODY[:9], BROKEN_CHUNK.replace(b"no size", b"3")):
        with connect(address) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection) == b""


@pytest.mark.parametrize("garbage", [b"\0\1\2\r\n\r\n", b"no HTTP\r\n\r\n", BROKEN_CHUNK], ids=["bytes", "text", "a chunk"])
@pytest.mark.parametrize("names", [*SINGLE, ["large", "small"], ["chunked", "probe"]], ids=str)
def test_what_follows_a_request_does_not_take_its_answer(address: str, names: list[str], garbage: bytes) -> None:
    with connect(address) as connection:
        connection.sendall(b"".join(REQUESTS[name][0] for name in names) + garbage + REQUESTS["probe"][0])
        assert find_statuses(read_all(connection)) == [*(REQUESTS[name][1] for name in names), 400]


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(sorted(set(REQUESTS) - {"upgrade"})), max_size=6),
    st.booleans(),
    st.lists(st.integers(1, 20_000), max_size=5),
)
def test_answers_a_connections_requests_in_their_order(address: str, names: list[str], upgrade: bool, cuts: list[int]) -> None:
    chosen = [REQUESTS[name] for name in names]
    sent = b"".join(content for content, _ in chosen) + LAST
    places = [0, *sorted(cut % len(sent) for cut in cuts), len(sent)]
    with connect(address) as connection:
        if upgrade:  # a client waits for the answer to its offer
            connection.sendall(REQUESTS["upgrade"][0])
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        for start, end in pairwise(places):
            connection.sendall(sent[start:end])
            time.sleep(0.002)
        answers = read_all(connection)

    assert find_statuses(answers) == [*(status for _, status in chosen), 200]


def test_ignores_the_offer_of_an_upgrade_however_it_arrives(address: str) -> None:
    content, _ = REQUESTS["upgrade"]
    for cut in range(1, len(content) - len(BODY) + 1, 7):
        with connect(address) as connection:
            connection.sendall(content[:cut])
            time.sleep(0.002)
            connection.sendall(content[cut:])
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_small_request_whose_body_arrives_during_the_stop_is_answered(folder: Path) -> None:
    with start_server(folder, workers=1, drain_s=0.2) as (process, address), connect(address) as connection:
        connection.sendall(WHOLE_HEAD + BODY[:10])
        time.sleep(0.3)
        process.terminate()
        threading.Timer(1, connection.sendall, [BODY[10:]]).start()
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 200") and process.wait(60) == 0
