"""The server as a process: its imports, its errors at the start, and how it stops under load."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from tests.support.serving import BODY, predict, run_server, serve, start_server
from tests.support.waiting import TIMEOUT_S, wait_until

from boostlab.deployment.load_test import LoadResult, run_load_test

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


def test_imports_neither_pandas_nor_mlflow_and_little_of_boostlab(folder: Path) -> None:
    command = [sys.executable, "-c", LEAN, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    parts = ("predictor", "answers", "contract", "booster", "ubjson", "conversion", "dates", "contributions")
    models = {f"boostlab.models.{name}" for name in parts}
    allowed = {"boostlab.errors", "boostlab.models", *models}
    assert {"boostlab.errors", "boostlab.models.answers"} <= set(done.stdout.split()) <= allowed, done.stderr


def test_answers_503_when_there_are_too_many_connections(folder: Path) -> None:
    with serve(folder, workers=1, connections=2) as address, ExitStack() as connections:
        where = urlsplit(address)
        for _ in range(2):
            connections.enter_context(socket.create_connection((where.hostname, where.port), timeout=20))
        assert predict(address).status_code == 503


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["/nowhere"], {}, "/nowhere does not hold a model made by boostlab"),
        (["MODEL"], {"BOOSTLAB_WORKERS": "many"}, "BOOSTLAB_WORKERS='many' is not a whole number"),
        (["MODEL", "--host", "192.0.2.1"], {}, "Cannot listen on 192.0.2.1"),
        (["MODEL", "--port", "70000"], {}, "BOOSTLAB_PORT=70000 is out of range"),
        (["MODEL", "--port", "http"], {}, "BOOSTLAB_PORT='http' is not a whole number"),
    ],
)
def test_says_in_one_line_why_it_does_not_start(
    folder: Path, arguments: list[str], environment: dict[str, str], message: str
) -> None:
    done = run_server(*(str(folder) if argument == "MODEL" else argument for argument in arguments), **environment)

    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("ServingError: ") and message in done.stderr and done.stderr.count("\n") == 1


def test_says_that_a_port_is_in_use(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run_server(str(folder), "--port", str(taken.getsockname()[1]))

    assert "Address already in use. Choose another port" in done.stderr


def may_unshare() -> bool:
    return subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_unshare(), reason="This user may not make a PID namespace.")
@pytest.mark.parametrize("library", ["numpy", "xgboost", ""], ids=["imports", "loads the model", "serves"])
def test_the_first_process_of_a_container_stops_at_any_time(folder: Path, library: str) -> None:
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-m", "boostlab.serving", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        (first,) = wait_until(psutil.Process(process.pid).children)
        if library:
            maps = Path(f"/proc/{first.pid}/maps")
            while library not in maps.read_text():
                pass
        else:
            assert process.stdout is not None and "serving" in process.stdout.readline()
        first.terminate()
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2, pytest.param(int(os.environ.get("BOOSTLAB_LOAD_SECONDS", "15")), id="longer")])
def test_answers_each_accepted_request_when_it_stops_under_load(folder: Path, seconds: float) -> None:
    loads: list[LoadResult] = []
    log: list[str] = []
    with start_server(folder) as (process, address):
        reader = threading.Thread(target=lambda: log.extend(process.stdout or []))
        clients = threading.Thread(
            target=lambda: loads.append(run_load_test(f"{address}/invocations", BODY, clients=32, seconds=seconds + 30))
        )
        reader.start()
        clients.start()
        time.sleep(seconds)
        process.terminate()
        clients.join()
        reader.join()

    (load,) = loads
    assert process.returncode == 0
    assert load.lost == 0
    assert set(load.statuses) == {200}
    assert load.statuses[200] == sum('"status":200' in line for line in log)
