"""Connections: slow, oversized and malformed requests are rejected; unusual valid ones are answered."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
from tests.support.serving import BODY, JSON, predict

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

    assert answer.split()[1] == status
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
