"""The facts of a run, a logged model or a registered model, each under a key: what a copy needs, and what it is compared by.

A key begins with the kind of the fact. Ids of runs and logged models in the facts are those of their copies, so that the facts
of an original and of its copy are equal.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from boostlab.models.registration import VERSIONS_TAG
from boostlab.stores.contents import COPIED_FROM, Item, translate
from boostlab.tracking.store import OpenStore

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Metric, Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

Key = tuple[str, ...]
Facts = dict[Key, str]
NOT_COPIED = (COPIED_FROM, VERSIONS_TAG)  # tags; registration writes the second one again
SHORT = 60  # characters of a value in a message


def describe_item(store: OpenStore, item: Item, ids: Mapping[str, str]) -> Facts:
    """Return the facts of a run or a logged model, without its artifacts; references to what `ids` lacks are left out."""
    tags = {key: value for key, value in item.tags.items() if key not in NOT_COPIED}
    facts: Facts = {("tag", key): translate(value, ids) for key, value in tags.items()}
    more = _describe_run(store, item.entity, ids) if item.kind == "run" else _describe_model(item.entity, ids)
    return facts | {("name",): item.name} | dict(more)


def add_facts(store: OpenStore, copy: Item, original: Item, facts: Facts) -> None:
    """Write facts of the original to its copy."""
    from mlflow.entities import LoggedModelInput, LoggedModelOutput, Metric, Param, RunTag

    client, run_id = store.client, copy.id
    tags = {key[1]: value for key, value in facts.items() if key[0] == "tag"}
    points = [key[1:] for key in facts if key[0] == "metric"]
    if copy.kind == "model":
        if tags:
            client.set_logged_model_tags(copy.id, tags)
        for name, value, timestamp, step, run_id, dataset, digest in points:
            of = {"model_id": copy.id, "run_id": run_id, "dataset_name": dataset or None, "dataset_digest": digest or None}
            client.log_batch(run_id, metrics=[Metric(name, float(value), int(timestamp), int(step), **of)])
        return
    client.log_batch(
        run_id,
        metrics=[Metric(name, float(value), int(timestamp), int(step)) for name, value, timestamp, step in points],
        params=[Param(key[1], value) for key, value in facts.items() if key[0] == "parameter"],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )
    inputs = original.entity.inputs.dataset_inputs if original.entity.inputs else []
    used = [LoggedModelInput(key[1]) for key in facts if key[0] == "input"]
    datasets = [each for each in inputs if ("dataset", each.dataset.name, each.dataset.digest) in facts]
    if datasets or used:
        client.log_inputs(run_id, datasets, used or None)
    if made := [LoggedModelOutput(key[1], int(key[2])) for key in facts if key[0] == "output"]:
        client.log_outputs(run_id, made)


def end_copy(store: OpenStore, copy: Item, original: Item) -> None:
    """Give a copy the final status of the original; it is complete then."""
    if copy.kind == "run":
        store.client.set_terminated(copy.id, original.status, original.entity.info.end_time)
    else:
        store.client.finalize_logged_model(copy.id, original.status)


def describe_registered(
    model: RegisteredModel, versions: Mapping[int, ModelVersion], places: Mapping[int, str], ids: Mapping[str, str]
) -> Facts:
    """Return the facts of a registered model; `places` names the files of each version by the copy that has them."""
    facts: Facts = {("description",): model.description or ""}
    facts |= {("tag", key): translate(value, ids) for key, value in model.tags.items()}
    facts |= {("alias", alias): str(number) for alias, number in model.aliases.items()}
    for number, version in versions.items():
        shown = str(number)
        facts[("version", shown)] = places[number]
        facts[("version description", shown)] = version.description or ""
        facts |= {("version tag", shown, key): translate(value, ids) for key, value in version.tags.items()}
    return {key: value for key, value in facts.items() if value or "description" not in key[0]}


def find_missing(wanted: Facts, found: Facts, ids: Mapping[str, str]) -> Facts:
    """Return the facts that a copy lacks, and those that name an original whose copy was made later."""
    return {key: value for key, value in wanted.items() if key not in found or _is_outdated(found[key], value, ids)}


def list_differences(wanted: Facts, found: Facts) -> list[str]:
    """Return in words which facts of an original its copy lacks or has otherwise."""
    words = []
    for key, value in wanted.items():
        shown = " ".join(key)
        if key not in found:
            words.append(f"{shown} is missing in the target")
        elif found[key] != value and key[0] == "file":
            words.append(f"{shown} has another content in the target")
        elif found[key] != value:
            words.append(f"{shown} is {value[:SHORT]!r} in the source and {found[key][:SHORT]!r} in the target")
    return words


def _is_outdated(found: str, wanted: str, ids: Mapping[str, str]) -> bool:
    return found != wanted and translate(found, ids) == wanted


def _describe_run(store: OpenStore, run: Run, ids: Mapping[str, str]) -> Iterator[tuple[Key, str]]:
    yield ("start",), str(run.info.start_time)
    yield ("end",), f"{run.info.status} {run.info.end_time}"
    for name, value in run.data.params.items():
        yield ("parameter", name), value
    for name in run.data.metrics:
        for point in store.client.get_metric_history(run.info.run_id, name):
            yield ("metric", *_write_point(point)), ""
    for used in run.inputs.dataset_inputs if run.inputs else []:
        yield ("dataset", used.dataset.name, used.dataset.digest), json.dumps(sorted((tag.key, tag.value) for tag in used.tags))
    for model in run.inputs.model_inputs if run.inputs else []:
        if model.model_id in ids:
            yield ("input", ids[model.model_id]), ""
    for model in run.outputs.model_outputs if run.outputs else []:
        if model.model_id in ids:
            yield ("output", ids[model.model_id], str(model.step)), ""


def _describe_model(model: LoggedModel, ids: Mapping[str, str]) -> Iterator[tuple[Key, str]]:
    yield ("status",), str(model.status)
    yield ("type",), model.model_type or ""
    yield ("run",), ids.get(model.source_run_id or "", "")
    for name, value in model.params.items():
        yield ("parameter", name), value
    for point in model.metrics or []:
        if point.run_id in ids:
            of = ids[point.run_id], point.dataset_name or "", point.dataset_digest or ""
            yield ("metric", *_write_point(point), *of), ""


def _write_point(point: Metric) -> tuple[Any, ...]:
    """Return the texts of one point of a curve; databases keep an infinite value as the largest finite one."""
    value = float(point.value)
    text = "nan" if math.isnan(value) else repr(max(-sys.float_info.max, min(sys.float_info.max, value)))
    return point.key, text, str(point.timestamp), str(point.step)
