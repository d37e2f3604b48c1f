"""A load test: clients with persistent connections, so light that they do not limit the measured rate.

The standard HTTP clients in Python take longer per request than the server under test.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import cast
from urllib.parse import urlsplit

import uvloop


@dataclass
class LoadResult:
    """What the clients of a load test saw.

    `statuses` and `bodies` count the answers by their status and by their body. `lost` counts the requests without an answer on
    connections that had answered before, `refused` the connections that gave no answer at all. `seconds` is the duration of
    the test.
    """

    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    bodies: Counter[bytes] = field(default_factory=Counter)
    lost: int = 0
    refused: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, share: float) -> float:
        """Return the latency in ms that this share (0 to 1) of the requests did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


def run_load_test(url: str, body: bytes, *, clients: int, seconds: float) -> LoadResult:
    """Post one JSON body repeatedly from a number of clients.

    A client reconnects when the server closes its connection after an answer. It stops when the server refuses connections.
    """
    parts = urlsplit(url)
    host, port = str(parts.hostname), int(parts.port or 80)
    headers = f"Host: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    request = f"POST {parts.path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + body
    result = LoadResult()

    async def run_client() -> None:
        loop, finished = asyncio.get_running_loop(), False
        while not finished:
            closed: asyncio.Future[bool] = loop.create_future()
            try:
                await loop.create_connection(partial(_Client, request, result, deadline, closed), host, port)
            except OSError:
                result.refused += 1
                return
            finished = await closed

    async def run_clients() -> None:
        await asyncio.gather(*(run_client() for _ in range(clients)))

    started = time.perf_counter()
    deadline = started + seconds
    with ThreadPoolExecutor(1) as executor:  # the thread of a notebook's kernel already runs an event loop
        executor.submit(lambda: uvloop.run(run_clients())).result()
    result.seconds = time.perf_counter() - started
    return result


class _Client(asyncio.Protocol):
    """One connection: it sends the next request as soon as the last one is answered."""

    def __init__(self, request: bytes, result: LoadResult, deadline: float, closed: asyncio.Future[bool]) -> None:
        self._request, self._result, self._deadline, self._closed = request, result, deadline, closed
        self._received = b""
        self._answered, self._waiting = 0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, complete, body = self._received.partition(b"\r\n\r\n")
        if not complete:
            return
        headers = head.lower()
        length = int(headers.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._received, self._waiting = b"", False
        self._answered += 1
        self._result.statuses[int(head[9:12])] += 1
        self._result.bodies[body] += 1
        self._result.latencies_s.append(time.perf_counter() - self._sent)
        if b"connection: close" in headers:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        refused = self._answered == 0
        self._result.lost += self._waiting and not refused
        self._result.refused += self._waiting and refused
        self._closed.set_result(refused or time.perf_counter() >= self._deadline)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        if self._sent >= self._deadline:
            self._transport.close()
            return
        self._waiting = True
        self._transport.write(self._request)
