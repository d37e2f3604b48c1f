"""Copy registered models: versions with equal numbers, their tags with the history of stages, and the aliases last.

The history and the aliases belong together. So a registered model is copied whole, or left as it is if the target has changed
any of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from boostlab.errors import LabError, StoreError
from boostlab.models.registration import as_default_store, register_model
from boostlab.registry.history import PREFIX
from boostlab.registry.transition import hold_lock
from boostlab.registry.view import list_models, search_versions
from boostlab.stores.contents import COPIED_FROM, Item, read_experiments, read_items
from boostlab.stores.facts import Facts, describe_registered, find_missing, list_differences
from boostlab.stores.pair import Pair
from boostlab.tracking.store import OpenStore, as_store_error

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

GAP = "gap"  # tag `boostlab.copied_from` of a version that only takes a number, and is deleted at the end


class Places:
    """Where the files of versions are in one store: below which run or logged model."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.items = {item.id: item for item in items}
        self._by_location = {item.location: item for item in self.items.values()}

    def find(self, source: str) -> tuple[Item | None, str]:
        """Return the run or logged model that the source of a version belongs to, and the path below it."""
        if (found := re.fullmatch("models:/(m-[0-9a-f]+)", source)) and found[1] in self.items:
            return self.items[found[1]], ""
        head, path = source.rstrip("/"), ""
        while head and head not in self._by_location:
            head, _, name = head.rpartition("/")
            path = f"{name}/{path}".rstrip("/")
        return self._by_location.get(head), path if head else ""


def copy_registered(pair: Pair, originals: Iterable[Item], *, subset: bool) -> None:
    """Copy the registered models whose versions are among the originals; if not `subset`, the others are named as problems."""
    here, there = Places(originals), Places(_read_all(pair.target))
    with as_store_error(pair.source):
        names = [str(model.name) for model in list_models(pair.source.client)]
    for name in names:
        with pair.guard("registered model", f"registered model {name}"):
            _copy_model(pair, name, here, there, subset=subset)


def _copy_model(pair: Pair, name: str, here: Places, there: Places, *, subset: bool) -> None:
    with as_store_error(pair.source):
        versions = _read_versions(pair.source, name)  # a transition sets aliases before tags: these must not be the newer ones
        model = pair.source.client.get_registered_model(name)
    files = {number: here.find(version.source) for number, version in versions.items()}
    outside = [number for number, (item, _) in files.items() if item is None]
    if subset and versions and len(outside) == len(versions):
        return
    if outside:
        advice = "Copy its experiment too." if subset else "Only files of runs and logged models in the store are copied."
        raise LabError(f"version {outside[0]} has its files in {versions[outside[0]].source}. {advice}")
    for number, (item, _) in files.items():
        if item and not pair.is_dry and (item.id not in pair.ids or there.items[pair.ids[item.id]].is_open):
            raise LabError(f"the {item.shown} of version {number} is not whole in the target. Copy again when it is.")
    shown = {number: f"{pair.ids.get(item.id, item.id)}/{path}" for number, (item, path) in files.items() if item}
    wanted = describe_registered(model, versions, shown, pair.ids)
    with hold_lock(pair.target.client, name):
        found = _describe_target(pair.target, name, there)
        missing = find_missing(wanted, found or {}, pair.ids)
        if conflicts := _find_conflicts(wanted, found or {}, missing):
            raise LabError(f"it was changed in the target, and is left as it is: {'; '.join(conflicts[:3])}")
        if not pair.is_dry:
            if found is None:
                pair.target.client.create_registered_model(name)
            copies = {number: (there.items[pair.ids[item.id]], path) for number, (item, path) in files.items() if item}
            _create_versions(pair.target, name, copies)
            _write(pair.target, name, missing)
            differing = list_differences(wanted, _describe_target(pair.target, name, there) or {})
            if differing:
                raise StoreError(f"it differs after the copy: {'; '.join(differing[:3])}")
    pair.report.note("registered model", "copied" if found is None else "completed" if missing else "unchanged")
    for number in versions:
        pair.report.note("version", "copied" if ("version", str(number)) in missing else "unchanged")


def _describe_target(store: OpenStore, name: str, places: Places) -> Facts | None:
    """Return the facts of a registered model in the target, or None if there is none."""
    if name not in [str(model.name) for model in list_models(store.client)]:
        return None
    versions = _read_versions(store, name)
    shown = {}
    for number, version in versions.items():
        item, path = places.find(version.source)
        shown[number] = GAP if COPIED_FROM in version.tags else f"{item.id}/{path}" if item else version.source
    return describe_registered(store.client.get_registered_model(name), versions, shown, {})


def _find_conflicts(wanted: Facts, found: Facts, missing: Facts) -> list[str]:
    """Return what the target has otherwise, and which stages and numbers it has beyond the source."""
    conflicts = list_differences({key: value for key, value in wanted.items() if key not in missing}, found)
    last = max((int(key[1]) for key in found if key[0] == "version"), default=0)
    for key, value in found.items():
        is_transition = key[0] == "version tag" and key[2].startswith(PREFIX)
        if key not in wanted and (key[0] == "alias" or is_transition):
            conflicts.append(f"{' '.join(key)} = {value[:60]!r} is only in the target")
    taken = sorted(int(key[1]) for key in wanted if key[0] == "version" and key not in found and int(key[1]) <= last)
    return conflicts + [f"number {number} is taken or has passed in the target" for number in taken]


def _create_versions(store: OpenStore, name: str, files: Mapping[int, tuple[Item, str]]) -> None:
    """Make the versions that the target lacks, under equal numbers; a number that the source lacks is made and deleted."""
    last = max(_read_versions(store, name), default=0)
    for number in range(last + 1, max(files, default=0) + 1):
        item, path = files.get(number) or next(files[later] for later in sorted(files) if later > number)
        made = _create_version(store, name, item, path, is_gap=number not in files)
        if made != number:
            store.client.delete_model_version(name, str(made))
            raise LabError(f"the target gives number {made} to version {number}, because it had versions of this name before")
    for number, version in _read_versions(store, name).items():
        if version.tags.get(COPIED_FROM) == GAP:
            store.client.delete_model_version(name, str(number))


def _create_version(store: OpenStore, name: str, item: Item, path: str, *, is_gap: bool) -> int:
    if item.kind == "model" and not path and not is_gap:
        return register_model(store.client, item.entity, name)
    is_whole_model = item.kind == "model" and not path
    source = f"models:/{item.id}" if is_whole_model and store.uri.startswith("http") else f"{item.location}/{path}".rstrip("/")
    run_id, model_id = (item.id, None) if item.kind == "run" else (item.entity.source_run_id, item.id)
    of = {"run_id": run_id, "model_id": model_id, "tags": {COPIED_FROM: GAP} if is_gap else None}
    with as_default_store(store.uri):
        return int(store.client.create_model_version(name, source=source, **of).version)


def _write(store: OpenStore, name: str, missing: Facts) -> None:
    """Write the facts of a registered model, the aliases last: a stage must not have a version without its history."""
    client = store.client
    for key, value in sorted(missing.items(), key=lambda fact: fact[0][0] == "alias"):
        match key:
            case ("description",):
                client.update_registered_model(name, value)
            case ("tag", tag):
                client.set_registered_model_tag(name, tag, value)
            case ("version description", number):
                client.update_model_version(name, number, value)
            case ("version tag", number, tag):
                client.set_model_version_tag(name, number, tag, value)
            case ("alias", alias):
                client.set_registered_model_alias(name, alias, value)


def _read_versions(store: OpenStore, name: str) -> dict[int, ModelVersion]:
    found = {int(version.version): version for version in search_versions(store.client, name)}
    return dict(sorted(found.items()))


def _read_all(store: OpenStore) -> list[Item]:
    return read_items(store, [each.experiment_id for each in read_experiments(store)])
