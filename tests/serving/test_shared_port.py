"""A port that a process holds for several servers: none of their requests is lost while they come and go."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.support.load import under_load
from tests.support.servers import free_port, listens
from tests.support.serving import BODY, predict, run_server, start_server
from tests.support.waiting import wait_until

from boostlab.serving.shared_port import LISTENERS, join


@contextmanager
def hold(path: Path, port: int) -> Iterator[str]:
    """Run a holder as a process, and yield the address of its port once it gives sockets to servers."""
    command = [sys.executable, "-m", "boostlab.serving.shared_port", str(path), "127.0.0.1", str(port)]
    process = subprocess.Popen(command)
    try:
        wait_until(lambda: listens("127.0.0.1", port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait() == 0


@pytest.mark.slow
def test_a_server_replaces_another_one_and_no_request_is_lost(folder: Path, tmp_path: Path) -> None:
    path, replacements = tmp_path / "port.sock", 2
    with hold(path, free_port()) as address, ExitStack() as last:
        first = ExitStack()
        first.enter_context(start_server(folder, shared_port=path, log_requests=0))
        predict(address)
        with under_load(address, BODY) as load:
            for workers in range(1, replacements + 1):
                following = ExitStack()
                _, own = following.enter_context(start_server(folder, shared_port=path, log_requests=0, workers=workers))
                assert predict(own).ok  # its own port answers too
                first.close()
                first = following
        last.enter_context(first)

    assert set(load.statuses) == {200} and load.lost == load.refused == 0
    assert len(load.bodies) == 1


@pytest.mark.slow
def test_a_request_waits_while_no_server_is_there(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "port.sock"
    answers: list[int] = []
    with hold(path, free_port()) as address:
        waiting = threading.Thread(target=lambda: answers.append(predict(address).status_code))
        waiting.start()
        time.sleep(0.5)
        assert not answers
        with start_server(folder, shared_port=path):
            waiting.join()
    assert answers == [200]


@pytest.mark.slow
def test_a_server_joins_again_after_its_holder_died(folder: Path, tmp_path: Path) -> None:
    path, port = tmp_path / "port.sock", free_port()
    with ExitStack() as stack:
        with hold(path, port) as address:
            stack.enter_context(start_server(folder, shared_port=path))
            assert predict(address).ok
        wait_until(lambda: not listens("127.0.0.1", port))
        with hold(path, port) as address:
            assert predict(address).ok


def test_says_that_it_waits_for_a_holder(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "port.sock"
    with start_server(folder, shared_port=path, workers=1) as (process, _):
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line["message"] == "a worker waits for the process that holds the port" and line["path"] == str(path)
        with hold(path, free_port()) as address:
            assert predict(address).ok


@pytest.mark.parametrize("place", ["nowhere/port.sock", "file"])
def test_refuses_a_path_where_no_holder_can_be(folder: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    done = run_server(str(folder), "--port", "0", BOOSTLAB_SHARED_PORT=str(tmp_path / place))

    assert done.returncode == 1 and f"BOOSTLAB_SHARED_PORT={tmp_path / place} is no Unix socket" in done.stderr


def test_more_workers_than_sockets_share_them(tmp_path: Path) -> None:
    path = tmp_path / "port.sock"
    with hold(path, free_port()):
        for workers in (1, 3, LISTENERS + 3):
            found = []
            for worker in range(workers):
                holder, sockets = join(str(path), worker=worker, workers=workers, say_waiting=lambda: None)
                found.append(len(sockets))
                for one in [holder, *sockets]:
                    one.close()
            assert min(found) >= 1 and sum(found) >= LISTENERS
