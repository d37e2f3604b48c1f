"""Retention: find old runs that no version, no stage and no other run needs, and delete them with their artifacts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from boostlab.errors import LabError
from boostlab.registry.view import list_models, search_versions
from boostlab.stores.artifacts import list_files, open_repository
from boostlab.stores.contents import ID, Item, read_experiments, read_item, read_items
from boostlab.tracking.store import OpenStore, as_store_error

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Unneeded:
    """A run that nothing needs, with the logged models that only it names."""

    run: Item
    models: tuple[Item, ...]
    size_bytes: int  #: of all their artifacts


def find_unneeded(store: OpenStore, *, days: float, experiments: Sequence[str] = ()) -> list[Unneeded]:
    """Return the runs that ended long ago and that nothing needs, the oldest first.

    A run is needed if a registered version, its history of stages, or a needed run names it, in a tag or as an input: directly,
    or by a model that it has logged. A run that was deleted is unneeded as long as its artifacts are there.

    Parameters
    ----------
    days : float
        How long ago a run must have ended.
    experiments : sequence of str
        The names of the experiments to search; empty: all. Runs of all experiments count as needing others.

    Raises
    ------
    LabError
        If the number of days is negative, or there is no such experiment.
    """
    if not days >= 0:
        raise LabError(f"{days:g} days is no age. Give 0 or more.")
    chosen = {each.experiment_id for each in read_experiments(store, experiments)}
    items = {item.id: item for item in read_items(store, [each.experiment_id for each in read_experiments(store)], deleted=True)}
    runs = [item for item in items.values() if item.kind == "run"]
    before = time.time() * 1000 - days * DAY_MS
    old = {run.id for run in runs if run.experiment_id in chosen and _has_ended(run, before)}
    with as_store_error(store):
        registered = [text for model in list_models(store.client) for text in _registry_texts(store, model.name)]
    kept = [item.id for item in items.values() if item.kind == "run" and item.id not in old and not item.is_deleted]
    needed = _close(store, items, [*kept, *_ids(registered)])
    found = []
    for run in sorted(runs, key=lambda run: int(run.entity.info.end_time or 0)):
        if run.id in old and run.id not in needed:
            models = tuple(each for each in items.values() if each.kind == "model" and each.entity.source_run_id == run.id)
            with as_store_error(store):
                size = sum(sum(list_files(store, item.location).values()) for item in (run, *models))
            if size or not run.is_deleted:
                found.append(Unneeded(run, models, size))
    return found


def delete_unneeded(store: OpenStore, unneeded: Iterable[Unneeded]) -> Iterator[Unneeded]:
    """Delete runs with their models and artifacts, and yield each one that was deleted.

    A run of which a version was registered in the meantime stays. What is left of a run is a row in the store, which MLflow
    marks as deleted.
    """
    client = store.client
    for each in unneeded:
        with as_store_error(store):
            if client.search_model_versions(f"run_id = '{each.run.id}'", max_results=1):
                continue
            if not each.run.is_deleted:
                client.delete_run(each.run.id)
            for item in (each.run, *each.models):
                if list_files(store, item.location):
                    open_repository(store, item.location).delete_artifacts()
            for model in each.models:
                client.delete_logged_model(model.id)
        yield each


def _has_ended(run: Item, before_ms: float) -> bool:
    return not run.is_open and (run.entity.info.end_time or run.entity.info.start_time) < before_ms


def _registry_texts(store: OpenStore, name: str) -> Iterator[str]:
    """Yield each text of a registered model that can name a run: sources, run ids, and tags with the history of stages."""
    model = store.client.get_registered_model(name)
    yield from model.tags.values()
    for version in search_versions(store.client, name):
        yield from (version.source or "", version.run_id or "", version.model_id or "", *version.tags.values())


def _ids(texts: Iterable[str]) -> Iterator[str]:
    return (found[0] for text in texts for found in ID.finditer(text))


def _close(store: OpenStore, items: dict[str, Item], first: Iterable[str]) -> set[str]:
    """Return the ids of all that the first ones need, themselves included."""
    needed: set[str] = set()
    waiting = [each for each in first if each in items]
    while waiting:
        item = items[waiting.pop()]
        if item.id not in needed:
            needed.add(item.id)
            waiting += [each for each in _needs(read_item(store, item)) if each in items]
    return needed


def _needs(item: Item) -> Iterator[str]:
    yield from _ids(item.tags.values())
    if item.kind == "model":
        yield item.entity.source_run_id or ""
        return
    yield from (each.model_id for each in (item.entity.inputs.model_inputs if item.entity.inputs else []))
    yield from (each.model_id for each in (item.entity.outputs.model_outputs if item.entity.outputs else []))
