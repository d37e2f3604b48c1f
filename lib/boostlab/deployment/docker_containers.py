"""The Docker engine and its containers: connect, run, replace, clean up.

:mod:`boostlab.deployment.docker_images` handles images.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import docker
import psutil

from boostlab.deployment.context import PORT, STOP_TIMEOUT_S, TMP_SIZE_MB
from boostlab.deployment.service import START_TIMEOUT_S, Service, wait_until_healthy
from boostlab.errors import DeploymentError

DockerClient = Any  # the package has no type hints
Container = Any
OWNER_LABEL = "boostlab.owner"  # process id of a temporary container's owner
OLD_SUFFIX = "-before"  # a container has this suffix until its replacement answers
LOG_LINES = 15  # of a log's end, in a message
HARDENED: dict[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": f"size={TMP_SIZE_MB}m"},  # noqa: S108
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": 512,
}


def connect_engine() -> DockerClient:
    """Return a client of the Docker engine at ``DOCKER_HOST``, or at the usual socket.

    Raises
    ------
    DeploymentError
        If none answers, or this user may not talk to it.
    """
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except docker.errors.DockerException as error:
        reason = f"No Docker engine answers at {address}. Start one, or set DOCKER_HOST to its address."
        if "PermissionError" in str(error) or "permission denied" in str(error).lower():
            reason = f"This user may not talk to the Docker engine at {address}. Join the group docker, or use a rootless engine."
        raise DeploymentError(
            f"{reason} Without an engine, `-p output context` writes the build context, and `-p output process` serves the "
            "model on this machine."
        ) from None
    remove_orphans(client)
    return client


@contextmanager
def run_image(client: DockerClient, image: str, *, port: int = 0, keep_as: str = "") -> Iterator[Service]:
    """Run an image, hardened and on the loopback address, until the block ends.

    Parameters
    ----------
    port : int
        Port on the loopback address; 0: any free one.
    keep_as : str
        Name of a container that stays if the block succeeds. It replaces the container of that name, which stays if the
        block fails. Empty: the container is removed at the end of the block.

    Raises
    ------
    DeploymentError
        If the container does not start, exits, or does not answer in time.
    """
    try:
        with _set_aside(client, keep_as, port), _started(client, image, port, keep_as) as service:
            yield service
    except docker.errors.DockerException as error:
        if "port is already allocated" in str(error) or "address already in use" in str(error):
            message = f"Port {port} is taken. Choose another one with -p port, or 0 for any free port."
            raise DeploymentError(message) from None
        raise DeploymentError(f"The image {image} cannot be run: {error}") from None


def remove_orphans(client: DockerClient) -> None:
    """Remove temporary containers whose owner was killed."""
    for container in client.containers.list(all=True, filters={"label": OWNER_LABEL}, ignore_removed=True):
        if not psutil.pid_exists(int(container.labels[OWNER_LABEL])):
            _remove(client, container.id)


@contextmanager
def _set_aside(client: DockerClient, name: str, port: int) -> Iterator[None]:
    """Rename the container of this name during the block; remove it if the block succeeds, else restore it."""
    if not name:
        yield
        return
    _restore(client, name)  # a killed process may have left it renamed
    aside = f"{name}{OLD_SUFFIX}"
    try:
        for old in _find_containers(client, name):
            old.rename(aside)
            if port:  # the old container may hold this port; with any free port, it answers until its replacement does
                old.stop(timeout=STOP_TIMEOUT_S)
        yield
    except BaseException:
        _restore(client, name)
        raise
    for old in _find_containers(client, aside):
        old.stop(timeout=STOP_TIMEOUT_S)  # not killed: it answers the requests that it accepted
        _remove(client, aside)


def _restore(client: DockerClient, name: str) -> None:
    """Give the renamed container, if there is one, its name back and start it."""
    for old in _find_containers(client, f"{name}{OLD_SUFFIX}"):
        _remove(client, name)
        old.rename(name)
        old.start()


def _find_containers(client: DockerClient, name: str) -> list[Container]:
    """Return the container of this name as a list of at most one."""
    return list(client.containers.list(all=True, filters={"name": f"^/{name}$"}, ignore_removed=True))


@contextmanager
def _started(client: DockerClient, image: str, port: int, keep_as: str) -> Iterator[Service]:
    started, kept = time.monotonic(), False
    container = client.containers.create(
        image,
        name=keep_as or None,
        labels={} if keep_as else {OWNER_LABEL: str(os.getpid())},
        ports={f"{PORT}/tcp": ("127.0.0.1", port or None)},
        restart_policy={"Name": "unless-stopped"} if keep_as else None,
        **HARDENED,
    )
    try:
        container.start()
        address = _find_server(container)
        yield Service(address, time.monotonic() - started, str(container.name))
        kept = bool(keep_as)
    finally:
        if not kept:
            _remove(client, str(container.id))


def _find_server(container: Container) -> str:
    """Return the container's address once its server is healthy."""

    def find_address() -> str:
        container.reload()
        if container.status != "running":
            code = container.attrs.get("State", {}).get("ExitCode")
            raise DeploymentError(f"The container died at its start, with exit code {code}. {end_of_log()}")
        bindings = container.ports.get(f"{PORT}/tcp")
        return f"http://127.0.0.1:{bindings[0]['HostPort']}" if bindings else ""

    def end_of_log() -> str:
        return f"Its log ends:\n{container.logs(tail=LOG_LINES).decode(errors='replace').rstrip()}"

    def explain() -> str:
        return f"The container did not answer within {START_TIMEOUT_S:g} s. {end_of_log()}"

    return wait_until_healthy(find_address, explain=explain)


def _remove(client: DockerClient, name: str) -> None:
    with suppress(docker.errors.APIError):
        client.containers.get(name).remove(force=True, v=True)
