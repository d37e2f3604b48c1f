"""Clients that send requests while a test does something to their server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from boostlab.deployment.load_test import LoadResult, run_load_test

ROUND_S = 3.0  # clients keep their connections for so long


@contextmanager
def under_load(address: str, body: bytes, *, clients: int = 8) -> Iterator[LoadResult]:
    """Send requests until the block ends, and yield the sums of what the clients saw, complete after the block."""
    total, ended = LoadResult(), threading.Event()

    def send() -> None:
        while not ended.is_set():
            found = run_load_test(f"{address}/invocations", body, clients=clients, seconds=ROUND_S)
            total.latencies_s += found.latencies_s
            total.lost += found.lost
            total.refused += found.refused
            total.statuses += found.statuses
            total.bodies += found.bodies

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield total
    finally:
        ended.set()
        thread.join()
