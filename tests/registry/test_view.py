from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.registry import copy_version

from boostlab.errors import LabError, OutdatedError
from boostlab.registry.view import ModelView, check_state, choose_version, list_models, view_model
from boostlab.tracking.store import find_store, open_store


def test_aliases_set_by_another_client_are_stages_with_inferred_transitions(client: Any, name: str) -> None:
    for _ in range(3):
        copy_version(client, name)
    client.set_registered_model_alias(name, "production", "2")
    client.set_registered_model_alias(name, "staging", "2")
    client.set_registered_model_alias(name, "mine", "3")
    view = view_model(client, name)
    assert {version.number: version.stage for version in view.versions} == {3: "none", 2: "production", 1: "none"}
    assert (view.version_by_stage, view.recorded.transitions) == ({"production": 2}, ())
    (inferred,) = view.history.transitions
    assert (inferred.version, inferred.from_stage, inferred.to_stage, inferred.who) == (2, "none", "production", "unknown")
    assert inferred.why == "another MLflow client changed the alias"


def test_chooses_a_version_by_stage_or_number(local_client: Any, name: str) -> None:
    for _ in range(2):
        copy_version(local_client, name)
    with pytest.raises(LabError, match=r"has no version in production \(no stage has a version\).*-p version NUMBER"):
        choose_version(local_client, name, stage="production")
    local_client.set_registered_model_alias(name, "staging", "1")
    assert choose_version(local_client, name, stage="staging").number == 1
    assert choose_version(local_client, name, stage="staging", number=2).number == 2
    with pytest.raises(LabError, match=r"has no version in production \(staging: version 1\)"):
        choose_version(local_client, name, stage="production")


def test_reads_every_version_of_a_model_with_more_than_a_page(local_client: Any, name: str) -> None:
    local_client.create_registered_model(name)
    for _ in range(120):
        local_client.create_model_version(name, source="/nowhere")
    assert [version.number for version in view_model(local_client, name).versions] == [*range(120, 0, -1)]


def test_an_unknown_model_is_an_error_with_the_nearest_name(client: Any, name: str) -> None:
    copy_version(client, name)
    with pytest.raises(LabError, match=f"no model '{name}x'. Did you mean '{name}'"):
        view_model(client, f"{name}x")


def test_an_empty_registry_is_an_error_with_the_first_step(store: str, tmp_path: Path) -> None:
    client = open_store(find_store(store, project=tmp_path)).client
    assert list_models(client) == []
    with pytest.raises(LabError, match=r"No model 'sugar': the registry is empty. Register one first: papermill"):
        view_model(client, "sugar")


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ("1:staging", r"Version 1 of .* was in staging and is now in test \(ana, \d+ seconds? ago: 'new'\)\. Read the history"),
        ("2:test", r"Version 2 of .* was in test and is now in none\. Read the history, then decide again\."),
        ("1:test test:2", r"Stage test of .* had version 2 and now has version 1 \(ana"),
        ("1:test production:2", r"Stage production of .* had version 2 and now has no version\."),
    ],
)
def test_refuses_a_changed_state_and_names_the_change(staged: ModelView, expected: str, message: str) -> None:
    check_state(staged, "1:test test:1 production:0")
    with pytest.raises(OutdatedError, match=message):
        check_state(staged, expected)


def test_a_reader_of_plain_files_sees_them_whole_while_another_process_writes_them(name: str, tmp_path: Path) -> None:
    client = open_store(find_store(str(tmp_path / "mlruns"), project=tmp_path)).client
    copy_version(client, name)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, client.tracking_uri, name])
    try:
        deadline = time.monotonic() + 120
        while not view_model(client, name).version_by_stage and time.monotonic() < deadline:
            pass  # until the writer has begun
        for _ in range(300):
            assert view_model(client, name).version_by_stage in ({}, {"test": 1})
            assert [model.name for model in list_models(client)] == [name]
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()


WRITER = """
import os, sys
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1], sys.argv[1])
while True:
    client.set_registered_model_alias(sys.argv[2], "test", "1")
    client.set_registered_model_alias(sys.argv[2], "test", "1")
    client.delete_registered_model_alias(sys.argv[2], "test")
"""
