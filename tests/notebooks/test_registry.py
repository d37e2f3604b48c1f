"""``registry.ipynb`` in headless runs, verified through a plain MLflow client."""

from __future__ import annotations

import json
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.paths import PROJECT
from tests.support.registry import STRONG, WEAK, add_run, add_version
from tests.support.servers import serve_mlflow
from tests.support.stores import NewStore, all_runs, artifacts, read_artifact

from boostlab.tracking.store import find_store, open_store

pytestmark = pytest.mark.slow

REGISTRY = PROJECT / "notebooks" / "registry.ipynb"
MAKE_RUNS = PROJECT / "benchmarks" / "compare_many" / "made.py"
Papermill = Callable[..., subprocess.CompletedProcess[str]]


def options(address: str, **values: Any) -> list[Any]:
    given = {"tracking_uri": address, **values}
    return [REGISTRY, "out.ipynb", *(item for name, value in given.items() for item in ("-p", name, value))]


def outputs(folder: Path) -> str:
    """Return all outputs of the executed notebook as text."""
    cells = json.loads((folder / "out.ipynb").read_text())["cells"]
    shown = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return "\n".join("".join(data.get("text/plain", "")) + "".join(data.get("text/markdown", "")) for data in shown)


def test_promotes_registers_archives_and_rolls_back(execute: Papermill, store: str, tmp_path: Path) -> None:
    client = open_store(find_store(store, project=tmp_path)).client
    add_version(client, "sugar", rounds=WEAK)
    run_id = add_run(client)
    for values in (
        {"version": 1, "stage": "Teste"},
        {"version": 1, "stage": "staging", "reason": "looks good"},
        {"version": 1, "stage": "produção"},
        {"run_id": run_id, "stage": "staging"},
        {"version": 2, "stage": "production", "reason": "better"},
        {"action": "rollback", "reason": "it drifts"},
    ):
        done = execute(*options(store, model="sugar", **values))
        assert done.returncode == 0, done.stderr
    shown = outputs(tmp_path)
    assert "Version 1 of `sugar` went from archived to **production**; the gate let it pass." in shown
    assert "sugar: versions" in shown and "sugar: history" in shown and "it drifts" in shown
    done = execute(*options(store, model="sugar", action="archive", version=2))
    assert "Version 2 of sugar is in archived already" in done.stderr

    aliases = {alias: int(version) for alias, version in client.get_registered_model("sugar").aliases.items()}
    assert aliases == {"production": 1}
    tags = client.get_model_version("sugar", "1").tags | client.get_model_version("sugar", "2").tags
    written = [json.loads(tags[key]) for key in sorted(tags) if key.startswith("boostlab.transition.")]
    assert [item["to"] for item in written] == ["test", "staging", "production", "staging", "production", "production"]
    for item in written:  # each transition is a run with its notebook and the gate's results
        run = client.get_run(item["run_id"])
        assert run.info.status == "FINISHED" and run.data.tags["boostlab.model"] == "sugar"
        kept = artifacts(client, item["run_id"])
        assert {"notebook/registry.ipynb", "gate/findings.json", "plots/timeline_0.png"} <= kept
        results = {
            each["rule"]: each["outcome"] for each in json.loads(read_artifact(client, item["run_id"], "gate/findings.json"))
        }
        assert results == item["gate"]["rules"]


def test_promotes_in_a_served_registry(execute: Papermill, new_store: NewStore, tmp_path: Path) -> None:
    with serve_mlflow(tmp_path / "served", new_store) as address:
        client = open_store(find_store(address, project=tmp_path)).client
        add_version(client, "sugar", rounds=STRONG)
        done = execute(*options(address, model="sugar", version=1, stage="staging"))
        assert done.returncode == 0, done.stderr
        assert client.get_registered_model("sugar").aliases == {"staging": "1"}
        assert {"notebook/registry.ipynb", "gate/findings.json"} <= artifacts(client, all_runs(client)[0].info.run_id)


def test_a_transition_that_the_gate_blocks_fails_with_the_reasons(execute: Papermill, store: str, tmp_path: Path) -> None:
    client = open_store(find_store(store, project=tmp_path)).client
    add_version(client, "sugar", rounds=STRONG)
    done = execute(*options(store, model="sugar", version=1, stage="production"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "The gate blocks version 1 of sugar from none to production." in done.stderr
    assert "allowed_transitions: none to production is not allowed" in done.stderr
    run = all_runs(client)[0]
    assert run.info.status == "FAILED" and "gate/findings.json" in artifacts(client, run.info.run_id)
    assert client.get_registered_model("sugar").aliases == {}
    overridden = options(store, model="sugar", version=1, stage="production", override=True, reason="first of all")
    assert execute(*overridden).returncode == 0
    assert client.get_registered_model("sugar").aliases == {"production": 1}


def test_an_empty_registry_shows_the_first_step(execute: Papermill, store: str, tmp_path: Path) -> None:
    done = execute(*options(store))
    assert done.returncode == 0, done.stderr
    assert "none yet. Train and register a model first: papermill notebooks/train.ipynb" in outputs(tmp_path)
    done = execute(*options(store, model="sugar", version=1, stage="test"))
    assert done.returncode == 1 and "No model 'sugar': the registry is empty. Register one first" in done.stderr


def test_a_faulty_request_fails_before_any_transition(execute: Papermill, store: str, tmp_path: Path) -> None:
    client = open_store(find_store(store, project=tmp_path)).client
    add_version(client, "sugar", rounds=WEAK)
    run_id = add_run(client, with_model=False)
    for values, message in (
        ({"model": "suger", "version": 1, "stage": "test"}, "no model 'suger'. Did you mean 'sugar'? It has: sugar."),
        ({"model": "sugar", "version": 7, "stage": "test"}, "sugar has no version 7. It has: 1."),
        ({"model": "sugar", "run_id": run_id}, "logged no model. Choose a run of train.ipynb that is FINISHED."),
        ({"model": "sugar", "version": 1, "stage": "test", "expected_state": "1:staging"}, "was in staging and is now in none"),
    ):
        done = execute(*options(store, **values))
        assert done.returncode == 1 and message in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    assert client.get_registered_model("sugar").aliases == {}


def test_promotes_among_ten_thousand_runs_and_fifty_versions(execute: Papermill, store: str, tmp_path: Path) -> None:
    client = open_store(find_store(store, project=tmp_path)).client
    add_version(client, "sugar", rounds=WEAK)
    first = client.get_model_version("sugar", "1")
    for _ in range(49):
        client.create_model_version("sugar", source=first.source, run_id=first.run_id)
    runpy.run_path(str(MAKE_RUNS))["make_runs"](tmp_path / "store" / "mlflow.db", 9_999)
    done = execute(*options(store, model="sugar", version=50, stage="staging"))
    assert done.returncode == 0, done.stderr
    assert "(newest 20 of 50)" in outputs(tmp_path)
    assert client.get_registered_model("sugar").aliases == {"staging": 50}
