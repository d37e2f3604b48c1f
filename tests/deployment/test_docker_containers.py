"""Containers in a real engine: failures at the start, orphans; and no engine at all."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.docker import BASE, DIES, SLEEPS, build_from, list_containers, needs_engine

from boostlab.deployment.docker_containers import OWNER_LABEL, remove_orphans, run_image
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
