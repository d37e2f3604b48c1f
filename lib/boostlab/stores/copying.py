"""Copy a store into another one, of any kinds: experiments, runs, logged models, registered models.

A copy is found by its tag ``boostlab.copied_from``, and has its final status only when all of it was written. So a copy that was
killed continues where it stopped, and a second one finds nothing to do. What is missing in the target is added; what differs
there is left as it is and named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from boostlab.errors import LabError
from boostlab.stores.contents import COPIED_FROM, Item, read_experiments, read_items
from boostlab.stores.facts import Facts, list_differences
from boostlab.stores.pair import CopyReport, Outcome, Pair
from boostlab.stores.registered import copy_registered
from boostlab.stores.transfer import transfer_item
from boostlab.tracking.experiments import find_experiment
from boostlab.tracking.store import OpenStore, Store

if TYPE_CHECKING:
    from mlflow.entities import Experiment


def copy_store(
    source: OpenStore,
    target: OpenStore,
    *,
    experiments: Sequence[str] = (),
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> CopyReport:
    """Copy experiments of a store, or all of them, into another store, and check each copy as read back from the target.

    Parameters
    ----------
    experiments : sequence of str
        The names of the experiments; empty: all. A registered model is copied if all its versions come from these.
    dry_run : bool
        Whether to only report what would be done.
    progress : callable
        Gets the number of items that are done, and of all.

    Raises
    ------
    LabError
        If both are one store, there is no such experiment, or another copy into the target is running.
    StoreError
        If a store is lost; the same call continues.
    """
    if source.uri == target.uri:
        raise LabError(f"{source.shown} is both source and target. Name another store as the target.")
    pair = Pair(source, target, CopyReport(), dry_run)
    with _alone(target):
        chosen = read_experiments(source, experiments)
        originals = _leave_open(pair, read_items(source, [each.experiment_id for each in chosen]))
        known = read_items(target, [each.experiment_id for each in read_experiments(target)], deleted=True)
        copies = {item.origin: item for item in known}
        pair.ids |= {item.id: copies[item.origin].id for item in originals if item.origin in copies}
        places = {each.experiment_id: _copy_experiment(pair, each) for each in chosen}
        originals = [item for item in originals if places[item.experiment_id] is not None]
        _create_copies(pair, originals, copies, places)
        for done, item in enumerate(originals):
            progress(done, len(originals))
            with pair.guard(item.kind, item.shown):
                transfer_item(pair, item, copies.get(item.origin))
        progress(len(originals), len(originals))
        copy_registered(pair, read_items(source, [each.experiment_id for each in chosen]), subset=bool(experiments))
    return pair.report


def _leave_open(pair: Pair, items: list[Item]) -> list[Item]:
    """Return the items that are complete in the source, and note the others."""
    pair.report.waiting += [f"{item.shown} is {item.status}" for item in items if item.is_open]
    return [item for item in items if not item.is_open]


def _copy_experiment(pair: Pair, experiment: Experiment) -> str | None:
    """Make an experiment in the target, or add the tags that it lacks; return its id, or None if it cannot be used."""
    name, tags = experiment.name, experiment.tags
    client = pair.target.client
    with pair.guard("experiment", f"experiment {name}"):
        there = client.get_experiment_by_name(name)
        if there is None and pair.is_dry:
            pair.report.note("experiment", "copied")
            return ""
        number = find_experiment(name, pair.target, tags=tags)  # refuses one that was deleted
        found = dict(there.tags) if there else tags
        missing = {key: value for key, value in tags.items() if key not in found}
        for key, value in missing.items() if not pair.is_dry else ():
            client.set_experiment_tag(number, key, value)
        wanted: Facts = {("tag", key): value for key, value in tags.items() if key in found}
        differing = list_differences(wanted, {("tag", key): value for key, value in found.items()})
        outcome: Outcome = "copied" if there is None else "completed" if missing else "unchanged"
        pair.report.note("experiment", outcome, *(f"experiment {name}: {words}" for words in differing))
        return number
    return None


def _create_copies(pair: Pair, originals: Sequence[Item], copies: dict[str, Item], places: dict[str, str | None]) -> None:
    """Make each run and logged model that the target lacks, without content."""
    for item in sorted(originals, key=lambda item: item.kind, reverse=True):  # a model names its run
        if item.origin not in copies and not pair.is_dry:
            with pair.guard(item.kind, item.shown):
                copies[item.origin] = _create(pair, item, str(places[item.experiment_id]))
                pair.ids[item.id] = copies[item.origin].id


def _create(pair: Pair, item: Item, experiment_id: str) -> Item:
    client, tags = pair.target.client, {COPIED_FROM: item.origin}
    if item.kind == "run":
        info = item.entity.info
        needed = {key: value for key, value in item.tags.items() if key == "mlflow.user"}  # it names the run's owner
        made = client.create_run(experiment_id, start_time=info.start_time, tags=tags | needed, run_name=item.name)
        return Item.of_run(made)
    run_id = pair.ids.get(item.entity.source_run_id or "")
    of = {"source_run_id": run_id, "params": dict(item.entity.params), "model_type": item.entity.model_type}
    return Item.of_model(client.create_logged_model(experiment_id, name=item.name, tags=tags, **of))


@contextmanager
def _alone(target: Store) -> Iterator[None]:
    """Hold the lock of copies into a target on this host: two at a time would make each copy twice."""
    digest = hashlib.sha256(target.uri.encode()).hexdigest()[:16]
    try:
        with FileLock(user_state_path("boostlab", ensure_exists=True) / f"copy-{digest}.lock", timeout=0):
            yield
    except Timeout:
        raise LabError(f"Another copy into {target.shown} is running on this host. Wait for its end.") from None
