"""The pool of workers: restarts a dead one, gives up on one that dies at once, and kills one that does not stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.support.serving import predict, start_server
from tests.support.waiting import TIMEOUT_S, wait_until

RUN_POOL = """
import os, signal, socket, sys, time
from boostlab.serving.workers import WorkerPool

def work(worker):
    if sys.argv[1] == "dies":
        os._exit(3)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
    time.sleep(600)

class Listener(socket.socket):
    def close(self):
        print("closed", flush=True)

failed = WorkerPool(work, kill_after_s=0.2, listeners=[Listener()]).run(1)
sys.exit(int(failed))
"""


def start_pool(behaviour: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", RUN_POOL, behaviour], stdout=subprocess.PIPE, text=True)


def test_gives_up_when_a_worker_dies_right_after_its_start() -> None:
    pool = start_pool("dies")
    lines = pool.communicate(timeout=TIMEOUT_S)[0].splitlines()

    assert pool.returncode == 1
    assert '"message":"a worker died"' in lines[0] and lines[1:] == ["closed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_kills_a_worker_that_does_not_stop(number: int) -> None:
    pool = start_pool("hangs")
    assert pool.stdout is not None and pool.stdout.readline() == "ready\n"
    (worker,) = psutil.Process(pool.pid).children()
    pool.send_signal(number)

    assert pool.communicate(timeout=TIMEOUT_S)[0] == "closed\n"
    assert pool.returncode == 0 and not worker.is_running()


def test_restarts_a_worker_that_dies_later(folder: Path) -> None:
    with start_server(folder, workers=2, log_requests=0) as (process, address):
        parent = psutil.Process(process.pid)
        time.sleep(5.2)  # a worker that dies earlier is not restarted
        victim = min(child.pid for child in parent.children())
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len({child.pid for child in parent.children()} - {victim}) == 2, TIMEOUT_S)
        assert all(predict(address).status_code == 200 for _ in range(10))
