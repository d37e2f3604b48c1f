"""Build, check, release and keep the image of a target version: the steps of ``deploy.ipynb``, in their order.

The target is chosen in :mod:`boostlab.deployment.target`, the build context written in
:mod:`boostlab.deployment.context`, and the answers compared in :mod:`boostlab.deployment.parity`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from boostlab.deployment import docker_containers as containers, docker_images as builds, parity as proof
from boostlab.deployment.context import name_repository, write_context
from boostlab.deployment.docker_containers import DeploymentError, DockerClient, Service
from boostlab.deployment.docker_images import BuildError
from boostlab.deployment.load_test import Load
from boostlab.deployment.parity import Check
from boostlab.deployment.settings import Deploy
from boostlab.deployment.target import Candidate, render_manifests
from boostlab.models.contract import Contract
from boostlab.models.loading import load_version
from boostlab.tracking.run import Run
from boostlab.training.holdout import fetch_rows

if TYPE_CHECKING:
    from mlflow import MlflowClient

IMAGE_TAG = "boostlab.image"  # on the model version: the image that it is deployed as
START_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Image:
    """An image in the engine that is not released yet."""

    reference: str
    id: str
    size_mb: float
    build_s: float


@dataclass(frozen=True)
class Evidence:
    """What a server showed.

    Attributes
    ----------
    checks : list of Check
    loads : dict of int to Load
        What so many clients saw.
    start_s : float
        From the order to start to the first answer.
    """

    checks: list[Check]
    loads: dict[int, Load]
    start_s: float

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]

    def metrics(self) -> dict[str, float]:
        """Return the figures for the run."""
        found = {"checks": float(len(self.checks)), "checks_failed": float(len(self.failed)), "start_s": self.start_s}
        for clients, load in self.loads.items():
            found |= {f"p50_ms_{clients}_clients": load.percentile_ms(0.5), f"p99_ms_{clients}_clients": load.percentile_ms(0.99)}
            found[f"requests_per_s_{clients}_clients"] = load.per_second
        return found


def make_image(candidate: Candidate, run: Run, settings: Deploy) -> Image:
    """Build the candidate's image under a name of its own, or find the one that it was released as.

    The engine's log and the Dockerfile go into the run, of a build that fails as well.

    Raises
    ------
    DeploymentError
        If it cannot be built, or is not there.
    """
    engine = containers.connect_engine()
    started = time.monotonic()
    reference = candidate.reference
    if settings.build:
        reference = f"{candidate.repository}:candidate-{run.facts.run_id[:8]}"
        _build(engine, candidate, run, settings, reference)
    found = builds.find_image(engine, reference)
    return Image(reference, str(found.id), found.attrs["Size"] / 1e6, time.monotonic() - started)


def gather_evidence(client: MlflowClient, candidate: Candidate, image: Image | None) -> Evidence:
    """Start a server, question it, and stop it: a container of the image, or a process where there is no image."""
    model = load_version(client, candidate.model, candidate.version)
    contract = Contract.read_model(candidate.folder)
    question = proof.take_question(model, contract.features, fetch_rows(client, candidate.run_id))
    example = json.loads((candidate.folder / "serving_input_example.json").read_text(encoding="utf-8"))
    answer = model.predict(model.metadata.load_input_example(str(candidate.folder))).tolist()
    with _serving(candidate, image) as service:
        checks = proof.check_answers(service.address, question, example, answer) + proof.check_refusals(service.address)
        loads = {clients: proof.time_answers(service.address, question, clients=clients) for clients in (1, proof.CLIENTS)}
    return Evidence(checks, loads, service.start_s)


@contextmanager
def _serving(candidate: Candidate, image: Image | None) -> Iterator[Service]:
    """Serve the candidate; an image that does not get through this loses its name."""
    if image is None:
        with run_process(candidate.folder) as service:
            yield service
        return
    engine = containers.connect_engine()
    try:
        with containers.run_image(engine, image.reference) as service:
            yield service
    except BaseException:
        _forget(engine, image, candidate)
        raise


def log_evidence(run: Run, evidence: Evidence, image: Image | None) -> None:
    """Record what a server showed."""
    sizes = {"image_mb": image.size_mb, "build_s": image.build_s} if image else {}
    run.log_metrics(evidence.metrics() | sizes)
    run.log_text(json.dumps([vars(check) for check in evidence.checks], indent=1), "proof/checks.json")


def release_image(client: MlflowClient, run: Run, candidate: Candidate, image: Image, evidence: Evidence) -> str:
    """Give an image that passed every check its names, push it where a registry is named, and note it on the version.

    Returns
    -------
    str
        The image's name and digest.

    Raises
    ------
    DeploymentError
        If a check failed: the image gets no name then, and the candidate is removed. If the registry refuses it.
    """
    engine = containers.connect_engine()
    if evidence.failed:
        _forget(engine, image, candidate)
        refuse_failures(evidence)
    tags = [f"v{candidate.version}", *([candidate.stage] if candidate.stage == "production" else [])]
    before = {tag: _find_id(engine, f"{candidate.repository}:{tag}") for tag in tags}
    try:
        for tag in tags:
            builds.find_image(engine, image.reference).tag(candidate.repository, tag)
        digests = [builds.push_image(engine, candidate.repository, tag) for tag in tags if candidate.pushed]
    except DeploymentError:
        for tag, old in before.items():
            _name_again(engine, candidate.repository, tag, old)
        raise
    finally:
        _forget(engine, image, candidate)
    digest = digests[0] if digests else image.id
    noted = f"{candidate.reference}@{digest}"
    client.set_model_version_tag(candidate.model, str(candidate.version), IMAGE_TAG, noted)
    run.log_tags({IMAGE_TAG: noted, "boostlab.model": candidate.model, "boostlab.version": str(candidate.version)})
    for file, text in render_manifests(candidate, candidate.reference).items():
        run.log_text(text, f"manifests/{file}")
    return noted


def refuse_failures(evidence: Evidence) -> None:
    """End here if a check failed."""
    if evidence.failed:
        names = "; ".join(f"{check.name}: {check.found}" for check in evidence.failed)
        raise DeploymentError(f"{len(evidence.failed)} of {len(evidence.checks)} checks failed, so nothing is released. {names}")


def keep_running(candidate: Candidate, settings: Deploy) -> Service:
    """Leave the released image running, in the place of its predecessor."""
    name = f"boostlab-{name_repository(candidate.repository.rpartition('/')[2])}"
    with containers.run_image(containers.connect_engine(), candidate.reference, port=settings.port, keep_as=name) as service:
        return service


@contextmanager
def run_process(folder: Path, *, port: int = 0) -> Iterator[Service]:
    """Serve a model on this machine, without an engine, until the block ends."""
    started = time.monotonic()
    command = [sys.executable, "-m", "boostlab.serving", str(folder), "--port", str(port)]
    with tempfile.NamedTemporaryFile("r") as log:  # a file, not a pipe: a server that nobody reads would stand still
        process = subprocess.Popen(command, stdout=log.fileno(), stderr=log.fileno())
        try:
            while time.monotonic() - started < START_TIMEOUT_S and process.poll() is None:
                first = Path(log.name).read_text(encoding="utf-8").partition("\n")
                if first[1] and containers.is_healthy(address := f"http://127.0.0.1:{json.loads(first[0])['port']}"):
                    break
                time.sleep(0.02)
            else:
                raise DeploymentError(f"The server does not start: {Path(log.name).read_text(encoding='utf-8').strip()}")
            yield Service(address, time.monotonic() - started)
        finally:
            process.terminate()
            process.wait()


def _build(engine: DockerClient, candidate: Candidate, run: Run, settings: Deploy, reference: str) -> None:
    with tempfile.TemporaryDirectory(prefix="boostlab-context-") as temporary:
        context = Path(temporary) / "context"
        write_context(settings.builder, candidate.folder, context, labels=candidate.labels, base_image=settings.base_image)
        run.log_text((context / "Dockerfile").read_text(encoding="utf-8"), "build/Dockerfile")
        try:
            run.log_text(builds.build_image(engine, context, reference), "build/log.txt")
        except BuildError as error:
            run.log_text(error.log, "build/log.txt")
            raise


def _find_id(engine: DockerClient, reference: str) -> str:
    try:
        return str(builds.find_image(engine, reference).id)
    except DeploymentError:
        return ""


def _name_again(engine: DockerClient, repository: str, tag: str, image_id: str) -> None:
    """Give a name back to the image that had it, or take it away if none had."""
    if image_id:
        engine.images.get(image_id).tag(repository, tag)
    else:
        engine.images.remove(f"{repository}:{tag}")


def _forget(engine: DockerClient, image: Image, candidate: Candidate) -> None:
    """Remove the name that an image had while nobody knew whether it is any good."""
    if image.reference != candidate.reference:
        engine.images.remove(image.reference)
