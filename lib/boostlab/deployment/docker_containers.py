"""The Docker engine and its containers: reached, run, replaced, cleaned up; its errors in plain words.

Images in the engine are the concern of :mod:`boostlab.deployment.docker_images`.
"""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import docker
import psutil

from boostlab.errors import LabError

DockerClient = Any  # the package states no types
Container = Any
PORT = 8080  # inside every image of ours
OWNER = "boostlab.proof"  # label of a container that lives no longer than the process that started it
SHOWN_LINES = 15
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 40  # more than the server takes to answer what it has accepted
ASIDE = "-before"  # a container that is to be replaced is called so until its successor answers
WITHOUT = "Without an engine, `-p output context` writes the build context, and `-p output process` serves on this machine."
HARDENED: dict[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": "size=64m"},  # noqa: S108
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": 512,
}


class DeploymentError(LabError):
    """An image cannot be built, run, proved or released."""


@dataclass(frozen=True)
class Service:
    """A model that answers.

    Attributes
    ----------
    address : str
        Where, such as ``http://127.0.0.1:49153``.
    start_s : float
        Time from the order to start until the first answer.
    name : str
        The container's name; empty if there is none.
    """

    address: str
    start_s: float
    name: str = ""


def connect_engine() -> DockerClient:
    """Return a client of the Docker engine that ``DOCKER_HOST`` or the usual socket names.

    Raises
    ------
    DeploymentError
        If none answers, or this user may not talk to it.
    """
    where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except docker.errors.DockerException as error:
        if "PermissionError" in str(error) or "permission denied" in str(error).lower():
            reason = f"This user may not talk to the Docker engine at {where}. Join the group docker, or use a rootless engine."
        else:
            reason = f"No Docker engine answers at {where}. Start one, or name it in DOCKER_HOST."
        raise DeploymentError(f"{reason} {WITHOUT}") from None
    sweep(client)
    return client


@contextmanager
def run_image(client: DockerClient, image: str, *, port: int = 0, keep_as: str = "") -> Iterator[Service]:
    """Run an image, hardened and on loopback, until the block ends; it is removed in any case, unless it is to be kept.

    Parameters
    ----------
    port : int
        Port on loopback; 0: any free one.
    keep_as : str
        Name of the container that stays if the block ends well; a predecessor of that name goes only then. Empty: it goes.

    Raises
    ------
    DeploymentError
        If it does not start, dies, or does not answer in time.
    """
    try:
        with _set_aside(client, keep_as, port), _started(client, image, port, keep_as) as service:
            yield service
    except docker.errors.DockerException as error:
        raise DeploymentError(_explain_run(image, port, str(error))) from None


def sweep(client: DockerClient) -> None:
    """Remove containers whose owner was killed before it could."""
    for container in client.containers.list(all=True, filters={"label": OWNER}):
        if not psutil.pid_exists(int(container.labels[OWNER])):
            _remove(client, container.id)


@contextmanager
def _set_aside(client: DockerClient, name: str, port: int) -> Iterator[None]:
    """Keep the container of this name until the block ends well; otherwise it is back under its name."""
    if not name:
        yield
        return
    _bring_back(client, name)  # if a process was killed before it could
    aside = f"{name}{ASIDE}"
    try:
        for old in _find_containers(client, name):
            old.rename(aside)
            if port:  # which may be its own; where any port does, it answers until its successor does
                old.stop(timeout=STOP_TIMEOUT_S)
        yield
    except BaseException:
        _bring_back(client, name)
        raise
    for old in _find_containers(client, aside):
        old.stop(timeout=STOP_TIMEOUT_S)  # not killed: what it has accepted it answers
        _remove(client, aside)


def _bring_back(client: DockerClient, name: str) -> None:
    """Give a name back to the container that was set aside, if there is one, and have it run."""
    for old in _find_containers(client, f"{name}{ASIDE}"):
        _remove(client, name)
        old.rename(name)
        old.start()


def _find_containers(client: DockerClient, name: str) -> list[Container]:
    """Return the container of this name, or nothing."""
    return list(client.containers.list(all=True, filters={"name": f"^/{name}$"}))


@contextmanager
def _started(client: DockerClient, image: str, port: int, keep_as: str) -> Iterator[Service]:
    container, kept = None, False
    started = time.monotonic()
    try:
        container = client.containers.create(
            image,
            name=keep_as or None,
            labels={} if keep_as else {OWNER: str(os.getpid())},
            ports={f"{PORT}/tcp": ("127.0.0.1", port or None)},
            restart_policy={"Name": "unless-stopped"} if keep_as else None,
            **HARDENED,
        )
        container.start()
        address = _find_address(container)
        _wait_until_healthy(container, address)
        yield Service(address, time.monotonic() - started, str(container.name))
        kept = bool(keep_as)
    finally:
        if container is not None and not kept:
            _remove(client, str(container.id))


def _find_address(container: Container) -> str:
    for _ in range(50):
        container.reload()
        bindings = container.ports.get(f"{PORT}/tcp")
        if bindings:
            return f"http://127.0.0.1:{bindings[0]['HostPort']}"
        if container.status == "exited":
            break
        time.sleep(0.1)
    raise DeploymentError(_explain_death(container))


def _wait_until_healthy(container: Container, address: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if is_healthy(address):
            return
        container.reload()
        if container.status != "running":
            raise DeploymentError(_explain_death(container))
        time.sleep(0.05)
    raise DeploymentError(f"The container did not answer within {START_TIMEOUT_S:g} s. Its log ends:\n{_tail(container)}")


def is_healthy(address: str) -> bool:
    """Tell whether a server calls itself healthy."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _explain_death(container: Container) -> str:
    code = container.attrs.get("State", {}).get("ExitCode")
    return f"The container died at its start, with exit code {code}. Its log ends:\n{_tail(container)}"


def _tail(container: Container) -> str:
    return str(container.logs(tail=SHOWN_LINES).decode(errors="replace").rstrip())


def _explain_run(image: str, port: int, failure: str) -> str:
    if "port is already allocated" in failure or "address already in use" in failure:
        return f"Port {port} is taken. Choose another one with -p port, or 0 for any that is free."
    return f"The image {image} cannot be run: {failure}"


def _remove(client: DockerClient, name: str) -> None:
    with suppress(docker.errors.APIError):
        client.containers.get(name).remove(force=True, v=True)
