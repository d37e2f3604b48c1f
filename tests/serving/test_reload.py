"""The server loads its model anew on SIGHUP: no request is lost, and a broken model changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from tests.serving.test_metrics import read
from tests.support.load import under_load
from tests.support.packages import Packaged
from tests.support.serving import BODY, JSON, predict, start_server
from tests.support.waiting import wait_until

from boostlab.serving.model import ServedModel


@pytest.fixture
def versions(package: Callable[[str], Packaged], tmp_path: Path) -> list[Path]:
    """Return two models of the same columns that answer differently, as MLflow downloads them from a registry."""
    found = [tmp_path / "version-7", tmp_path / "version-8"]
    for name, version in zip(("own_classes", "own"), found, strict=True):
        shutil.copytree(package(name)[0], version)
        (version / "registered_model_meta").write_text(f"model_name: wine\nmodel_version: '{version.name[-1]}'\n")
    return found


def point(link: Path, target: Path) -> None:
    """Replace a link at once, as deployments do."""
    new = link.with_suffix(".new")
    new.symlink_to(target)
    new.rename(link)


def count_reloads(address: str, outcome: str = "done") -> float:
    return read(requests.get(f"{address}/metrics", timeout=60).text)[f"model_reloads_total {outcome}"]


def reload(process: subprocess.Popen[str], address: str, outcome: str = "done") -> None:
    before = count_reloads(address, outcome)
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: count_reloads(address, outcome) > before)


def answers_with(address: str, body: bytes) -> bool:
    return all(predict(address).content == body for _ in range(5))


def find_version(address: str) -> str:
    (found,) = requests.get(f"{address}/v2/models/model", timeout=60).json()["versions"]
    return str(found)


def test_loads_versions_under_load_without_a_lost_or_wrong_answer(versions: list[Path], tmp_path: Path) -> None:
    answers = [ServedModel(version).answer(BODY, JSON)[0] for version in versions]
    point(link := tmp_path / "model", versions[0])
    with start_server(link, reload=1, log_requests=0) as (process, address):
        assert find_version(address) == "7"
        with under_load(address, BODY, clients=4) as load:
            for number in range(1, 6):
                point(link, versions[number % 2])
                reload(process, address)
                wait_until(partial(answers_with, address, answers[number % 2]))
        assert find_version(address) == "8"
        assert 'boostlab_requests_total{path="/invocations",status="200"}' in requests.get(f"{address}/metrics", timeout=60).text

    assert set(load.statuses) == {200} and load.lost == load.refused == 0
    assert set(load.bodies) == set(answers)


def test_a_request_in_flight_gets_the_answer_of_the_model_that_took_it(versions: list[Path], tmp_path: Path) -> None:
    old, new = (ServedModel(version).answer(BODY, JSON)[0] for version in versions)
    point(link := tmp_path / "model", versions[0])
    with start_server(link, reload=1, log_requests=0) as (process, address):
        where = urlsplit(address)
        with socket.create_connection((where.hostname, where.port), timeout=60) as connection:
            head = f"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: {JSON}\r\nContent-Length: {len(BODY)}\r\n\r\n"
            connection.sendall(head.encode() + BODY[:9])
            point(link, versions[1])
            reload(process, address)
            wait_until(lambda: predict(address).content == new)
            connection.sendall(BODY[9:])
            assert connection.recv(65_536).endswith(old)


def ask_slowly(address: str, ends: float, found: Counter[bytes]) -> None:
    """Send requests in small parts and read their answers in small parts; an empty answer is one that was lost."""
    where = urlsplit(address)
    while time.monotonic() < ends:
        answer = b""
        with suppress(OSError), socket.create_connection((where.hostname, where.port), timeout=60) as connection:
            head = f"POST /invocations HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: {JSON}\r\n"
            sent = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
            for start in range(0, len(sent), 30):
                connection.sendall(sent[start : start + 30])
                time.sleep(0.1)
            while part := connection.recv(20):
                answer += part
        found[answer.partition(b"\r\n\r\n")[2]] += 1


@pytest.mark.slow
def test_swaps_killed_workers_and_slow_clients_lose_only_what_a_killed_worker_had(
    versions: list[Path], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    answers = [ServedModel(version).answer(BODY, JSON)[0] for version in versions]
    seconds, clients, slow_clients, swaps = float(os.environ.get("BOOSTLAB_SOAK_SECONDS", "20")), 4, 3, 0
    pause_s, ends, slow = min(seconds / 4, 30) / 2, time.monotonic() + seconds, Counter[bytes]()
    point(link := tmp_path / "model", versions[0])
    with start_server(link, reload=1, log_requests=0) as (process, address):
        threads = [threading.Thread(target=ask_slowly, args=(address, ends, slow)) for _ in range(slow_clients)]
        for thread in threads:
            thread.start()
        with under_load(address, BODY, clients=clients) as load:
            while time.monotonic() < ends:
                point(link, versions[(swaps := swaps + 1) % 2])
                reload(process, address)
                time.sleep(pause_s)
                psutil.Process(process.pid).children()[-1].kill()
                time.sleep(pause_s)
        for thread in threads:
            thread.join()
    counts = {"swaps": swaps, "answered": load.statuses.total(), "lost": load.lost + load.refused, "slow": slow.total()}
    record_property("counts", counts | {"slow lost": slow[b""]})  # in the file of --junitxml

    assert set(load.statuses) == {200} and set(load.bodies) == set(answers)
    assert load.lost + load.refused <= swaps * clients
    assert slow.keys() <= {*answers, b""} and slow[b""] <= swaps * slow_clients and slow.total() > slow[b""]


@pytest.mark.parametrize("spoil", ["absent", "empty", "damaged"])
def test_a_broken_model_leaves_the_old_one_and_says_why(versions: list[Path], tmp_path: Path, spoil: str) -> None:
    good, broken = versions
    expected = ServedModel(good).answer(BODY, JSON)[0]
    if spoil == "damaged":
        booster = next(broken.rglob("*.ubj"))
        booster.write_bytes(booster.read_bytes()[:-100])
    else:
        shutil.rmtree(broken)
        if spoil == "empty":
            broken.mkdir()
    point(link := tmp_path / "model", good)
    with start_server(link, reload=1, log_requests=0) as (process, address):
        point(link, broken)
        reload(process, address, "failed")
        assert predict(address).content == expected and find_version(address) == "7"
        point(link, good)
        reload(process, address)
        process.terminate()
        lines = [json.loads(line) for line in process.stdout or []]

    messages = [line["message"] for line in lines]
    assert messages == ["the model was not loaded anew, and the served one stays", "the model was loaded anew", "stopped"]
    assert "does not hold a model made by boostlab" in lines[0]["reason"] and lines[0]["level"] == "error"


def test_reads_the_keys_anew(folder: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("old\n")

    def is_known(key: str) -> bool:
        headers = {"Content-Type": JSON, "X-API-Key": key}
        return requests.post(f"{address}/invocations", data=BODY, headers=headers, timeout=60).ok

    with start_server(folder, reload=1, api_key_file=keys, log_requests=0) as (process, address):
        assert is_known("old") and not is_known("new")
        keys.write_text("new\n")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: is_known("new") and not is_known("old"))
        keys.write_text("")
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert [json.loads(process.stdout.readline())["level"] for _ in range(2)] == ["info", "error"]
        assert is_known("new")


def test_signals_that_arrive_together_load_the_last_version(versions: list[Path], tmp_path: Path) -> None:
    point(link := tmp_path / "model", versions[0])
    with start_server(link, reload=1, log_requests=0) as (process, address):
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: count_reloads(address) == 1)
        point(link, versions[1])  # while the workers of the first one leave
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
        wait_until(lambda: find_version(address) == "8")
        process.terminate()
        assert process.wait(60) == 0


def test_without_the_setting_the_signal_ends_the_server(folder: Path) -> None:
    for _ in range(3):  # the worker has just begun when its parent is gone, and ends all the same
        with start_server(folder) as (process, _):
            while not psutil.Process(process.pid).children():
                assert process.poll() is None
            os.kill(process.pid, signal.SIGHUP)
            assert process.wait(60) == -signal.SIGHUP
