"""Containers in a real engine: failures at the start, replacement of a kept service, orphans; and no engine at all."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.docker import ANSWERS, BASE, DIES, NAME, SLEEPS, build_from, list_containers, needs_engine
from tests.support.servers import free_port
from tests.support.waiting import wait_until

from boostlab.deployment.docker_containers import OLD_SUFFIX, OWNER_LABEL, remove_orphans, run_image
from boostlab.deployment.service import is_healthy
from boostlab.errors import DeploymentError

NOWHERE = "unix:///nowhere/docker.sock"
CONNECT_WITHOUT_RIGHTS = """
import os
from boostlab.deployment.docker_containers import connect_engine
if os.geteuid() == 0:  # file modes do not restrict root
    os.setgroups([])
    os.setuid(65534)
connect_engine()
"""


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


@needs_engine
def test_shows_the_log_of_a_container_that_dies_and_removes_it(engine: Any, tmp_path: Path) -> None:
    image = build_from(engine, tmp_path, f"FROM {BASE}\n{DIES}")
    with (
        pytest.raises(DeploymentError, match=r"(?s)died at its start, with exit code 4.*out of cheese"),
        run_image(engine, image),
    ):
        pass
    assert not list_containers(engine)


@needs_engine
def test_says_that_a_port_is_taken(engine: Any, tmp_path: Path) -> None:
    image = build_from(engine, tmp_path, f"FROM {BASE}\n{SLEEPS}")
    with (
        taken_port() as port,
        pytest.raises(DeploymentError, match=f"Port {port} is taken"),
        run_image(engine, image, port=port),
    ):
        pass
    assert not list_containers(engine)


@needs_engine
def test_keeps_the_old_service_until_its_replacement_answers(engine: Any, tmp_path: Path) -> None:
    name, port = f"{NAME}-kept", free_port()

    def containers() -> dict[str, tuple[str, str]]:
        return {str(one.name): (one.id, one.status) for one in engine.containers.list(all=True, filters={"name": name})}

    def replace(port: int) -> str:
        with run_image(engine, f"{NAME}:small", port=port, keep_as=name) as service:
            return service.address

    build_from(engine, tmp_path, f"FROM {BASE}\n{ANSWERS}")
    try:
        address = replace(port)
        first = containers()
        assert first.keys() == {name}

        with taken_port() as taken, pytest.raises(DeploymentError, match=f"Port {taken} is taken"):
            replace(taken)
        assert containers() == first
        wait_until(lambda: is_healthy(address))

        engine.containers.get(name).rename(f"{name}{OLD_SUFFIX}")  # as a killed process leaves it
        build_from(engine, tmp_path, f"FROM {BASE}\n{DIES}")
        for wanted in (port, 0):
            with pytest.raises(DeploymentError, match="out of cheese"):
                replace(wanted)
            assert containers() == first
            wait_until(lambda: is_healthy(address))

        build_from(engine, tmp_path, f"FROM {BASE}\n{ANSWERS}")
        assert replace(port) == address
        assert containers().keys() == {name} and containers() != first
    finally:
        for left in engine.containers.list(all=True, filters={"name": name}):
            left.remove(force=True)


@needs_engine
def test_removes_the_temporary_container_of_a_killed_process(engine: Any, tmp_path: Path) -> None:
    image = build_from(engine, tmp_path, f"FROM {BASE}\n{SLEEPS}")
    ended = subprocess.Popen(["true"])
    ended.wait()
    orphan = engine.containers.run(image, detach=True, labels={OWNER_LABEL: str(ended.pid)})
    own = engine.containers.run(image, detach=True, labels={OWNER_LABEL: str(os.getpid())})
    try:
        remove_orphans(engine)
        assert list_containers(engine) == [own.name] != [orphan.name]
    finally:
        own.remove(force=True)


def connect(address: str) -> str:
    """Connect in a process of its own, without rights, and return what it writes about the error."""
    env = os.environ | {"DOCKER_HOST": address}
    command = [sys.executable, "-c", CONNECT_WITHOUT_RIGHTS]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False).stderr


def test_says_what_works_without_an_engine() -> None:
    assert re.search(f"DeploymentError: No Docker engine answers at {NOWHERE}.*-p output process", connect(NOWHERE))


def test_says_that_this_user_may_not_talk_to_the_engine(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "docker.sock"))
        listening.listen()
        (tmp_path / "docker.sock").chmod(0)
        error = connect(f"unix://{tmp_path}/docker.sock")

    assert f"This user may not talk to the Docker engine at unix://{tmp_path}/docker.sock. Join the group docker" in error
