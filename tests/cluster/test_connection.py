"""Workers of this machine: forked from a process with one thread, with the environment of now, and gone after their cluster."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client

from boostlab.cluster import connect

VARIABLE = "BOOSTLAB_TEST_OF_WORKERS"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, workers are not forked")]


def ask(client: Client) -> dict[str, Any]:
    """Return of each worker its variable, the process that it was forked from, and the number of threads of that process."""

    def look() -> tuple[str | None, int, int]:
        parent = os.getppid()
        return os.environ.get(VARIABLE), parent, len(list(Path(f"/proc/{parent}/task").iterdir()))

    return dict(client.run(look))


def test_workers_are_forked_and_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    for value in ("1", None):
        if value is None:
            monkeypatch.delenv(VARIABLE)
        else:
            monkeypatch.setenv(VARIABLE, value)
        with connect("", n_workers=2, threads=1, folder=tmp_path) as client:
            found = set(ask(client).values())
            ((_, origin, _),) = found
            assert found == {(value, origin, 1)} and origin != os.getpid()
            os.kill(origin, signal.SIGINT)  # as an interrupt of a cell does
            assert set(ask(client).values()) == found
        assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    with connect("", n_workers=1, threads=1, folder=tmp_path) as client:
        (first,) = client.run(os.getpid).values()
        os.kill(first, signal.SIGKILL)
        assert client.submit(os.getpid, pure=False).result() != first


@pytest.mark.parametrize("in_process", [True, False])
def test_no_profile_grows_in_a_worker_or_its_scheduler(tmp_path: Path, *, in_process: bool) -> None:
    def look(*_: object, dask_worker: Any = None, dask_scheduler: Any = None) -> bool:
        server = dask_worker or dask_scheduler
        return "profile" in server.periodic_callbacks or bool(server.io_loop.profile)

    with connect("", n_workers=1, threads=1, folder=tmp_path, in_process=in_process) as client:
        assert list(client.run(look).values()) == [False]
        assert client.run_on_scheduler(look) is False
