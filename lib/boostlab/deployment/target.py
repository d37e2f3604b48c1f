"""The target version: which version to deploy, the name of its image, and the files to build and run it elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from boostlab.deployment.context import PORT, SHARED_PORT_LABEL, name_repository, write_context
from boostlab.deployment.manifests import render_manifests
from boostlab.deployment.settings import Deploy
from boostlab.errors import LabError
from boostlab.models.loading import TRUST, check_model, fetch_version
from boostlab.registry.view import choose_version, list_models, read_run
from boostlab.tracking.facts import CARD_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Target:
    """The version to deploy.

    `run_id` names the run that trained it, `folder` holds its MLflow Model on this machine, and `labels` are its image's.
    `repository` is the image's name without its tag; it starts with the address of the Docker registry, if there is one.
    """

    model: str
    version: int
    stage: str
    run_id: str
    folder: Path
    repository: str
    labels: dict[str, str]

    @property
    def reference(self) -> str:
        """The name of the version's image."""
        return f"{self.repository}:v{self.version}"

    @property
    def image_name(self) -> str:
        """The last part of the repository."""
        return self.repository.rpartition("/")[2]

    @property
    def service_name(self) -> str:
        """The image's name in the form that Compose and Kubernetes accept."""
        return name_repository(self.image_name)


def choose_target(client: MlflowClient, settings: Deploy, *, commit: str = "") -> Target:
    """Return the version of the given number, or the version in the given stage.

    Raises
    ------
    LabError
        If there is no such version, its files are missing, boostlab did not make it and its code is not trusted, or the images
        of another model would have the same name.
    """
    chosen = choose_version(client, settings.model, stage=settings.stage, number=settings.version)  # type: ignore[arg-type]
    folder = fetch_version(client, settings.model, chosen.number)
    check_model(folder, trust_code=settings.trust_code, option=f"-p builder mlflow {TRUST}")
    repository = settings.image or _name_own_repository(client, settings.model)
    run = read_run(client, chosen.run_id)
    card = run.data.tags.get(CARD_TAG, "") if run else ""
    labels = {
        "org.opencontainers.image.title": settings.model,
        "org.opencontainers.image.version": str(chosen.number),
        "org.opencontainers.image.revision": commit,
        "boostlab.model": settings.model,
        "boostlab.version": str(chosen.number),
        "boostlab.run": chosen.run_id,
        "boostlab.builder": settings.builder,
        **({CARD_TAG: f"runs:/{chosen.run_id}/{card}"} if card else {}),
    }
    return Target(
        model=settings.model,
        version=chosen.number,
        stage=chosen.stage,
        run_id=chosen.run_id,
        folder=folder,
        repository=f"{settings.push_to}/{repository}" if settings.push_to else repository,
        labels=labels,
    )


def _name_own_repository(client: MlflowClient, model: str) -> str:
    name = name_repository(model)
    others = [str(other.name) for other in list_models(client) if other.name != model and name_repository(other.name) == name]
    if others:
        raise LabError(
            f"The images of {model!r} would be named {name!r}, as those of {', '.join(map(repr, others))}. A version of one "
            "would replace the same version of the other. Name the images: -p image NAME."
        )
    return name


def write_output(target: Target, settings: Deploy) -> Path:
    """Write the build context and the manifests for a build elsewhere, and return their folder.

    Raises
    ------
    LabError
        If the folder is not empty.
    """
    folder = Path(settings.folder or Path("build") / f"{target.image_name}-v{target.version}").expanduser().resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LabError(f"{folder} is a file, or not empty. Choose another folder: -p folder PATH.")
    write_context(
        settings.builder,
        target.folder,
        folder / "context",
        labels=target.labels,
        base_image=settings.base_image,
        trust_code=settings.trust_code,
    )
    labels = target.labels | ({SHARED_PORT_LABEL: "1"} if settings.builder == "lean" else {})
    manifests = render_manifests(target.service_name, target.reference, labels=labels, port=settings.port or PORT)
    for name, text in manifests.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
