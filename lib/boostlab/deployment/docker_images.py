"""Images in the Docker engine: built, found, pushed; why one cannot be, in plain words.

What goes into one is the concern of :mod:`boostlab.deployment.context`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import docker

from boostlab.deployment.context import STAGE
from boostlab.deployment.docker_containers import SHOWN_LINES, DeploymentError, DockerClient

STAGE_AGE = "24h"


class BuildError(DeploymentError):
    """An image cannot be built; `log` is all that the engine said."""

    def __init__(self, message: str, *, log: str) -> None:
        super().__init__(message)
        self.log = log


def build_image(client: DockerClient, context: Path, tag: str) -> str:
    """Build the image that a context describes, and return the engine's log.

    Raises
    ------
    DeploymentError
        If it cannot be built; the message ends with the last lines of the log.
    """
    log: list[str] = []
    failure = ""
    try:
        for line in client.api.build(path=str(context), tag=tag, rm=True, forcerm=True, decode=True):
            log.append(line.get("stream", "") or line.get("status", ""))
            failure = failure or line.get("error", "")
    except docker.errors.DockerException as error:
        failure = str(error)
    drop_stages(client)
    text = "".join(log)
    if failure:
        raise BuildError(_explain_build(failure, text), log=f"{text}\n{failure}")
    return text


def drop_stages(client: DockerClient, stage: str = "build", *, age: str = STAGE_AGE) -> None:
    """Remove what builds of ours left of a first stage, nothing else's.

    Younger ones stay: a build that is going on elsewhere may copy from them, and the next one finds its packages in them.
    """
    with suppress(docker.errors.DockerException):  # such as: another one is at it; the build stands all the same
        client.images.prune({"dangling": True, "label": f"{STAGE}={stage}", "until": age})


def find_image(client: DockerClient, reference: str) -> Any:
    """Return an image that the engine has.

    Raises
    ------
    DeploymentError
        If it has none of that name.
    """
    try:
        return client.images.get(reference)
    except docker.errors.ImageNotFound:
        raise DeploymentError(f"The engine has no image {reference}. Build it: leave `-p build False` out.") from None


def push_image(client: DockerClient, repository: str, tag: str) -> str:
    """Push an image and return the digest that the registry knows it by.

    Raises
    ------
    DeploymentError
        If the registry does not take it.
    """
    digest = ""
    try:
        for line in client.api.push(repository, tag=tag, stream=True, decode=True):
            if "error" in line:
                raise DeploymentError(f"The registry does not take {repository}:{tag}: {line['error'].strip()}")
            digest = line.get("aux", {}).get("Digest", digest)
    except docker.errors.DockerException as error:
        raise DeploymentError(f"The registry does not take {repository}:{tag}: {error}") from None
    return digest


def _explain_build(failure: str, log: str) -> str:
    lines = "\n".join(log.splitlines()[-SHOWN_LINES:])
    if "no space left on device" in (failure + log).lower():
        return f"The engine has no disk space left. `docker system prune` frees some. The build ended:\n{lines}\n{failure}"
    if "pull access denied" in failure or "manifest unknown" in failure or "manifest for" in failure:
        return f"The base image is not to be had: {failure.strip()} Pull it, or name another: -p base_image python:3.11-slim."
    if "dial tcp" in failure or "lookup" in failure or "request canceled" in failure:
        return f"The base image is not here, and its registry cannot be reached: {failure.strip()} Load it, or name another."
    return f"The image cannot be built. The build ended:\n{lines}\n{failure.strip()}"
