"""A service that stays, in a real engine: its image is replaced under load, and what fails changes nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.docker import ANSWERS, BASE, DIES, NAME, NEEDS_ENGINE, Built, build_from, deploy_settings, start_recording
from tests.support.load import under_load
from tests.support.servers import free_port
from tests.support.waiting import wait_until

from boostlab.deployment.context import SHARED_PORT_LABEL
from boostlab.deployment.docker_containers import run_image
from boostlab.deployment.kept_service import HOLDER_SUFFIX, OLD_SUFFIX, keep_image
from boostlab.deployment.release import make_image
from boostlab.deployment.service import is_healthy
from boostlab.deployment.target import choose_target
from boostlab.errors import DeploymentError

pytestmark = NEEDS_ENGINE
SHARES = f"LABEL {SHARED_PORT_LABEL}=1\nRUN mkdir /app && ln -s $(command -v python) /app/python\n"


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


@pytest.fixture
def name(engine: Any) -> Iterator[str]:
    """Return a service's name, and remove its containers at the end."""
    yield f"{NAME}-kept"
    for left in engine.containers.list(all=True, filters={"name": f"{NAME}-kept"}):
        left.remove(force=True, v=True)


@pytest.fixture
def containers(engine: Any, name: str) -> Callable[[], dict[str, tuple[str, str]]]:
    """Return a function that lists the service's containers by name: id and status."""
    return lambda: {str(one.name): (one.id, one.status) for one in engine.containers.list(all=True, filters={"name": name})}


@pytest.fixture(scope="session")
def versions(engine: Any, version_store: Any, built: Built) -> dict[str, tuple[bytes, bytes]]:
    """Return two lean images, each with a request and the answer that its server gives alone."""
    first = choose_target(version_store, deploy_settings(version=1))
    settings = deploy_settings(builder="lean", image=f"{NAME}-first", version=1)
    images = [make_image(replace(first, repository=f"{NAME}-first"), start_recording(), settings), built("lean")[1]]
    example = json.loads((first.folder / "serving_input_example.json").read_text())
    body = json.dumps(example).encode()
    found = {}
    for image in images:
        with run_image(engine, image.reference) as service, under_load(service.address, body, clients=1) as load:
            pass
        (answer,) = load.bodies
        found[image.reference] = (body, answer)
    assert len(set(found.values())) == 2
    return found


def kill_worker(engine: Any, name: str) -> None:
    """Send SIGKILL to one worker of the server in a container."""
    parent = psutil.Process(engine.containers.get(name).attrs["State"]["Pid"])
    os.kill(parent.children()[0].pid, signal.SIGKILL)


def restarts(container: Any) -> int:
    container.reload()
    return int(container.attrs["RestartCount"])


def test_replaces_the_image_under_load_without_a_lost_request(
    engine: Any, name: str, containers: Any, versions: dict[str, tuple[bytes, bytes]], tmp_path: Path
) -> None:
    port = free_port()
    first, second = versions
    body = versions[first][0]
    address = keep_image(engine, first, name=name, port=port).address
    assert address == f"http://127.0.0.1:{port}"
    with under_load(address, body) as load:
        for image in (second, first, second):
            assert keep_image(engine, image, name=name, port=port).address == address
        before = containers()
        broken = build_from(engine, tmp_path, f"FROM {BASE}\n{SHARES}{DIES}")
        with pytest.raises(DeploymentError, match="out of cheese"):
            keep_image(engine, broken, name=name, port=port)
        assert containers() == before
        assert keep_image(engine, first, name=name).address == address  # a service keeps its port
        time.sleep(1)

    assert set(load.statuses) == {200} and load.lost == load.refused == 0
    assert set(load.bodies) == {versions[first][1], versions[second][1]}
    assert containers().keys() == {name, name + HOLDER_SUFFIX}


def test_a_killed_worker_loses_only_what_it_was_answering(
    engine: Any, name: str, versions: dict[str, tuple[bytes, bytes]]
) -> None:
    first, second = versions
    clients, kills = 4, 2
    address = keep_image(engine, first, name=name).address
    with under_load(address, versions[first][0], clients=clients) as load:
        kill_worker(engine, name)
        keep_image(engine, second, name=name)
        kill_worker(engine, name)
        time.sleep(1)

    assert set(load.statuses) == {200} and load.lost + load.refused <= clients * kills
    assert set(load.bodies) == {versions[first][1], versions[second][1]}


def test_the_service_answers_again_after_its_containers_died(engine: Any, name: str, versions: Any) -> None:
    address = keep_image(engine, next(iter(versions)), name=name).address
    for died in (name + HOLDER_SUFFIX, name):  # as after a reboot: in any order
        container = engine.containers.get(died)
        os.kill(container.attrs["State"]["Pid"], signal.SIGKILL)
        wait_until(partial(restarts, container))
        wait_until(lambda: is_healthy(address))


def test_an_image_that_cannot_share_a_port_replaces_one_that_can_and_back(
    engine: Any, name: str, containers: Any, versions: Any, tmp_path: Path
) -> None:
    port, sharing = free_port(), next(iter(versions))
    plain = build_from(engine, tmp_path, f"FROM {BASE}\n{ANSWERS}")
    for image, wanted in ((plain, {name}), (sharing, {name, name + HOLDER_SUFFIX}), (plain, {name})):
        assert is_healthy(keep_image(engine, image, name=name, port=port).address)
        assert containers().keys() == wanted
    broken = build_from(engine, tmp_path, f"FROM {BASE}\n{SHARES}{DIES}")
    with pytest.raises(DeploymentError, match="out of cheese"):
        keep_image(engine, broken, name=name, port=port)
    assert containers().keys() == {name}
    wait_until(lambda: is_healthy(f"http://127.0.0.1:{port}"))


def test_a_service_moves_to_another_port(engine: Any, name: str, containers: Any, versions: Any) -> None:
    image, ports = next(iter(versions)), (free_port(), free_port())
    for port in ports:
        assert keep_image(engine, image, name=name, port=port).address == f"http://127.0.0.1:{port}"
    assert not is_healthy(f"http://127.0.0.1:{ports[0]}")
    assert containers().keys() == {name, name + HOLDER_SUFFIX}


def test_says_that_a_port_is_taken(engine: Any, name: str, containers: Any, tmp_path: Path) -> None:
    image = build_from(engine, tmp_path, f"FROM {BASE}\n{SHARES}{ANSWERS}")
    with taken_port() as port, pytest.raises(DeploymentError, match=f"Port {port} is taken"):
        keep_image(engine, image, name=name, port=port)
    assert not containers()


def test_keeps_the_old_service_until_its_replacement_answers(engine: Any, name: str, containers: Any, tmp_path: Path) -> None:
    port = free_port()

    def replace_image(port: int) -> str:
        return keep_image(engine, f"{NAME}:small", name=name, port=port).address

    build_from(engine, tmp_path, f"FROM {BASE}\n{ANSWERS}")
    address = replace_image(port)
    first = containers()
    assert first.keys() == {name}

    with taken_port() as taken, pytest.raises(DeploymentError, match=f"Port {taken} is taken"):
        replace_image(taken)
    assert containers() == first
    wait_until(lambda: is_healthy(address))

    engine.containers.get(name).rename(f"{name}{OLD_SUFFIX}")  # as a killed process leaves it
    build_from(engine, tmp_path, f"FROM {BASE}\n{DIES}")
    for wanted in (port, 0):
        with pytest.raises(DeploymentError, match="out of cheese"):
            replace_image(wanted)
        assert containers() == first
        wait_until(lambda: is_healthy(address))

    build_from(engine, tmp_path, f"FROM {BASE}\n{ANSWERS}")
    assert replace_image(port) == address
    assert containers().keys() == {name} and containers() != first
