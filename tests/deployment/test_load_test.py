"""The load test's clients, against a real HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.support.servers import free_port

from boostlab.deployment.load_test import LoadResult, run_load_test

BODY = b'{"rows": []}'


class Handler(BaseHTTPRequestHandler):
    """Answer each POST of BODY with 200, another one with 400; close the connection after `most` answers."""

    protocol_version = "HTTP/1.1"
    most = 0

    def setup(self) -> None:
        super().setup()
        self.answered = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answered += 1
        self.send_response(200 if body == BODY and self.headers["Content-Type"] == "application/json" else 400)
        self.send_header("Content-Length", "2")
        if self.answered == self.most:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Write no log."""


@contextmanager
def serve(most: int = 0) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Limited", (Handler,), {"most": most}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/invocations"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("most", [0, 3], ids=["persistent", "closed after three answers"])
def test_counts_each_answer_once_and_loses_none(most: int) -> None:
    with serve(most) as url:
        result = run_load_test(url, BODY, clients=2, seconds=0.3)

    assert result.statuses == {200: len(result.latencies_s)} and len(result.latencies_s) > 6
    assert result.bodies == {b"{}": len(result.latencies_s)}
    assert result.lost == result.refused == 0
    assert result.per_second == len(result.latencies_s) / result.seconds


def test_counts_answers_by_status() -> None:
    with serve() as url:
        assert run_load_test(url, b"x", clients=1, seconds=0.1).statuses.keys() == {400}


def test_ends_where_the_server_refuses_connections() -> None:
    result = run_load_test(f"http://127.0.0.1:{free_port()}/", BODY, clients=2, seconds=60)

    assert not result.latencies_s and result.seconds < 60
    assert (result.lost, result.refused) == (0, 2)


def test_returns_percentiles_in_milliseconds() -> None:
    result = LoadResult(latencies_s=[0.004, 0.001, 0.003, 0.002])

    assert [result.percentile_ms(share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 4.0, 4.0]
