"""A store with all that a copy or a backup has to keep."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric
from mlflow.tracking._tracking_service import utils
from tests.support.registry import add_version
from tests.support.stores import NewStore, all_runs

from boostlab.registry.history import Stage
from boostlab.registry.transition import apply_transition, request_transition
from boostlab.registry.view import view_model
from boostlab.tracking.experiments import find_experiment
from boostlab.tracking.store import OpenStore, find_store, open_store

Open = Callable[[str], OpenStore]
ODD = "a b#/ü%.txt"  # a name that addresses do not keep


@pytest.fixture
def open_at(tmp_path: Path) -> Open:
    """Return a function that opens the store at an address."""
    return lambda address: open_store(find_store(address, project=tmp_path))


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> Path:
    """Return the folder of a filled SQLite store, to copy from: it takes seconds to make."""
    folder = tmp_path_factory.mktemp("filled") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        fill(open_store(find_store(new_store(folder), project=folder)))
    return folder


@pytest.fixture
def source(tmp_path: Path, filled: Path, open_at: Open) -> OpenStore:
    """Return a SQLite store with a registered model of three versions, without the second, and a run of plain MLflow."""
    shutil.copytree(filled, tmp_path / "source")
    forget_places()
    return open_at(f"sqlite:///{tmp_path}/source/mlflow.db")  # which finds its own artifacts


def forget_places() -> None:
    """Let MLflow find the artifacts of each run anew: it keeps a run's address for the life of a process."""
    utils._artifact_repos_cache.clear()


def fill(store: OpenStore) -> None:
    """Give a store all that a copy has to keep."""
    client = store.client
    for rounds in (40, 41, 42):
        add_version(client, "sugar", rounds=rounds)
    client.delete_model_version("sugar", "2")
    first = client.get_model_version("sugar", "1")
    promote(store, 1, "production", first.run_id)
    client.update_registered_model("sugar", "it finds sugar")
    client.update_model_version("sugar", "3", "the deepest")
    client.set_registered_model_tag("sugar", "team", "blood")
    experiment = find_experiment("plain", store, tags={"mlflow.note.content": "by hand"})
    run_id = client.create_run(experiment, start_time=1_700_000_000_000, run_name="parent").info.run_id
    model = client.get_logged_model(client.get_run(first.run_id).outputs.model_outputs[0].model_id)
    values = [1.5, math.nan, math.inf, -math.inf, 1 / 3]
    points = [Metric("m", value, 1_700_000_000_000 + step, step - 2) for step, value in enumerate(values)]
    client.log_batch(run_id, metrics=points)
    client.log_metric(first.run_id, "judged", 0.25, timestamp=7, step=3, model_id=model.model_id)
    client.log_param(run_id, "long", "x" * 5000)
    client.set_tag(run_id, "boostlab.champion", first.run_id)
    data = Dataset("sugar", "abc", "local", '{"uri": "x"}', schema="{}", profile="{}")
    client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "eval")])], [LoggedModelInput(model.model_id)])
    client.log_text(run_id, "text", "deep/er/file.txt")
    client.set_terminated(run_id, "FAILED", 1_700_000_009_000)
    client.create_run(experiment, run_name="child", tags={"mlflow.parentRunId": run_id})
    client.set_terminated(find_run(store, "child").info.run_id, "KILLED")


def promote(store: OpenStore, version: int, stage: Stage, run_id: str) -> None:
    """Promote a version of `sugar`, as the run of this id."""
    request = request_transition(view_model(store.client, "sugar"), "promote", version=version, stage=stage)
    apply_transition(store.client, request, who="ana", run_id=run_id)


def find_run(store: OpenStore, name: str) -> Any:
    """Return the run of a name."""
    (run,) = [run for run in all_runs(store.client) if run.info.run_name == name]
    return run


def summarise(store: OpenStore) -> dict[str, Any]:
    """Return what a store holds, by names in the place of ids, as plain MLflow clients read it."""
    client = store.client
    found: dict[str, Any] = {}
    experiments = {each.experiment_id: each for each in client.search_experiments()}
    runs = [client.get_run(run.info.run_id) for run in all_runs(client)]  # a search leaves out the models that were used
    names = {run.info.run_id: run.info.run_name for run in runs}
    models = {model.model_id: model for model in client.search_logged_models(list(experiments))}
    named = names | {model_id: f"model of {names[model.source_run_id]}" for model_id, model in models.items()}
    for run in runs:
        curves = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
        found[f"run {run.info.run_name}"] = {
            "experiment": experiments[run.info.experiment_id].name,
            "info": (run.info.status, run.info.start_time, run.info.end_time),
            "params": run.data.params,
            "curves": {key: sorted(repr((p.value, p.timestamp, p.step)) for p in curve) for key, curve in curves.items()},
            "tags": {key: _name(value, named) for key, value in run.data.tags.items() if key != "boostlab.copied_from"},
            "datasets": [(*dict(used.dataset).values(), [dict(tag) for tag in used.tags]) for used in run.inputs.dataset_inputs],
            "models": [named[each.model_id] for each in (*run.inputs.model_inputs, *run.outputs.model_outputs)],
        }
    for model_id, model in models.items():
        judged = [(point.key, point.value, point.step, named[point.run_id]) for point in model.metrics or []]
        found[named[model_id]] = (model.name, model.model_type, str(model.status), model.params, judged)
    for model in client.search_registered_models():
        aliases = {alias: int(number) for alias, number in model.aliases.items()}
        found[f"registered {model.name}"] = (model.description, model.tags, aliases)
        for version in client.search_model_versions(f"name = '{model.name}'"):
            tags = {key: _name(value, named) for key, value in version.tags.items()}
            found[f"{model.name} {version.version}"] = (names[version.run_id], version.description or "", tags)
    found["experiments"] = {each.name: each.tags for each in experiments.values()}
    return found


def _name(text: str, named: dict[str, str]) -> str:
    for each, name in named.items():
        text = text.replace(each, name)
    return text
