"""The contract of a store: one life of a model, unchanged on each kind of store that a team can have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import papermill
import pytest
from click.testing import CliRunner
from nbclient import NotebookClient
from papermill.parameterize import parameterize_notebook
from sklearn.datasets import load_wine
from tests.support.executions import run_here
from tests.support.paths import PROJECT
from tests.support.postgresql import NewDatabase
from tests.support.runs import make_facts
from tests.support.stores import NewStore, all_runs, artifacts, read_artifact
from tests.support.team import KINDS, make_store

from boostlab.cli import main
from boostlab.registry.view import view_model
from boostlab.tracking import delivery
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import find_store, open_store

pytestmark = pytest.mark.slow

NOTEBOOKS = PROJECT / "notebooks"
TINY = {"dataset": "wine", "num_boost_round": 3, "max_depth": 2, "nthread": 1}


def work_with(address: str, variables: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a store the default of the commands in a folder, go there, and return a client of the store."""
    for name, value in (variables | {"MLFLOW_TRACKING_URI": address}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return open_store(find_store("", project=folder)).client


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in KINDS])
def test_a_model_lives_on_each_kind_of_store(
    kind: str, tmp_path: Path, new_store: NewStore, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_store(kind, tmp_path, new_store, new_database) as (address, variables):
        client = work_with(address, variables, tmp_path, monkeypatch)
        run_notebook("train", **TINY, register_as="wine")
        (trained,) = all_runs(client)
        (curve,) = (name for name in trained.data.metrics if name.startswith("valid_"))
        assert len(client.get_metric_history(trained.info.run_id, curve)) == 3
        assert {"notebook/train.ipynb", "notebook/train.html", "plots/test.png"} <= artifacts(client, trained.info.run_id)

        run_in_kernel("train", **TINY, eta=0.3, register_as="wine")
        assert all_runs(client)[0].data.tags["boostlab.origin"] == "jupyter"

        run_notebook("compare")
        assert "difference" in " ".join(artifacts(client, all_runs(client)[0].info.run_id))

        for version in (1, 2):
            run_notebook("registry", model="wine", version=version, stage="production", override=True, reason="tested")
        assert stage_aliases(client) == {"production": 2}
        run_notebook("registry", model="wine", action="rollback", reason="it drifts")
        assert stage_aliases(client) == {"production": 1}
        assert [item.action for item in view_model(client, "wine").history.written] == ["promote", "promote", "rollback"]

        run_notebook("deploy", model="wine", output="context", builder="lean", folder="context")
        assert (tmp_path / "context" / "context" / "Dockerfile").is_file()

        load_wine(as_frame=True).data.head(9).to_csv("rows.csv", index=False)
        run_notebook("score", model="wine", rows="rows.csv", output="scored.csv")
        assert len(pd.read_csv("scored.csv")["prediction"]) == 9

        assert {run.info.status for run in all_runs(client)} == {"FINISHED"}
        deliver_late(client, address)


@pytest.mark.xdist_group("postgresql")
def test_a_database_keeps_its_artifacts_on_s3(
    tmp_path: Path, new_store: NewStore, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_store("postgresql with S3 beside it", tmp_path, new_store, new_database) as (address, variables):
        client = work_with(address, variables, tmp_path, monkeypatch)
        run_notebook("train", **TINY, register_as="wine")
        (trained,) = all_runs(client)
        assert trained.info.artifact_uri == f"s3://artifacts/lab/train/{trained.info.run_id}/artifacts"
        assert "notebook/train.html" in artifacts(client, trained.info.run_id)
        load_wine(as_frame=True).data.head(9).to_csv("rows.csv", index=False)
        run_notebook("score", model="wine", version=1, rows="rows.csv", output="scored.csv")
        assert len(pd.read_csv("scored.csv")["prediction"]) == 9
        assert not (tmp_path / "mlartifacts").exists()
        deliver_late(client, address)


def run_notebook(name: str, **parameters: object) -> None:
    """Execute a notebook by papermill's command."""
    options = [word for option, value in parameters.items() for word in ("-p", option, value)]
    done = run_here(NOTEBOOKS / f"{name}.ipynb", f"{name}-out.ipynb", *options)
    assert done.returncode == 0, done.stderr


def run_in_kernel(name: str, **parameters: object) -> None:
    """Execute a notebook in a kernel that owns its run, as a person does."""
    notebook = parameterize_notebook(papermill.iorw.load_notebook_node(str(NOTEBOOKS / f"{name}.ipynb")), parameters)
    NotebookClient(notebook, kernel_name="boostlab").execute()


def stage_aliases(client: Any) -> dict[str, int]:
    return {alias: int(version) for alias, version in client.get_registered_model("wine").aliases.items()}


def deliver_late(client: Any, address: str) -> None:
    """Deliver a run whose store was lost before it received anything."""
    store = find_store(address, project=Path.cwd())
    journal = Journal.create(make_facts(store=store.shown, run_name="late"))
    note = Path("note")
    (note / "notes").mkdir(parents=True)
    (note / "notes" / "late.txt").write_text("kept")
    journal.add("files", {}, note)
    delivery.add_end(journal, "FINISHED", {})
    journal.release()
    done = CliRunner().invoke(main, ["deliver", "--tracking-uri", address])
    assert done.exit_code == 0, done.output
    (run,) = (run for run in all_runs(client) if run.info.run_name == "late")
    assert run.info.status == "FINISHED"
    assert read_artifact(client, run.info.run_id, "notes/late.txt") == "kept"
