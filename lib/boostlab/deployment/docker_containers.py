"""The Docker engine and its containers: connect, run, clean up.

:mod:`boostlab.deployment.docker_images` handles images, :mod:`boostlab.deployment.kept_service` containers that stay.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import docker
import psutil

from boostlab.deployment.context import PORT, TMP_SIZE_MB
from boostlab.deployment.service import START_TIMEOUT_S, Service, wait_until_healthy
from boostlab.errors import DeploymentError

DockerClient = Any  # the package has no type hints
Container = Any
OWNER_LABEL = "boostlab.owner"  # process id of a temporary container's owner
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
def run_image(client: DockerClient, image: str) -> Iterator[Service]:
    """Run an image, hardened and on any free port of the loopback address, until the block ends.

    Raises
    ------
    DeploymentError
        If the container does not start, exits, or does not answer in time.
    """
    started = time.monotonic()
    options = {"labels": {OWNER_LABEL: str(os.getpid())}, "ports": {f"{PORT}/tcp": ("127.0.0.1", None)}}
    with explain_failure(image), create_container(client, image, **options) as container:
        yield Service(find_server(container), time.monotonic() - started, str(container.name))
        remove_container(client, str(container.id))


@contextmanager
def create_container(client: DockerClient, image: str, **options: Any) -> Iterator[Container]:
    """Create and start a hardened container, and remove it if the block fails."""
    container = client.containers.create(image, **HARDENED, **options)
    try:
        container.start()
        yield container
    except BaseException:
        remove_container(client, str(container.id))
        raise


@contextmanager
def explain_failure(image: str, port: int = 0) -> Iterator[None]:
    """Raise a DeploymentError in the place of an error of the engine."""
    try:
        yield
    except docker.errors.DockerException as error:
        if "port is already allocated" in str(error) or "address already in use" in str(error):
            message = f"Port {port} is taken. Choose another one with -p port, or 0 for any free port."
            raise DeploymentError(message) from None
        raise DeploymentError(f"The image {image} cannot be run: {error}") from None


def remove_orphans(client: DockerClient) -> None:
    """Remove temporary containers whose owner was killed."""
    for container in client.containers.list(all=True, filters={"label": OWNER_LABEL}, ignore_removed=True):
        if not psutil.pid_exists(int(container.labels[OWNER_LABEL])):
            remove_container(client, container.id)


def find_server(container: Container) -> str:
    """Return the container's address once its server is healthy."""

    def find_running() -> str:
        container.reload()
        if container.status != "running":
            code = container.attrs.get("State", {}).get("ExitCode")
            raise DeploymentError(f"The container died at its start, with exit code {code}. {end_of_log()}")
        return find_address(container)

    def end_of_log() -> str:
        return f"Its log ends:\n{container.logs(tail=LOG_LINES).decode(errors='replace').rstrip()}"

    def explain() -> str:
        return f"The container did not answer within {START_TIMEOUT_S:g} s. {end_of_log()}"

    return wait_until_healthy(find_running, explain=explain)


def find_address(container: Container) -> str:
    """Return the address at which a running container publishes its server's port; empty if it publishes none."""
    container.reload()
    bindings = container.ports.get(f"{PORT}/tcp")
    return f"http://127.0.0.1:{bindings[0]['HostPort']}" if bindings else ""


def remove_container(client: DockerClient, name: str) -> None:
    """Remove a container, if it exists, without a stop."""
    with suppress(docker.errors.APIError):
        client.containers.get(name).remove(force=True, v=True)
