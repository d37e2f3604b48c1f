"""One execution of ``registry.ipynb``, step by step, and the requests that it sends to the registry."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

import pytest
from mlflow import MlflowClient
from tests.support.paths import PROJECT
from tests.support.registry import add_run, copy_version, registry_settings
from tests.support.runs import make_facts

from boostlab.errors import GateError
from boostlab.registry.operation import open_operation
from boostlab.registry.plots import plot_timeline
from boostlab.registry.tables import tabulate_history, tabulate_versions
from boostlab.tracking.journal import Journal
from boostlab.tracking.run import Run

GATE = PROJECT / "parameters" / "registry" / "gate.yaml"


class CountingClient(MlflowClient):
    """An MLflow client that counts how often boostlab reads a registered model and its versions.

    MLflow's client itself looks a model up before each write. These calls are not counted.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(uri, uri)
        self.reads: Counter[str] = Counter()

    def get_registered_model(self, name: str) -> Any:
        self.reads["model"] += sys._getframe(1).f_globals["__name__"].startswith("boostlab.")
        return super().get_registered_model(name)

    def search_model_versions(self, *args: Any, **options: Any) -> Any:
        self.reads["versions"] += 1
        return super().search_model_versions(*args, **options)


@pytest.fixture
def journal(local_client: Any) -> Journal:
    tags = {"mlflow.user": "ana"}
    return Journal.create(make_facts(store=local_client.tracking_uri, tags=tags, run_id="a1b2", experiment_id="1"))


def test_one_promotion_reads_the_model_twice(client: Any, name: str, journal: Journal) -> None:
    copy_version(client, name)
    counting, run = CountingClient(client.tracking_uri), Run(journal)
    operation = open_operation(counting, registry_settings(model=name, version=1, stage="staging"))
    tables = [tabulate_versions(counting, view) for view in operation.views]
    operation = operation.judge(GATE)
    tables.append(operation.tabulate_results())
    operation = operation.apply(run)
    for view in operation.views:
        tables += [tabulate_history(view), tabulate_versions(counting, view)]
        plot_timeline(view)
    assert all(table.rows for table in tables)
    assert counting.reads == {"model": 2, "versions": 2}  # to show it, and to check it before the alias is set
    assert operation.describe() == f"Version 1 of `{name}` went from none to **staging**; the gate let it pass."
    assert f"#/models/{name}/versions/1)" in operation.link(run)
    assert int(client.get_model_version_by_alias(name, "staging").version) == 1


def test_logs_the_gates_results_before_it_blocks(local_client: Any, name: str, journal: Journal) -> None:
    copy_version(local_client, name)
    operation = open_operation(local_client, registry_settings(model=name, version=1, stage="production")).judge(GATE)
    with pytest.raises(GateError, match="none to production is not allowed"):
        operation.apply(Run(journal))
    (path,) = journal.path.rglob("findings.json")
    assert json.loads(path.read_text())[0]["rule"] == "allowed_transitions"


def test_describes_an_overridden_gate_and_a_name_with_a_backtick(local_client: Any, journal: Journal) -> None:
    copy_version(local_client, "su`gar")
    settings = registry_settings(model="su`gar", version=1, stage="production", override=True, reason="so")
    operation = open_operation(local_client, settings).judge(GATE).apply(Run(journal))
    assert operation.describe() == "Version 1 of `` su`gar `` went from none to **production**; the gate was overridden."


def test_registers_a_run_once_without_a_transition(local_client: Any, name: str, journal: Journal) -> None:
    settings = registry_settings(model=name, run_id=add_run(local_client))
    for _ in range(2):
        operation = open_operation(local_client, settings).judge(GATE).apply(Run(journal))
        assert operation.describe() == f"Version 1 of `{name}` is registered."
    assert not operation.tabulate_results().rows


def test_shows_the_first_ten_models_if_none_is_named(local_client: Any, name: str, journal: Journal) -> None:
    for number in range(11):
        local_client.create_registered_model(f"{name}-{number:02d}")
    operation = open_operation(local_client, registry_settings())
    assert len(operation.views) == 10
    assert operation.judge(GATE).apply(Run(journal)).describe() == "No transition was requested."
