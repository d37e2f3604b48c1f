"""The variables that an interactive run sets in its kernel's environment."""

from __future__ import annotations

import os

import pytest
from tests.support.runs import make_facts

from boostlab.tracking import environment
from boostlab.tracking.store import Store

NAMES = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI")


def test_restores_variables_except_those_that_the_user_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "a")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "b")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    environment.begin(make_facts(run_id="1", experiment_id="2"), Store("http://3"))
    assert [os.environ[name] for name in NAMES] == ["1", "2", "http://3"]
    os.environ["MLFLOW_EXPERIMENT_ID"] = "mine"

    given = environment.outside()
    assert not {"MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"} & given.keys()
    assert given["MLFLOW_TRACKING_URI"] == "a"
    environment.restore("MLFLOW_RUN_ID")
    assert "MLFLOW_RUN_ID" not in os.environ and os.environ["MLFLOW_TRACKING_URI"] == "http://3"
    environment.restore()
    assert (os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_EXPERIMENT_ID"]) == ("a", "mine")
