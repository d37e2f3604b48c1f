"""A version that is to be deployed: which one, what its images are called, and the files that build and run them elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from boostlab.deployment.context import name_repository, write_context
from boostlab.deployment.docker_containers import PORT
from boostlab.deployment.manifests import render_compose, render_kubernetes
from boostlab.deployment.settings import Deploy
from boostlab.errors import LabError
from boostlab.models.loading import fetch_version
from boostlab.registry.view import choose_version

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Candidate:
    """A version that is to be deployed.

    Attributes
    ----------
    model, version, stage, run_id
        Which one, and where it came from.
    folder : pathlib.Path
        Its MLflow Model on this machine.
    repository : str
        What its images are called, with the registry in front if there is one.
    labels : dict of str to str
        What its image says of itself.
    pushed : bool
        Whether its image goes to a registry.
    """

    model: str
    version: int
    stage: str
    run_id: str
    folder: Path
    repository: str
    labels: dict[str, str]
    pushed: bool

    @property
    def reference(self) -> str:
        """The name of this version's image."""
        return f"{self.repository}:v{self.version}"


def choose_candidate(client: MlflowClient, settings: Deploy, *, commit: str = "") -> Candidate:
    """Return the version that is in a stage, or the one that is named.

    Raises
    ------
    LabError
        If there is none, or its files are gone.
    """
    version = choose_version(client, settings.model, stage=settings.stage, number=settings.version)  # type: ignore[arg-type]
    number = version.number
    repository = settings.image or name_repository(settings.model)
    labels = {
        "org.opencontainers.image.title": settings.model,
        "org.opencontainers.image.version": str(number),
        "org.opencontainers.image.revision": commit,
        "boostlab.model": settings.model,
        "boostlab.version": str(number),
        "boostlab.run": version.run_id,
        "boostlab.builder": settings.builder,
    }
    return Candidate(
        model=settings.model,
        version=number,
        stage=version.stage,
        run_id=version.run_id,
        folder=fetch_version(client, settings.model, number),
        repository=f"{settings.registry}/{repository}" if settings.registry else repository,
        labels=labels,
        pushed=bool(settings.registry),
    )


def write_output(candidate: Candidate, settings: Deploy) -> Path:
    """Write the build context and manifests for a pipeline that builds elsewhere, and return their folder."""
    name = candidate.repository.rpartition("/")[2]
    folder = Path(settings.folder or Path("build") / f"{name}-v{candidate.version}").expanduser().resolve()
    if folder.exists() and any(folder.iterdir()):
        raise LabError(f"{folder} is not empty. Name another folder: -p folder PATH.")
    write_context(settings.builder, candidate.folder, folder / "context", labels=candidate.labels, base_image=settings.base_image)
    for file, text in render_manifests(candidate, candidate.reference, port=settings.port).items():
        (folder / file).write_text(text, encoding="utf-8")
    return folder


def render_manifests(candidate: Candidate, image: str, *, port: int = 0) -> dict[str, str]:
    """Return the files that run an image elsewhere, by name."""
    name = name_repository(candidate.repository.rpartition("/")[2])
    return {
        "compose.yaml": render_compose(name, image, port=port or PORT),
        "kubernetes.yaml": render_kubernetes(name, image, labels=candidate.labels),
    }
