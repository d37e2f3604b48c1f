"""The evidence of a run: what it has recorded about its model, read from its journal while it runs, or from the store later."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boostlab.models.artifacts import fetch_artifact
from boostlab.tracking.journal import Journal
from boostlab.tracking.summary import read_results

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Evidence:
    """What a run has recorded."""

    run_id: str
    run_name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]  #: final ones; from a store, the last value of each curve too
    tags: Mapping[str, str]
    dataset: Mapping[str, str]  #: the fields of :class:`mlflow.entities.Dataset`; empty if the run recorded none
    read: Callable[[str], bytes | None] = field(repr=False, compare=False)  #: the content of an artifact; None if there is none

    def read_json(self, path: str) -> Any:
        """Return what a JSON artifact holds; None if the run has no such artifact."""
        content = self.read(path)
        return None if content is None else json.loads(content)


def read_evidence(journal: Journal) -> Evidence:
    """Return what a run in progress has recorded so far."""
    facts, results = journal.facts(), read_results(journal)
    files: dict[str, Path] = {}
    dataset: dict[str, str] = {}
    for entry in journal.entries():
        files |= {name: entry.files / name for name in entry.sizes} if entry.type == "files" else {}
        dataset = dict(entry.content) if entry.type == "dataset" else dataset

    def read(path: str) -> bytes | None:
        return files[path].read_bytes() if path in files else None

    tags = facts.tags | results.tags
    return Evidence(facts.run_id, facts.run_name, facts.params, results.metrics, tags, dataset, read)


def fetch_evidence(client: MlflowClient, run_id: str) -> Evidence:
    """Return what a run has recorded in a store.

    Raises
    ------
    StoreError
        If the store cannot be read. An artifact is fetched when it is asked for, which may raise the same.
    """
    run = client.get_run(run_id)
    inputs = run.inputs.dataset_inputs if run.inputs else []
    names = ("name", "digest", "source_type", "source", "schema", "profile")
    dataset = {name: getattr(inputs[0].dataset, name) or "" for name in names} if inputs else {}

    def read(path: str) -> bytes | None:
        return fetch_artifact(client, run_id, path, Path.read_bytes)

    return Evidence(run_id, run.info.run_name, run.data.params, run.data.metrics, run.data.tags, dataset, read)
