"""Clients that keep their connections and ask as fast as they are answered, lean enough not to be what is measured."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import cast
from urllib.parse import urlsplit

import uvloop


@dataclass
class Load:
    """What clients saw.

    Attributes
    ----------
    latencies_s : list of float
        Of each answered request.
    statuses : dict of int to int
        How often each status came.
    lost : int
        Requests that were sent on a connection that had answered before, and came to nothing.
    seconds : float
        How long it took.
    """

    latencies_s: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    lost: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Return answered requests per second."""
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, share: float) -> float:
        """Return the latency that this share of the requests stayed below, in ms."""
        ordered = sorted(self.latencies_s)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


def press(address: str, body: bytes, *, clients: int, seconds: float, content_type: str = "application/json") -> Load:
    """Send one request again and again from a number of clients and return what they saw.

    A client whose connection the server closes after an answer opens another; where nobody listens any more, it ends.
    """
    where = urlsplit(address)
    host, port = str(where.hostname), int(where.port or 80)
    about = f"Host: {where.netloc}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    request = f"POST {where.path} HTTP/1.1\r\n{about}\r\n\r\n".encode() + body
    load = Load()

    async def ask() -> None:
        loop, over = asyncio.get_running_loop(), False
        while not over:
            ended: asyncio.Future[bool] = loop.create_future()
            try:
                await loop.create_connection(partial(_Client, request, load, until, ended), host, port)
            except OSError:
                return
            over = await ended

    async def run() -> None:
        await asyncio.gather(*(ask() for _ in range(clients)))

    started = time.perf_counter()
    until = started + seconds
    with ThreadPoolExecutor(1) as beside:  # a notebook's thread has an event loop of its own
        beside.submit(lambda: uvloop.run(run())).result()
    load.seconds = time.perf_counter() - started
    return load


class _Client(asyncio.Protocol):
    """One connection: the next request goes out as soon as the last one is answered."""

    def __init__(self, request: bytes, load: Load, until: float, ended: asyncio.Future[bool]) -> None:
        self._request, self._load, self._until, self._ended = request, load, until, ended
        self._seen = b""
        self._answered, self._waiting = 0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, found, body = self._seen.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._seen, self._waiting = b"", False
        self._answered += 1
        status = int(head[9:12])
        self._load.statuses[status] = self._load.statuses.get(status, 0) + 1
        self._load.latencies_s.append(time.perf_counter() - self._sent)
        if b"connection: close" in lower:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost += self._waiting and self._answered > 0
        refused = self._answered == 0
        self._ended.set_result(refused or time.perf_counter() >= self._until)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        if self._sent >= self._until:
            self._transport.close()
            return
        self._waiting = True
        self._transport.write(self._request)
