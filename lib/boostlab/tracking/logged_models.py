"""A run's models in the store: made, filled, ended, and registered once, also if an earlier attempt got no answer."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boostlab.errors import StoreError
from boostlab.models.registration import register_model
from boostlab.tracking.entries import Entry
from boostlab.tracking.facts import RunFacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

ENTRY_TAG = "boostlab.entry"  # of a logged model: the entry of the journal that it was made from


def send_model(client: MlflowClient, facts: RunFacts, entry: Entry, *, is_repeated: bool) -> dict[str, Any]:
    """Log the model of an entry, register it if the entry says so, and return the receipt.

    Parameters
    ----------
    is_repeated : bool
        Whether an earlier attempt may have had its effect: then what is there already is looked up.

    Raises
    ------
    StoreError
        If a file of the model is damaged.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    from boostlab.models.packaging import package_model

    if damaged := entry.damaged_files():
        raise StoreError(f"The model's files are damaged: {', '.join(damaged)}.", kind="refused")
    logged = _find_model(client, facts, entry) if is_repeated else None
    if logged is None:
        logged = client.create_logged_model(
            facts.experiment_id,
            name=entry.content["name"],
            source_run_id=facts.run_id,
            model_type="boostlab",
            tags={ENTRY_TAG: str(entry.start)},
        )
    if str(logged.status) != "READY":
        with tempfile.TemporaryDirectory(prefix=".", dir=entry.files.parent) as temporary:  # it goes with the journal
            folder = Path(temporary) / "model"
            ids = {"run_id": facts.run_id, "model_uuid": logged.model_id, "model_id": logged.model_id}
            description = Model(artifact_path=logged.artifact_location, **ids)
            package_model(entry.files, folder, mlflow_model=description)
            client.log_model_artifacts(logged.model_id, str(folder))
        client.finalize_logged_model(logged.model_id, "READY")
    if not (is_repeated and _has_output(client, facts.run_id, logged.model_id)):  # MLflow refuses the second time
        client.log_outputs(facts.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    receipt = {"model_id": logged.model_id, "model_uri": f"models:/{logged.model_id}"}
    if name := entry.content["register_as"]:
        receipt["version"] = register_model(client, logged, name, is_repeated=is_repeated)
    return receipt


def give_up_model(client: MlflowClient, facts: RunFacts, entry: Entry) -> None:
    """Mark a logged model whose files the store refuses as failed."""
    with contextlib.suppress(Exception):  # the refusal itself says more
        logged = _find_model(client, facts, entry)
        if logged is not None and str(logged.status) != "READY":
            client.finalize_logged_model(logged.model_id, "FAILED")


def _find_model(client: MlflowClient, facts: RunFacts, entry: Entry) -> LoggedModel | None:
    """Return the logged model of an entry, if an earlier attempt has made it."""
    found = client.search_logged_models([facts.experiment_id], filter_string=f"source_run_id = '{facts.run_id}'")
    return next((model for model in found if model.tags.get(ENTRY_TAG) == str(entry.start)), None)


def _has_output(client: MlflowClient, run_id: str, model_id: str) -> bool:
    outputs = client.get_run(run_id).outputs
    return bool(outputs) and model_id in [output.model_id for output in outputs.model_outputs]
