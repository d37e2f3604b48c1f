"""The ledger of a registered model: which transition has which number. The store decides, for all hosts.

MLflow offers no transactions to its clients, but the name of an experiment is unique in each kind of store: of several hosts
that create the same name, one succeeds. An entry of the ledger is an experiment whose name holds the model, its time of creation
and the number. Its tags hold the transitions. It is made in one step, which decides. The aliases and the tags of the versions
follow. Then the entry is deleted, which hides it and keeps its name.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from boostlab.registry.history import Transition, read_transitions
from boostlab.registry.view import ModelView

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

TAG = "boostlab.ledger."
TAG_LENGTH = 5000  # characters, MLflow's limit for the tag of an experiment
POLL_S = 0.2


def claim(client: MlflowClient, view: ModelView, number: int, transitions: Sequence[Transition]) -> bool:
    """Make the entry of this number, and return True; False if another process has made it."""
    from mlflow.exceptions import MlflowException

    text = json.dumps([{"version": item.version, "key": item.key, "value": item.to_tag()} for item in transitions])
    parts = [text[start : start + TAG_LENGTH] for start in range(0, len(text), TAG_LENGTH)]
    try:
        client.create_experiment(_name(view, number), tags={f"{TAG}{index:02d}": part for index, part in enumerate(parts)})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        found = _find(client, view, number)  # our own, if the answer to a first request was lost
        return found is not None and transitions[-1] in _read(found)
    return True


def wait(client: MlflowClient, view: ModelView, number: int, timeout_s: float) -> list[Transition]:
    """Wait until the maker of an entry has applied it; return its transitions if that does not happen in time, else none."""
    deadline = time.monotonic() + timeout_s
    while True:
        entry = _find(client, view, number)
        if entry is None or entry.lifecycle_stage == "deleted":
            return []
        if time.monotonic() > deadline:
            return _read(entry)
        time.sleep(POLL_S)


def close(client: MlflowClient, view: ModelView, number: int) -> None:
    """Note that an entry is applied."""
    entry = _find(client, view, number)
    if entry is not None and entry.lifecycle_stage != "deleted":
        client.delete_experiment(entry.experiment_id)


def _find(client: MlflowClient, view: ModelView, number: int) -> Experiment | None:
    return client.get_experiment_by_name(_name(view, number))


def _name(view: ModelView, number: int) -> str:
    digest = hashlib.sha256(f"{view.created_ms} {view.name}".encode()).hexdigest()[:16]
    readable = re.sub(r"[^\w .-]", "_", view.name)[:60]  # stores of plain files search for no quotes
    return f"boostlab ledger {readable} {digest} {number}"


def _read(entry: Experiment) -> list[Transition]:
    text = "".join(value for key, value in sorted(entry.tags.items()) if key.startswith(TAG))
    return [item for facts in json.loads(text) for item in read_transitions(facts["version"], {facts["key"]: facts["value"]})]
