from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from tests.support.runs import START_TIME

from boostlab.errors import StoreError
from boostlab.models.contract import Contract, Feature
from boostlab.models.packaging import write_model
from boostlab.models.predictor import Predictor
from boostlab.tracking.delivery import Delivery, add_end
from boostlab.tracking.entries import Entry
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import OpenStore, find_store, open_store

ROWS = pd.DataFrame({"a": np.arange(6.0) / 4})
DATASET = {
    "name": "d",
    "digest": "1",
    "source_type": "code",
    "source": "{}",
    "schema": "{}",
    "profile": "{}",
    "context": "training",
}
Begin = Callable[..., Journal]
FEATURE = Feature("a", "number", "double")


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture(params=["sqlite", "file"])
def store(request: pytest.FixtureRequest, stores: dict[str, OpenStore]) -> OpenStore:
    return stores[request.param]


def create_run(journal: Journal, store: OpenStore) -> str:
    return Delivery(journal, store).create_run().run_id


def add_model(journal: Journal, folder: Path, register_as: str = "") -> Entry:
    booster = xgb.train({"nthread": 1}, xgb.DMatrix(ROWS, label=[0, 0, 1, 1, 2, 2]), num_boost_round=3)
    parts = folder / "parts"
    write_model(Predictor(booster, Contract("regression", (), (FEATURE,))), ROWS, parts)
    return journal.add("model", {"name": "model", "register_as": register_as}, parts)


def add_everything(journal: Journal, folder: Path) -> None:
    points = [("valid_rmse", 1 / (step + 1), START_TIME, step) for step in range(2500)]
    journal.add("metrics", {"points": points, "final": False})
    journal.add("tags", {"boostlab.task": "regression"})
    (folder / "made" / "plots").mkdir(parents=True)
    (folder / "made" / "plots" / "a.txt").write_text("picture")
    journal.add("files", {}, folder / "made")
    journal.add("dataset", DATASET)
    add_model(journal, folder)


def assert_holds_everything(client: Any, run_id: str) -> None:
    import mlflow.pyfunc

    run = client.get_run(run_id)
    history = client.get_metric_history(run_id, "valid_rmse")
    assert {point.step: point.value for point in history} == {step: 1 / (step + 1) for step in range(2500)}
    assert run.data.params == {"eta": "0.1"}
    assert run.data.tags.items() >= {"boostlab.task": "regression", "boostlab.pid": "7", "mlflow.runName": "a run"}.items()
    assert Path(client.download_artifacts(run_id, "plots/a.txt")).read_text() == "picture"
    assert [(given.dataset.name, given.tags[0].value) for given in run.inputs.dataset_inputs] == [("d", "training")]
    model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert (str(model.status), model.source_run_id) == ("READY", run_id)
    assert len(mlflow.pyfunc.load_model(model.artifact_location).predict(ROWS)) == 6


def tags_of(client: Any, run_id: str) -> dict[str, str]:
    return dict(client.get_run(run_id).data.tags)


def test_makes_the_run_that_the_journal_describes(store: OpenStore, begin: Begin) -> None:
    client = store.client
    journal = begin(store)
    run = client.get_run(create_run(journal, store))

    assert journal.facts().run_id == run.info.run_id
    assert (run.info.run_name, run.info.start_time, run.info.status) == ("a run", START_TIME, "RUNNING")
    assert client.get_experiment(run.info.experiment_id).name == journal.facts().experiment
    assert Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(store.artifact_root or store.path)


@pytest.mark.parametrize(("name", "folder"), [("team a/é-1.0", "team_a_é-1.0"), ("..", "_"), ("x" * 100, "x" * 60)])
def test_names_the_artifacts_folder_after_the_experiment(sqlite: OpenStore, begin: Begin, name: str, folder: str) -> None:
    client, store = sqlite.client, sqlite
    run = client.get_run(create_run(begin(store, experiment=name), store))

    assert unquote(run.info.artifact_uri) == f"file://{store.artifact_root}/{folder}/{run.info.run_id}/artifacts"


def test_puts_a_second_run_into_the_same_experiment(sqlite: OpenStore, begin: Begin) -> None:
    client, store = sqlite.client, sqlite
    ids = [create_run(begin(store), store) for _ in range(2)]

    assert len({client.get_run(run_id).info.experiment_id for run_id in ids}) == 1


def test_cuts_a_parameter_to_the_length_that_mlflow_takes(store: OpenStore, begin: Begin) -> None:
    client = store.client
    params = {f"p{number}": "x" * 7000 for number in range(150)}
    run = client.get_run(create_run(begin(store, params=params), store))

    assert {name: len(value) for name, value in run.data.params.items()} == dict.fromkeys(params, 6000)


def test_refuses_a_deleted_experiment_with_the_way_back(store: OpenStore, begin: Begin) -> None:
    client = store.client
    journal = begin(store)
    create_run(journal, store)
    client.delete_experiment(journal.facts().experiment_id)

    with pytest.raises(StoreError, match=rf"mlflow experiments restore --experiment-id {journal.facts().experiment_id}$"):
        create_run(begin(store), store)


def test_leaves_nothing_in_the_working_directory(store: OpenStore, begin: Begin, tmp_path: Path) -> None:
    journal = begin(store)
    create_run(journal, store)
    add_model(journal, tmp_path, register_as=tmp_path.name)
    Delivery(journal, store).send()

    assert not any((tmp_path / "cwd").iterdir())


def test_sends_every_kind_of_entry(store: OpenStore, begin: Begin, tmp_path: Path) -> None:
    client = store.client
    journal = begin(store)
    run_id = create_run(journal, store)
    add_everything(journal, tmp_path)
    Delivery(journal, store).send()

    assert_holds_everything(client, run_id)
    assert journal.cursor.sent == journal.size


def test_sends_and_registers_a_model_once(store: OpenStore, begin: Begin, tmp_path: Path) -> None:
    client = store.client
    journal = begin(store)
    run_id = create_run(journal, store)
    entries = [add_model(journal, tmp_path, register_as=tmp_path.name) for _ in range(2)]
    for _ in range(2):
        Delivery(journal, store).send()
    versions = client.search_model_versions(f"name = '{tmp_path.name}'")
    receipts = [journal.receipts()[entry.start] for entry in entries]

    assert [receipt["version"] for receipt in receipts] == [1, 2]
    assert [receipt["model_uri"] for receipt in receipts] == [f"models:/{receipt['model_id']}" for receipt in receipts]
    assert {(int(version.version), version.run_id, version.source) for version in versions} == {
        (receipt["version"], run_id, client.get_logged_model(receipt["model_id"]).artifact_location) for receipt in receipts
    }


@pytest.mark.parametrize(
    ("kind", "facts", "words"),
    [("model", {"register_as": "a/b"}, "a/b"), ("metrics", {"points": [["a@b", 1.0, START_TIME, 0]], "final": True}, "a@b")],
)
def test_notes_what_the_store_refuses_and_goes_on(
    store: OpenStore, begin: Begin, tmp_path: Path, kind: str, facts: dict[str, Any], words: str
) -> None:
    client = store.client
    journal = begin(store)
    run_id = create_run(journal, store)
    refused = add_model(journal, tmp_path, **facts) if kind == "model" else journal.add(kind, facts)
    journal.add("tags", {"later": "yes"})
    Delivery(journal, store).send()

    assert words in journal.receipts()[refused.start]["refused"]
    assert tags_of(client, run_id)["later"] == "yes"


def test_ends_a_run_when_it_ended_and_removes_its_journal(store: OpenStore, begin: Begin) -> None:
    client = store.client
    journal = begin(store)
    create_run(journal, store)
    journal.add("tags", {"boostlab.reason": "It broke."})
    journal.add("end", {"status": "FAILED", "end_time": START_TIME + 1234})
    run = client.get_run(Delivery(journal, store).complete())

    assert (run.info.status, run.info.end_time) == ("FAILED", START_TIME + 1234)
    assert run.data.tags["boostlab.reason"] == "It broke."
    assert not journal.path.exists()


def test_notes_the_end_as_it_is_now(sqlite: OpenStore, begin: Begin) -> None:
    journal = begin(sqlite)
    before = int(time.time() * 1000)
    add_end(journal, "FINISHED", {})
    (end,) = journal.entries()

    assert end.content["status"] == "FINISHED"
    assert before <= end.content["end_time"] <= int(time.time() * 1000)


def test_makes_a_run_anew_that_vanished_from_the_store(stores: dict[str, OpenStore], begin: Begin, tmp_path: Path) -> None:
    client, store = stores["file"].client, stores["file"]
    journal = begin(store)
    lost = create_run(journal, store)
    add_everything(journal, tmp_path)
    Delivery(journal, store).send()
    add_end(journal, "FINISHED", {})
    shutil.rmtree(store.path / journal.facts().experiment_id)
    run_id = Delivery(journal, store).complete()

    assert run_id != lost
    assert_holds_everything(client, run_id)
    assert client.get_run(run_id).info.status == "FINISHED"


def test_keeps_everything_while_the_store_is_lost(sqlite: OpenStore, begin: Begin, tmp_path: Path) -> None:
    client, store = sqlite.client, sqlite
    journal = begin(store)
    run_id = create_run(journal, store)
    entry = journal.add("tags", {"kept": "yes"})
    store.path.rename(tmp_path / "away.db")
    with pytest.raises(StoreError, match="does not exist any more"):
        Delivery(journal, store).complete()

    assert journal.cursor.sent < entry.end
    (tmp_path / "away.db").rename(store.path)
    assert Delivery(journal, store).complete() == run_id
    assert tags_of(client, run_id)["kept"] == "yes"


def test_keeps_what_the_store_fails_to_take(sqlite: OpenStore, begin: Begin, tmp_path: Path) -> None:
    shutil.copy(sqlite.path, tmp_path / "broken.db")
    store = open_store(find_store(f"sqlite:///{tmp_path}/broken.db", project=tmp_path))
    journal = begin(store)
    create_run(journal, store)
    entry = journal.add("metrics", {"points": [["rmse", 1.0, START_TIME, 0]], "final": True})
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("DROP TABLE metrics")

    with pytest.raises(StoreError, match=rf"^The tracking store {store.shown} fails: ") as caught:
        Delivery(journal, store).send()

    assert len(str(caught.value).splitlines()) == 1
    assert journal.cursor.sent < entry.end


def test_sends_no_value_twice_that_may_have_been_sent(store: OpenStore, begin: Begin) -> None:
    journal = begin(store)
    run_id = create_run(journal, store)
    points = [["loss", value, START_TIME, step] for step, value in enumerate([1.0, float("nan"), float("nan")])]
    journal.add("metrics", {"points": points, "final": False})
    Delivery(journal, store).send()
    journal.move_cursor(sent=0, attempted=journal.size)  # as after a lost answer
    Delivery(journal, store).send()
    assert len(store.client.get_metric_history(run_id, "loss")) == 3


def test_runs_that_record_the_same_data_set_at_the_same_time_are_all_whole(sqlite: OpenStore, begin: Begin) -> None:
    deliveries = [Delivery(begin(sqlite), sqlite) for _ in range(8)]
    run_ids = [delivery.create_run().run_id for delivery in deliveries]
    start = threading.Barrier(len(deliveries))

    def send(delivery: Delivery) -> None:
        for number in range(10):
            delivery.journal.add("dataset", DATASET | {"digest": f"same time {number}"})
            start.wait()
            delivery.send()

    with ThreadPoolExecutor(len(deliveries)) as pool:
        list(pool.map(send, deliveries))
    for delivery, run_id in zip(deliveries, run_ids, strict=True):
        assert delivery.journal.receipts() == {}
        assert len(sqlite.client.get_run(run_id).inputs.dataset_inputs) == 10
