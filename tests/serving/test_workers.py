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

def work(place, announce):
    if sys.argv[1] == "dies":
        os._exit(3)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, b"ready\\n")  # in one piece
    time.sleep(600)

def new_work(place, announce):
    if sys.argv[1] == "new dies" and place == 2:
        os._exit(3)
    if sys.argv[1] != "new hangs":
        announce()
    time.sleep(600)

class Listener(socket.socket):
    def close(self):
        print("closed", flush=True)

def report(reason):
    print(reason or "replaced", flush=True)

workers = 2 if sys.argv[1].startswith("new") else 1
pool = WorkerPool(kill_after_s=0.5, listeners=[Listener()], load=lambda: new_work, report=report)
pool.work = work
failed = pool.run(workers)
sys.exit(int(failed))
"""


def start_pool(behaviour: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", RUN_POOL, behaviour], stdout=subprocess.PIPE, text=True)


def test_gives_up_when_no_worker_stays_alive() -> None:
    pool = start_pool("dies")
    lines = pool.communicate(timeout=TIMEOUT_S)[0].splitlines()

    assert pool.returncode == 1
    assert len(lines) == 4 and all('"message":"a worker died"' in line for line in lines[:3]) and lines[3] == "closed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_kills_a_worker_that_does_not_stop(number: int) -> None:
    pool = start_pool("hangs")
    assert pool.stdout is not None and pool.stdout.readline() == "ready\n"
    (worker,) = psutil.Process(pool.pid).children()
    pool.send_signal(number)

    assert pool.communicate(timeout=TIMEOUT_S)[0] == "closed\n"
    assert pool.returncode == 0 and not worker.is_running()


@pytest.mark.parametrize("behaviour", ["new dies", "new hangs", "new serves"])
def test_new_workers_replace_the_present_ones_only_if_all_are_ready(behaviour: str) -> None:
    pool = start_pool(behaviour)
    assert pool.stdout is not None
    assert [pool.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    old = psutil.Process(pool.pid).children()
    pool.send_signal(signal.SIGHUP)
    said = pool.stdout.readline()
    wait_until(lambda: len(psutil.Process(pool.pid).children()) == 2)
    kept = {child.pid for child in old} & {child.pid for child in psutil.Process(pool.pid).children()}
    pool.terminate()
    pool.communicate(timeout=TIMEOUT_S)

    assert said == "replaced\n" if behaviour == "new serves" else said.startswith("a new worker ended before all were ready")
    assert len(kept) == (0 if behaviour == "new serves" else 2) and pool.returncode == 0


def test_restarts_a_worker_again_and_again_while_another_one_is_healthy(folder: Path) -> None:
    with start_server(folder, workers=2, log_requests=0) as (process, address):
        parent = psutil.Process(process.pid)
        time.sleep(5.2)  # the other worker must be older than a worker that dies early
        victims = set()
        for _ in range(4):
            victims.add(victim := max(child.pid for child in parent.children()))
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: len({child.pid for child in parent.children()} - victims) == 2, TIMEOUT_S)
        assert all(predict(address).status_code == 200 for _ in range(10))
