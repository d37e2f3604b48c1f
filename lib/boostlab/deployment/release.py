"""The image of a target version: build it, serve it for the verification, release it, and keep it running.

A new image has a temporary name. Only a verified image gets the names that people use.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from boostlab.deployment.context import SBOM, write_context
from boostlab.deployment.docker_containers import DockerClient, connect_engine, run_image
from boostlab.deployment.docker_images import build_image, find_image, push_image, read_file
from boostlab.deployment.kept_service import keep_image
from boostlab.deployment.manifests import render_manifests
from boostlab.deployment.service import Service
from boostlab.deployment.settings import Deploy
from boostlab.deployment.target import Target
from boostlab.deployment.verification import VerificationReport
from boostlab.errors import DeploymentError
from boostlab.registry.view import IMAGE_TAG
from boostlab.tracking.run import Run

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Image:
    """An image in the engine that is not released yet."""

    reference: str
    id: str
    size_mb: float
    build_s: float


def make_image(target: Target, run: Run, settings: Deploy) -> Image:
    """Build the target's image under a temporary name, or find its released image.

    The engine's log and the Dockerfile go into the run, also if the build fails.

    Raises
    ------
    DeploymentError
        If the build fails, or the released image is missing.
    """
    engine = connect_engine()
    started = time.monotonic()
    reference = target.reference
    if settings.build:
        reference = f"{target.repository}:unverified-{run.facts.run_id[:8]}"
        _build(engine, target, run, settings, reference)
    found = find_image(engine, reference)
    return Image(reference, str(found.id), found.attrs["Size"] / 1e6, time.monotonic() - started)


@contextmanager
def serve_image(target: Target, image: Image) -> Iterator[Service]:
    """Serve an image until the block ends; an image that cannot be verified loses its temporary name."""
    engine = connect_engine()
    try:
        with run_image(engine, image.reference) as service:
            yield service
    except BaseException:
        _remove_temporary_name(engine, image, target)
        raise


def release_image(target: Target, image: Image, report: VerificationReport, *, run: Run, client: MlflowClient, push: bool) -> str:
    """Name an image that passed every check, push it if `push`, note its name with digest on the version, and return them.

    Raises
    ------
    DeploymentError
        If a check failed, or the Docker registry refuses the image. The image then gets no name.
    """
    engine = connect_engine()
    tags = [f"v{target.version}", *(["production"] if target.stage == "production" else [])]
    previous = {tag: _find_id(engine, f"{target.repository}:{tag}") for tag in tags}
    try:
        report.raise_if_failed()
        for tag in tags:
            find_image(engine, image.reference).tag(target.repository, tag)
        digests = [push_image(engine, target.repository, tag) for tag in tags if push]
    except DeploymentError:
        for tag, image_id in previous.items():  # each tag goes back to the image that had it
            if image_id:
                engine.images.get(image_id).tag(target.repository, tag)
            elif _find_id(engine, f"{target.repository}:{tag}"):
                engine.images.remove(f"{target.repository}:{tag}")
        raise
    finally:
        _remove_temporary_name(engine, image, target)
    released = f"{target.reference}@{digests[0] if digests else image.id}"
    client.set_model_version_tag(target.model, str(target.version), IMAGE_TAG, released)
    run.log_tags({IMAGE_TAG: released})
    labels = find_image(engine, target.reference).labels
    for name, text in render_manifests(target.service_name, target.reference, labels=labels).items():
        run.log_text(text, f"manifests/{name}")
    return released


def keep_running(target: Target, settings: Deploy) -> Service:
    """Leave the released image running; it replaces the container of an earlier deployment."""
    return keep_image(connect_engine(), target.reference, name=f"boostlab-{target.service_name}", port=settings.port)


def _build(engine: DockerClient, target: Target, run: Run, settings: Deploy, reference: str) -> None:
    with tempfile.TemporaryDirectory(prefix="boostlab-context-") as temporary:
        context = Path(temporary) / "context"
        write_context(
            settings.builder,
            target.folder,
            context,
            labels=target.labels,
            base_image=settings.base_image,
            trust_code=settings.trust_code,
        )
        run.log_text((context / "Dockerfile").read_text(encoding="utf-8"), "build/Dockerfile")
        log: list[str] = []
        try:
            build_image(engine, context, reference, log=log, arguments=settings.build_args, platform=settings.platform)
        finally:
            run.log_text("".join(log), "build/log.txt")
    if settings.builder == "lean":
        run.log_text(read_file(engine, reference, SBOM), "build/sbom.cdx.json")


def _find_id(engine: DockerClient, reference: str) -> str:
    try:
        return str(find_image(engine, reference).id)
    except DeploymentError:
        return ""


def _remove_temporary_name(engine: DockerClient, image: Image, target: Target) -> None:
    if image.reference != target.reference:
        engine.images.remove(image.reference)
