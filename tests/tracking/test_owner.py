"""The owner of a run: it begins the run, delivers what is recorded meanwhile, and ends the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from tests.support.runs import make_facts
from tests.support.waiting import wait_until

from boostlab.errors import LabError, StoreError
from boostlab.tracking.courier import Courier
from boostlab.tracking.journal import Journal, journals_folder
from boostlab.tracking.owner import Owner, open_run
from boostlab.tracking.store import OpenStore


def open_owner(store: OpenStore, **values: object) -> Owner:
    return open_run(values, Courier(store), notebook=Path("train.ipynb"), origin="papermill", output_path=None)


def test_delivers_while_the_run_goes_on_and_ends_it(sqlite: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "from-outside")
    owner = open_owner(sqlite, experiment="owned", token="abcd1234", note="it is from-outside")
    owner.begin()
    run_id = owner.facts.run_id
    entry = owner.journal.add("metrics", {"points": [["rmse", 1.0, 0, 0]], "final": True})
    assert owner.journal.wait(entry) == {}
    assert sqlite.client.get_run(run_id).info.status == "RUNNING"
    assert sqlite.client.get_run(run_id).data.metrics == {"rmse": 1.0}

    cells = [nbformat.v4.new_code_cell("print('abcd1234')"), nbformat.v4.new_code_cell("print('from-outside')")]
    owner.note_end(nbformat.v4.new_notebook(cells=cells), "FAILED", {"boostlab.reason": "It met abcd1234."})
    owner.deliver()
    run = sqlite.client.get_run(run_id)
    assert (run.info.status, run.data.tags["boostlab.reason"]) == ("FAILED", "It met ***.")
    for name in ("train.ipynb", "train.html"):
        text = Path(sqlite.client.download_artifacts(run_id, f"notebook/{name}")).read_text()
        assert text.count("***") == 2 and "abcd1234" not in text and "from-outside" not in text
    assert run.data.params["note"] == "it is ***"
    assert not owner.journal.path.exists()


def test_a_store_that_refuses_the_run_leaves_no_journal(sqlite: OpenStore) -> None:
    sqlite.client.delete_experiment(sqlite.client.create_experiment("deleted before"))
    with open_owner(sqlite, experiment="deleted before") as owner, pytest.raises(StoreError, match="deleted before"):
        owner.begin()
    assert not [*journals_folder().iterdir()]


def test_completes_the_orphans_of_the_store_meanwhile(sqlite: OpenStore) -> None:
    Journal.create(make_facts(store=sqlite.shown, experiment="left behind")).release()
    with open_owner(sqlite) as owner:
        owner.begin()
        wait_until(lambda: sqlite.client.get_experiment_by_name("left behind"))
        experiment = sqlite.client.get_experiment_by_name("left behind").experiment_id
        wait_until(lambda: [run.info.status for run in sqlite.client.search_runs([experiment])] == ["KILLED"])
        owner.note_end(None, "FINISHED", {})
        owner.deliver()


def test_a_full_disk_loses_the_notebook_but_not_the_end(sqlite: OpenStore, full_disk: Callable[[], None]) -> None:
    with open_owner(sqlite, experiment="full disk") as owner:
        owner.begin()
        full_disk()
        with pytest.raises(LabError, match=r"cannot be written: No space left on device\. Make room"):
            owner.journal.add("tags", {"a": "x" * 100_000})
        assert owner.journal.size == 0
        cell = nbformat.v4.new_code_cell("x" * 1000)
        owner.note_end(nbformat.v4.new_notebook(cells=[cell]), "FAILED", {"boostlab.reason": "The disk is full."})
        owner.deliver()
    run = sqlite.client.get_run(owner.facts.run_id)
    assert (run.info.status, run.data.tags["boostlab.reason"]) == ("FAILED", "The disk is full.")
    assert "No space left" in run.data.tags["boostlab.notebook_state"]
    assert not [*journals_folder().iterdir()]
