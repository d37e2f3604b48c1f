from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from tests.support.runs import make_facts
from tests.support.stores import NewStore

from boostlab.errors import LabError
from boostlab.models.contract import Contract, Feature
from boostlab.models.packaging import find_logged_model, write_model
from boostlab.models.predictor import Predictor
from boostlab.models.registration import register_run
from boostlab.tracking.delivery import Delivery, add_end
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import OpenStore, find_store, open_store

ROWS = pd.DataFrame({"a": np.arange(6.0) / 4})
FEATURE = Feature("a", "number", "double")


@pytest.fixture(params=["sqlite", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path, new_store: NewStore) -> OpenStore:
    address = new_store(tmp_path) if request.param == "sqlite" else str(tmp_path / "mlruns")
    return open_store(find_store(address, project=tmp_path))


def make_run(store: OpenStore, folder: Path, *, with_model: bool = True) -> str:
    journal = Journal.create(make_facts(store=store.shown, run_name="a run"))
    if with_model:
        booster = xgb.train({"nthread": 1}, xgb.DMatrix(ROWS, label=[0, 0, 1, 1, 2, 2]), num_boost_round=3)
        predictor = Predictor(booster, Contract("regression", (), (FEATURE,)))
        write_model(predictor, ROWS, folder / "parts")
        journal.add("model", {"name": "model", "register_as": ""}, folder / "parts")
    add_end(journal, "FINISHED", {})
    return Delivery(journal, store).complete()


def test_registers_the_model_of_a_run_once_per_name(store: OpenStore, tmp_path: Path) -> None:
    client = store.client
    first, second = make_run(store, tmp_path), make_run(store, tmp_path)
    assert [register_run(client, run_id, "m") for run_id in (first, second, first)] == [1, 2, 1]
    assert register_run(client, first, "other") == 1
    assert client.get_model_version("m", "2").run_id == second
    tags = find_logged_model(client, first).tags
    linked = [(version["name"], int(version["version"])) for version in json.loads(tags["mlflow.modelVersions"])]
    assert linked == [("m", 1), ("other", 1)]  # MLflow's page of the model links to them


def test_refuses_a_run_without_a_model_and_a_run_that_is_not_there(store: OpenStore, tmp_path: Path) -> None:
    run_id = make_run(store, tmp_path, with_model=False)
    with pytest.raises(LabError, match=r"a run \(\w+\) is FINISHED and logged no model. Choose"):
        register_run(store.client, run_id, "m")
    for unknown in ("0" * 32, "not an id"):
        with pytest.raises(LabError, match="has no run"):
            register_run(store.client, unknown, "m")
    assert not store.client.search_registered_models()
