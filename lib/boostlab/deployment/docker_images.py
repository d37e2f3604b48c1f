"""Images in the Docker engine: build, find and push them.

:mod:`boostlab.deployment.context` decides what goes into an image.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker

from boostlab.deployment.context import STAGE_LABEL
from boostlab.deployment.docker_containers import LOG_LINES, DockerClient
from boostlab.errors import DeploymentError


def build_image(
    client: DockerClient,
    context: Path,
    tag: str,
    *,
    log: list[str] | None = None,
    arguments: Mapping[str, str] | None = None,
    platform: str = "",
) -> None:
    """Build the image that a context describes, and append the engine's messages to `log`.

    Parameters
    ----------
    arguments : mapping of str to str
        Build arguments, such as the address of a package index or of a proxy.
    platform : str
        Such as ``linux/arm64``; empty: the engine's own.

    Raises
    ------
    DeploymentError
        If the build fails; the message ends with the last lines of the log.
    """
    log, failure = [] if log is None else log, ""
    try:
        options = {"buildargs": dict(arguments or {}), "platform": platform or None}
        for line in client.api.build(path=str(context), tag=tag, rm=True, forcerm=True, decode=True, **options):
            log.append(line.get("stream", "") or line.get("status", ""))
            failure = failure or line.get("error", "")
    except docker.errors.DockerException as error:
        failure = str(error)
    remove_stages(client)
    if failure:
        raise DeploymentError(explain_build(failure, "".join(log)))


def explain_build(error: str, log: str) -> str:
    """Explain why a build failed, and what to do."""
    error, lines = error.strip(), "\n".join(log.splitlines()[-LOG_LINES:])
    if "no space left on device" in (error + log).lower():
        return f"The engine has no disk space left. `docker system prune` frees some. The build ended:\n{lines}\n{error}"
    if "pull access denied" in error or "manifest unknown" in error or "manifest for" in error:
        return f"The base image cannot be pulled: {error} Pull it yourself, or choose another: -p base_image python:3.11-slim."
    if "dial tcp" in error or "lookup" in error or "request canceled" in error:
        reason = f"The base image is not on this machine, and its registry cannot be reached: {error}"
        return f"{reason} Load it with `docker load`, or choose another: -p base_image NAME."
    return f"The image cannot be built. The build ended:\n{lines}\n{error}"


def remove_stages(client: DockerClient, stage: str = "build", *, age: str = "24h") -> None:
    """Remove the first-stage images that boostlab's builds left behind, and no other image.

    Younger ones stay: a build that runs at the same time may copy from them, and the next build reuses their packages.
    """
    with suppress(docker.errors.DockerException):  # for example, another prune is running; the new image is not affected
        client.images.prune({"dangling": True, "label": f"{STAGE_LABEL}={stage}", "until": age})


def find_image(client: DockerClient, reference: str) -> Any:
    """Return the engine's image of this name.

    Raises
    ------
    DeploymentError
        If the engine has none.
    """
    try:
        return client.images.get(reference)
    except docker.errors.ImageNotFound:
        raise DeploymentError(f"The engine has no image {reference}. Build it: omit `-p build False`.") from None


def read_file(client: DockerClient, image: str, path: str) -> str:
    """Return the text of a file in an image, without running it."""
    container = client.containers.create(image)
    try:
        chunks, _ = container.get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile(archive.next() or "")
            return file.read().decode() if file else ""
    finally:
        container.remove()


def push_image(client: DockerClient, repository: str, tag: str) -> str:
    """Push an image and return its digest in the registry.

    Raises
    ------
    DeploymentError
        If the registry refuses it or cannot be reached.
    """
    failure = digest = ""
    try:
        for line in client.api.push(repository, tag=tag, stream=True, decode=True):
            failure = failure or line.get("error", "")
            digest = line.get("aux", {}).get("Digest", digest)
    except docker.errors.DockerException as error:
        failure = str(error)
    if failure:
        raise DeploymentError(f"The registry does not accept {repository}:{tag}: {failure.strip()}")
    return digest
