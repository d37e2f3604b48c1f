"""What a store holds: its experiments, runs and logged models, and the places of their artifacts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from boostlab.errors import LabError, suggest
from boostlab.registry import ledger
from boostlab.tracking.store import OpenStore, as_store_error

if TYPE_CHECKING:
    from mlflow.entities import Experiment, LoggedModel, Run

COPIED_FROM = "boostlab.copied_from"  # tag of a copy: the id of the original, also in a copy of a copy
OPEN = ("RUNNING", "SCHEDULED", "PENDING", "UNSPECIFIED")  # the status of what may still be written
ID = re.compile(r"(?<![0-9A-Za-z-])(?:m-)?[0-9a-f]{32}(?![0-9A-Za-z])")
PAGE = 1000
MODEL_PAGE = 50


@dataclass(frozen=True)
class Item:
    """A run or a logged model."""

    kind: Literal["run", "model"]
    entity: Any  #: MLflow's own record
    id: str
    experiment_id: str
    name: str
    status: str
    location: str  #: address of its artifacts
    tags: Mapping[str, str]
    is_deleted: bool = False

    @classmethod
    def of_run(cls, run: Run) -> Item:
        """Return a run as an item."""
        info = run.info
        facts = (info.run_id, info.experiment_id, info.run_name or info.run_id, info.status, info.artifact_uri.rstrip("/"))
        return cls("run", run, *facts, run.data.tags, is_deleted=info.lifecycle_stage == "deleted")

    @classmethod
    def of_model(cls, model: LoggedModel) -> Item:
        """Return a logged model as an item."""
        facts = (model.model_id, model.experiment_id, model.name, str(model.status), model.artifact_location.rstrip("/"))
        return cls("model", model, *facts, model.tags)

    @property
    def origin(self) -> str:
        """The id of the original: its own, unless it is a copy."""
        return str(self.tags.get(COPIED_FROM, self.id))

    @property
    def is_open(self) -> bool:
        """Whether it may still be written."""
        return self.status in OPEN

    @property
    def shown(self) -> str:
        """Its kind, name and id, for people."""
        return f"{'run' if self.kind == 'run' else 'logged model'} {self.name} ({self.id})"


def read_experiments(store: OpenStore, names: Sequence[str] = ()) -> list[Experiment]:
    """Return the active experiments of a store, or those of the given names.

    Raises
    ------
    LabError
        If the store has no experiment of a name.
    """
    from mlflow.utils import get_results_from_paginated_fn

    client = store.client
    with as_store_error(store):
        found = get_results_from_paginated_fn(
            lambda most, token: client.search_experiments(max_results=most, page_token=token), PAGE
        )
    known = {each.name: each for each in found if not any(key.startswith(ledger.TAG) for key in each.tags)}  # belong to one store
    for name in names:
        if name not in known:
            has = ", ".join(sorted(known))
            raise LabError(f"{store.shown} has no experiment {name!r}.{suggest(name, known)} It has: {has}.")
    return [known[name] for name in names] if names else list(known.values())


def read_items(store: OpenStore, experiment_ids: Iterable[str], *, deleted: bool = False) -> list[Item]:
    """Return the logged models and the runs of experiments; if `deleted`, those runs too that were deleted."""
    from mlflow.entities import ViewType
    from mlflow.utils import get_results_from_paginated_fn

    client, ids, view = store.client, list(experiment_ids), ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    if not ids:
        return []
    with as_store_error(store):
        models = get_results_from_paginated_fn(
            lambda most, token: client.search_logged_models(ids, max_results=most, page_token=token), MODEL_PAGE
        )
        runs = get_results_from_paginated_fn(
            lambda most, token: client.search_runs(ids, run_view_type=view, max_results=most, page_token=token), PAGE
        )
    return [*map(Item.of_model, models), *map(Item.of_run, runs)]


def read_item(store: OpenStore, item: Item) -> Item:
    """Return an item as the store has it now, whole: a search leaves out which models a run has used."""
    with as_store_error(store):
        if item.kind == "run":
            return Item.of_run(store.client.get_run(item.id))
        return Item.of_model(store.client.get_logged_model(item.id))


def translate(text: str, ids: Mapping[str, str]) -> str:
    """Return a text with each id of a run or a logged model replaced by the id of its copy."""
    return ID.sub(lambda found: ids.get(found[0], found[0]), text)
