"""Delivery: send a run's journal to the tracking store, each entry once.

All calls of a run to the store are made here, by the run's owner or, for an orphaned run, by whoever completes it. MLflow is
imported where it is used, so that a refused command stays fast.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boostlab.errors import StoreError
from boostlab.models.registration import register_model
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.journal import Entry, Journal
from boostlab.tracking.store import OpenStore, as_store_error, check_reachable

if TYPE_CHECKING:
    from mlflow import MlflowClient

METRICS_PER_CALL = 1000
PARAMS_PER_CALL = 100
PARAM_LENGTH = 6000  # characters, MLflow's limit for the value of a parameter
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's UI opens on models instead of prompts
REFUSAL_LENGTH = 600  # characters of MLflow's message that are passed on
REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "PERMISSION_DENIED")


def create_run(journal: Journal, store: OpenStore) -> str:
    """Make the run that a journal describes, write its ids into the journal, and return the run's id.

    Raises
    ------
    StoreError
        If the experiment was deleted, or the store refuses the run.
    """
    from mlflow.entities import Param

    facts = journal.facts()
    with as_store_error(store):
        experiment_id = _find_experiment(facts.experiment, store)
        run = store.client.create_run(experiment_id, start_time=facts.start_time, tags=facts.tags, run_name=facts.run_name)
        journal.note_ids(run_id=run.info.run_id, experiment_id=experiment_id)
        params = [Param(name, value[:PARAM_LENGTH]) for name, value in facts.params.items()]
        for start in range(0, len(params), PARAMS_PER_CALL):
            store.client.log_batch(run.info.run_id, params=params[start : start + PARAMS_PER_CALL])
    return str(run.info.run_id)


def send(journal: Journal, store: OpenStore) -> int:
    """Send the unsent entries in order, and return their number.

    An entry with invalid content is marked as sent, with the store's refusal as its receipt; the notebook raises it.

    Raises
    ------
    StoreError
        If the store is lost; the journal keeps everything.
    """
    pending = [entry for entry in journal.entries() if entry.receipt is None]
    if not pending:
        return 0
    from mlflow.exceptions import MlflowException

    facts = journal.facts()
    with as_store_error(store):
        check_reachable(store)
        for entry in pending:
            try:
                receipt = _send_entry(store.client, facts, entry)
            except MlflowException as error:
                if error.error_code not in REFUSALS:
                    raise
                receipt = {"refused": error.message[:REFUSAL_LENGTH]}
            entry.mark_sent(receipt)
    return len(pending)


def complete(journal: Journal, store: OpenStore) -> str:
    """Send the rest of an ended run, remove its journal, and return the run's id. A run that the store has lost is made again.

    Raises
    ------
    StoreError
        If the store is lost; the journal stays.
    """
    with as_store_error(store):
        check_reachable(store)
        is_known = _knows_run(store.client, journal.facts().run_id)
    if not is_known:
        create_run(journal, store)
        for entry in journal.entries():
            entry.mark_unsent()
    send(journal, store)
    run_id = journal.facts().run_id
    journal.remove()
    return run_id


def add_end(journal: Journal, status: str, tags: dict[str, str], *, end_s: float | None = None) -> None:
    """Add the final status, ``FINISHED``, ``FAILED`` or ``KILLED``, with its time in seconds since the epoch (default: now)."""
    if tags:
        journal.add("tags", tags)
    journal.add("end", {"status": status, "end_time": int((end_s or time.time()) * 1000)})


def _send_entry(client: MlflowClient, facts: RunFacts, entry: Entry) -> dict[str, Any]:
    """Send one entry, and return its receipt."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, RunTag

    content = entry.read()
    match entry.type:
        case "metrics":
            metrics = [Metric(*point) for point in content["points"]]
            for start in range(0, len(metrics), METRICS_PER_CALL):
                client.log_batch(facts.run_id, metrics=metrics[start : start + METRICS_PER_CALL])
        case "tags":
            client.log_batch(facts.run_id, tags=[RunTag(key, str(value)) for key, value in content.items()])
        case "files":
            client.log_artifacts(facts.run_id, str(entry.files))
        case "dataset":
            context = InputTag("mlflow.data.context", content.pop("context"))
            client.log_inputs(facts.run_id, [DatasetInput(Dataset(**content), [context])])
        case "model":
            return _send_model(client, facts, entry)
        case "end":
            client.set_terminated(facts.run_id, content["status"], content["end_time"])
        case unknown:
            raise ValueError(f"An entry of the journal has the unknown type {unknown!r}.")
    return {}


def _send_model(client: MlflowClient, facts: RunFacts, entry: Entry) -> dict[str, Any]:
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    from boostlab.models.packaging import package_model

    wanted = entry.read()
    logged = client.create_logged_model(
        facts.experiment_id, name=wanted["name"], source_run_id=facts.run_id, model_type="boostlab"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        ids = {"run_id": facts.run_id, "model_uuid": logged.model_id, "model_id": logged.model_id}
        description = Model(artifact_path=logged.artifact_location, **ids)
        package_model(entry.files, folder, mlflow_model=description)
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(facts.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    receipt = {"model_id": logged.model_id, "model_uri": f"models:/{logged.model_id}"}
    if wanted["register_as"]:
        receipt["version"] = register_model(client, logged, wanted["register_as"])
    return receipt


def _find_experiment(name: str, store: OpenStore) -> str:
    from mlflow.exceptions import MlflowException

    client = store.client
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        slug = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)[:60].strip(".")
        location = (store.artifact_root / (slug or "_")).as_uri() if store.artifact_root else None
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # made by another process in the meantime
    if experiment is None or experiment.lifecycle_stage == "deleted":
        raise StoreError(
            f"The experiment {name!r} was deleted in {store.shown}. Name another one, or restore it: "
            f"mlflow experiments restore --experiment-id {experiment.experiment_id if experiment else '…'}"
        )
    return str(experiment.experiment_id)


def _knows_run(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(run_id) and client.get_run(run_id) is not None
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
