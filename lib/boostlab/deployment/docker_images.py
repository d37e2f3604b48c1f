"""Images in the Docker engine: build, find and push them.

:mod:`boostlab.deployment.context` decides what goes into an image.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import docker

from boostlab.deployment.context import STAGE_LABEL
from boostlab.deployment.docker_containers import DockerClient
from boostlab.deployment.docker_errors import explain_build, explain_push, explained
from boostlab.errors import DeploymentError

KEEP_STAGES_FOR = "24h"


def build_image(client: DockerClient, context: Path, tag: str, *, log: list[str] | None = None) -> None:
    """Build the image that a context describes, and append the engine's messages to `log`.

    Raises
    ------
    DeploymentError
        If the build fails; the message ends with the last lines of the log.
    """
    log, failure = [] if log is None else log, ""
    try:
        for line in client.api.build(path=str(context), tag=tag, rm=True, forcerm=True, decode=True):
            log.append(line.get("stream", "") or line.get("status", ""))
            failure = failure or line.get("error", "")
    except docker.errors.DockerException as error:
        failure = str(error)
    remove_stages(client)
    if failure:
        raise DeploymentError(explain_build(failure, "".join(log)))


def remove_stages(client: DockerClient, stage: str = "build", *, age: str = KEEP_STAGES_FOR) -> None:
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


def push_image(client: DockerClient, repository: str, tag: str) -> str:
    """Push an image and return its digest in the registry.

    Raises
    ------
    DeploymentError
        If the registry refuses it or cannot be reached.
    """
    reference, digest = f"{repository}:{tag}", ""
    with explained(lambda error: explain_push(error, reference)):
        for line in client.api.push(repository, tag=tag, stream=True, decode=True):
            if "error" in line:
                raise DeploymentError(explain_push(line["error"], reference))
            digest = line.get("aux", {}).get("Digest", digest)
    return digest
