"""Docker's errors in plain words; the errors of builds, containers and pushes are tested with a real engine elsewhere."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from boostlab.deployment.docker_errors import explain_build

NOWHERE = "unix:///nowhere/docker.sock"
CONNECT_WITHOUT_RIGHTS = """
import os
from boostlab.deployment.docker_containers import connect_engine
if os.geteuid() == 0:  # file modes do not restrict root
    os.setgroups([])
    os.setuid(65534)
connect_engine()
"""


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


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("pull access denied for python, repository does not exist", "The base image cannot be pulled: .*-p base_image"),
        ("manifest for python:3.99 not found: manifest unknown", "The base image cannot be pulled: .*-p base_image"),
        ("dial tcp: lookup registry on 10.0.0.1:53: no such host", ".* its registry cannot be reached: .*-p base_image"),
        ("write /app: no space left on device", ".*no disk space left"),
        ("exit code 1", "(?s)The image cannot be built. The build ended:\nStep 2.*exit code 1"),
    ],
)
def test_explains_why_a_build_failed(error: str, words: str) -> None:
    assert re.match(words, explain_build(error, "Step 1\n" + "Step 2\n" * 20))
