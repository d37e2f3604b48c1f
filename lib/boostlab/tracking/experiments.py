"""The experiments of a store: found by name, or made."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from boostlab.errors import StoreError
from boostlab.tracking.store import OpenStore

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's UI opens on models instead of prompts


def find_experiment(name: str, store: OpenStore, *, tags: Mapping[str, str] = EXPERIMENT_TAGS) -> str:
    """Return the id of the experiment of a name, which is made with these tags if the store has none.

    Raises
    ------
    StoreError
        If the experiment was deleted.
    """
    from mlflow.exceptions import MlflowException

    client = store.client
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        slug = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)[:60].strip(".")
        location = f"{store.artifact_uri}/{quote(slug or '_')}" if store.artifact_uri else None
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=dict(tags)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # made by another process in the meantime
    if experiment is None or experiment.lifecycle_stage == "deleted":
        raise StoreError(
            f"The experiment {name!r} was deleted in {store.shown}. Name another one, or restore it: "
            f"mlflow experiments restore --experiment-id {experiment.experiment_id if experiment else '…'}",
            kind="refused",
        )
    return str(experiment.experiment_id)
