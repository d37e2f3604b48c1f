"""Show where the processor time of a small prediction request goes in the lean server.

Run as ``python -m benchmarks.serving.where [--repeat N]``; needs no Docker engine. Times are processor times of one process, so
that other work on the machine changes them little. The whole is measured on a real server under a real load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
from uvicorn.server import ServerState

from benchmarks.serving.__main__ import make_model
from boostlab.deployment.load_test import run_load_test
from boostlab.serving.app import App
from boostlab.serving.fast_path import to_matrix
from boostlab.serving.metrics import Metrics
from boostlab.serving.model import ServedModel
from boostlab.serving.protocol import GuardedProtocol
from boostlab.serving.worker import configure
from boostlab.serving.settings import ServerSettings

CALLS = 2_000
HEADERS = "Host: localhost:8080\r\nUser-Agent: python-requests/2.33\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"


class NoTransport(asyncio.Transport):
    """A transport that drops what is written."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


def main() -> None:
    """Measure the parts and the whole, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, rows = make_model(Path(temporary))
        body = json.dumps({"dataframe_records": rows[:1]}).encode()
        found: dict[str, list[float]] = {}
        for _ in range(given.repeat):
            for name, microseconds in measure(folder, body).items():
                found.setdefault(name, []).append(microseconds)
    print("| part of a request with one row of ten numbers, 100 trees | processor time |\n| --- | ---: |")
    for name, values in found.items():
        print(f"| {name} | {statistics.median(values):.1f} µs |")
    import xgboost

    print(f"\nMedians of {given.repeat} rounds, Python {platform.python_version()}, XGBoost {xgboost.__version__}.")


def measure(folder: Path, body: bytes) -> dict[str, float]:
    """Return the processor time of each part in microseconds."""
    model = ServedModel(folder)
    values = model.fast_reader.read(body, "application/json") or []
    matrix = to_matrix(values, len(model.features))
    assert matrix is not None
    answer = model.predict(matrix)
    found = {
        "read the JSON": time_calls(lambda: model.fast_reader.read(body, "application/json")),
        "make the matrix": time_calls(lambda: to_matrix(values, len(model.features))),
        "ask the booster": time_calls(lambda: model.booster.predict(matrix)),
        "write the JSON": time_calls(lambda: msgspec.json.encode({"predictions": answer})),
        "all in one process, one request at a time": asyncio.run(drive(model, body, 1)),
        "all in one process, four requests at a time": asyncio.run(drive(model, body, 4)),
    }
    for clients in (1, 8, 32):
        found[f"the server, {clients} client{'s' * (clients > 1)}"] = serve(folder, body, clients)
    return found


def time_calls(function: Callable[[], object]) -> float:
    """Return the processor time of a call in microseconds."""
    started = time.process_time()
    for _ in range(CALLS):
        function()
    return (time.process_time() - started) / CALLS * 1e6


async def drive(model: ServedModel, body: bytes, together: int) -> float:
    """Return the processor time of a request that the protocol gets without a socket, in microseconds."""
    settings = ServerSettings(log_requests=0)
    app = App(model, settings, Metrics(1, {}))
    config = configure(app, settings)
    config.load()
    state = ServerState()
    connections = [GuardedProtocol(config, state, {}) for _ in range(together)]
    for connection in connections:
        connection.connection_made(NoTransport())
    head = f"POST /invocations HTTP/1.1\r\n{HEADERS}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    started = time.process_time()
    for _ in range(CALLS):
        for connection in connections:
            connection.data_received(request)
        await asyncio.sleep(0)
    return (time.process_time() - started) / CALLS / together * 1e6


def serve(folder: Path, body: bytes, clients: int) -> float:
    """Return the processor time of a request in a server of one worker under load, in microseconds."""
    command = [sys.executable, "-m", "boostlab.serving", str(folder), "--port", "0"]
    env = os.environ | {"BOOSTLAB_WORKERS": "1", "BOOSTLAB_LOG_REQUESTS": "0"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{json.loads(server.stdout.readline())['port']}/invocations"
        run_load_test(address, body, clients=clients, seconds=0.5)
        (worker,) = psutil.Process(server.pid).children()
        before = sum(worker.cpu_times()[:2])
        load = run_load_test(address, body, clients=clients, seconds=2)
        spent = sum(worker.cpu_times()[:2]) - before
        server.terminate()
        server.communicate()
    return spent / len(load.latencies_s) * 1e6


if __name__ == "__main__":
    main()
