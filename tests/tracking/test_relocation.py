"""Local stores that were moved or copied, read through a plain MLflow client."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking._tracking_service import utils
from tests.support.registry import copy_version
from tests.support.stores import NewStore, read_artifact

from boostlab.models.loading import fetch_version
from boostlab.tracking.store import find_store, open_store


@pytest.fixture(params=["sqlite", "file"])
def lab(request: pytest.FixtureRequest, tmp_path: Path, new_store: NewStore) -> tuple[Path, str, str]:
    """Return the folder of a project with a run and a registered version, the store's address in it, and the run's id."""
    folder = tmp_path / "old place"
    folder.mkdir()
    address = "sqlite:///{}/mlflow.db" if request.param == "sqlite" else "{}/mlruns"
    if request.param == "sqlite":
        new_store(folder)
    client = look(address.format(folder), folder)
    copy_version(client, "sugar")
    run_id = client.create_run("0").info.run_id
    client.log_text(run_id, "text", "meta.yaml")
    return folder, address, run_id


def look(address: str, project: Path) -> Any:
    return open_store(find_store(address, project=project)).client


@pytest.mark.parametrize("was", ["moved", "copied"])
def test_a_store_finds_its_artifacts_again(lab: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, was: str) -> None:
    folder, address, run_id = lab
    new = tmp_path / "new" / "place"
    new.parent.mkdir()
    (folder.rename if was == "moved" else lambda to: shutil.copytree(folder, to))(new)
    utils._artifact_repos_cache.clear()  # MLflow keeps a run's address for the life of a process
    with caplog.at_level(logging.WARNING):
        client = look(address.format(new), new)

    assert "has been moved: the artifacts of 2 experiment(s) are now found beside it" in caplog.text
    assert read_artifact(client, run_id, "meta.yaml") == "text"
    version = client.get_model_version("sugar", "1")
    assert Path(fetch_version(client, "sugar", 1)).is_relative_to(new)
    assert client.get_logged_model(version.model_id or version.source.split("/")[-2]).artifact_location.startswith(new.as_uri())
    client.log_text(run_id, "text", "later.txt")
    assert len([*new.rglob("later.txt")]) == 1
    assert folder.exists() == (was == "copied") and not [*folder.rglob("later.txt")]
    caplog.clear()
    look(address.format(new), new)
    assert caplog.text == ""


def test_a_copy_of_the_database_alone_leaves_the_artifacts_with_the_original(tmp_path: Path, new_store: NewStore) -> None:
    (tmp_path / "copy").mkdir()
    client = look(new_store(tmp_path / "lab"), tmp_path)
    run_id = client.create_run("0").info.run_id
    client.log_text(run_id, "text", "note.txt")
    shutil.copy(tmp_path / "lab" / "mlflow.db", tmp_path / "copy")

    assert read_artifact(look(f"sqlite:///{tmp_path}/copy/mlflow.db", tmp_path), run_id, "note.txt") == "text"
