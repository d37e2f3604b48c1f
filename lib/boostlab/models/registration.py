"""Registration: the model that a run logged becomes a version of a registered model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from boostlab.errors import LabError, StoreError
from boostlab.models.artifacts import fetch_artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

CARD_PATH = "model_card.md"  # the artifact of a run that becomes the description of its versions
MOST_DESCRIBED = 5000  # characters, the limit of a database store
VERSIONS_TAG = "mlflow.modelVersions"  # MLflow's page of a logged model links to the versions in this tag


def register_run(client: MlflowClient, run_id: str, name: str) -> int:
    """Register the model that a run logged, and return its version. If it is registered by that name, return that version.

    Raises
    ------
    LabError
        If the store has no such run, or the run logged no model.
    """
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise LabError(f"The store has no run {run_id!r}. Copy the id from the run's page, or from the train notebook.") from None
    logged = [output.model_id for output in run.outputs.model_outputs] if run.outputs else []
    if not logged:
        raise LabError(
            f"The run {run.info.run_name} ({run_id}) is {run.info.status} and logged no model. "
            "Choose a run of train.ipynb that is FINISHED."
        )
    return register_model(client, client.get_logged_model(logged[-1]), name, is_repeated=True)


def register_model(client: MlflowClient, model: LoggedModel, name: str, *, is_repeated: bool = False) -> int:
    """Add a version to a registered model, and return it. Create the registered model if it does not exist.

    If `is_repeated`, the logged model may be a version of it already: then return that version.
    """
    from mlflow.exceptions import MlflowException

    if is_repeated and (known := _find_versions(client, model, name)):
        _note_version(client, model, name, max(known))
        return max(known)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # A local registry resolves `models:/…` in the default store of this process, which may be another one.
    source = f"models:/{model.model_id}" if client.tracking_uri.startswith("http") else model.artifact_location
    with as_default_store(client.tracking_uri):
        version = client.create_model_version(
            name, source=source, run_id=model.source_run_id, model_id=model.model_id, description=_read_description(client, model)
        )
    _note_version(client, model, name, int(version.version))
    return int(version.version)


def fetch_card(client: MlflowClient, run_id: str) -> str | None:
    """Return the model card of a run in Markdown; None if it has recorded none."""
    return fetch_artifact(client, run_id, CARD_PATH, partial(Path.read_text, encoding="utf-8"))


def _read_description(client: MlflowClient, model: LoggedModel) -> str | None:
    """Return the model card of the model's run, as much of it as a description holds; None if the run has no card."""
    run_id = model.source_run_id
    try:
        card = fetch_card(client, run_id) if run_id else None
    except StoreError as error:
        if error.kind not in ("gone", "refused"):
            raise
        return None  # a version is worth more than its description
    if not card or len(card) <= MOST_DESCRIBED:
        return card
    rest = f"\n\nThe whole card is {CARD_PATH} of the run {run_id}.\n"
    whole = card.rfind("\n## ", 0, MOST_DESCRIBED - len(rest))  # sections before the cut stay whole
    return card[: whole if whole > 0 else MOST_DESCRIBED - len(rest)].rstrip() + rest


def _find_versions(client: MlflowClient, model: LoggedModel, name: str) -> list[int]:
    """Return the versions of a registered model that a logged model is."""
    sources = (f"models:/{model.model_id}", model.artifact_location)  # database stores do not keep the model's id
    versions = client.search_model_versions(f"run_id = '{model.source_run_id}'")
    return [int(version.version) for version in versions if version.name == name and version.source in sources]


def _note_version(client: MlflowClient, model: LoggedModel, name: str, version: int) -> None:
    known = json.loads(client.get_logged_model(model.model_id).tags.get(VERSIONS_TAG, "[]"))
    if not any(item["name"] == name and int(item["version"]) == version for item in known):
        known.append({"name": name, "version": version})
        client.set_logged_model_tags(model.model_id, {VERSIONS_TAG: json.dumps(known)})


@contextmanager
def as_default_store(uri: str) -> Iterator[None]:
    """Make a store of plain files MLflow's default store, because its registry looks for the model there."""
    import mlflow

    if not uri.startswith("file:"):
        yield
        return
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else ""
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
