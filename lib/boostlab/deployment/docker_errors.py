"""Docker's errors, explained: what failed, why, and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import docker

from boostlab.errors import DeploymentError

LOG_LINES = 15  # of a log's end, in a message
WITHOUT_ENGINE = (
    "Without an engine, `-p output context` writes the build context, and `-p output process` serves the model on this machine."
)


@contextmanager
def explained(explain: Callable[[str], str]) -> Iterator[None]:
    """Turn an error of the Docker client into a DeploymentError with the message that `explain` makes of its text."""
    try:
        yield
    except docker.errors.DockerException as error:
        raise DeploymentError(explain(str(error))) from None


def explain_connection(error: str, address: str) -> str:
    """Explain why the engine at an address does not answer."""
    if "PermissionError" in error or "permission denied" in error.lower():
        reason = f"This user may not talk to the Docker engine at {address}. Join the group docker, or use a rootless engine."
    else:
        reason = f"No Docker engine answers at {address}. Start one, or set DOCKER_HOST to its address."
    return f"{reason} {WITHOUT_ENGINE}"


def explain_build(error: str, log: str) -> str:
    """Explain why a build failed."""
    error, lines = error.strip(), "\n".join(log.splitlines()[-LOG_LINES:])
    if "no space left on device" in (error + log).lower():
        return f"The engine has no disk space left. `docker system prune` frees some. The build ended:\n{lines}\n{error}"
    if "pull access denied" in error or "manifest unknown" in error or "manifest for" in error:
        return f"The base image cannot be pulled: {error} Pull it yourself, or choose another: -p base_image python:3.11-slim."
    if "dial tcp" in error or "lookup" in error or "request canceled" in error:
        reason = f"The base image is not on this machine, and its registry cannot be reached: {error}"
        return f"{reason} Load it with `docker load`, or choose another: -p base_image NAME."
    return f"The image cannot be built. The build ended:\n{lines}\n{error}"


def explain_run(error: str, image: str, port: int) -> str:
    """Explain why a container does not start."""
    if "port is already allocated" in error or "address already in use" in error:
        return f"Port {port} is taken. Choose another one with -p port, or 0 for any free port."
    return f"The image {image} cannot be run: {error}"


def explain_push(error: str, reference: str) -> str:
    """Explain why a push failed."""
    return f"The registry does not accept {reference}: {error.strip()}"
