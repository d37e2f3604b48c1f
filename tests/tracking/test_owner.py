"""The owner of a run: it begins the run, delivers what is recorded meanwhile, and ends the run."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from tests.support.runs import make_facts
from tests.support.waiting import wait_until

from boostlab.errors import StoreError
from boostlab.tracking.journal import Journal, journals_folder
from boostlab.tracking.owner import Owner, open_run
from boostlab.tracking.store import OpenStore


def test_delivers_while_the_run_goes_on_and_ends_it(sqlite: OpenStore) -> None:
    values = {"experiment": "owned", "token": "abcd1234"}
    owner = open_run(values, sqlite, notebook=Path("train.ipynb"), origin="papermill", output_path=None)
    owner.begin()
    run_id = owner.journal.facts().run_id
    entry = owner.journal.add("metrics", {"points": [["rmse", 1.0, 0, 0]], "final": True})
    wait_until(lambda: entry.receipt is not None)
    assert sqlite.client.get_run(run_id).info.status == "RUNNING"
    assert sqlite.client.get_run(run_id).data.metrics == {"rmse": 1.0}

    cell = nbformat.v4.new_code_cell("print('abcd1234')")
    owner.note_end(nbformat.v4.new_notebook(cells=[cell]), "FAILED", {"boostlab.reason": "It met abcd1234."})
    owner.deliver()
    run = sqlite.client.get_run(run_id)
    assert (run.info.status, run.data.tags["boostlab.reason"]) == ("FAILED", "It met ***.")
    assert "print('***')" in Path(sqlite.client.download_artifacts(run_id, "notebook/train.ipynb")).read_text()
    assert not owner.journal.path.exists()


def test_a_store_that_refuses_the_run_leaves_no_journal(sqlite: OpenStore) -> None:
    client = sqlite.client
    client.delete_experiment(client.create_experiment("deleted before"))
    owner = open_run({"experiment": "deleted before"}, sqlite, notebook=None, origin="papermill", output_path=None)
    with pytest.raises(StoreError, match="deleted before"):
        owner.begin()
    assert not [*journals_folder().iterdir()]


def test_completes_the_orphans_of_the_store_first(sqlite: OpenStore) -> None:
    Journal.create(make_facts(store=sqlite.shown, experiment="left behind")).release()
    owner = open_run({}, sqlite, notebook=None, origin="papermill", output_path=None)
    assert isinstance(owner, Owner)
    experiment = sqlite.client.get_experiment_by_name("left behind")
    (run,) = sqlite.client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    owner.journal.remove()
