"""MLflow's UI: where it is for each store, and the addresses of its pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from boostlab.tracking.store import find_store
from boostlab.tracking.ui import MlflowUI, build_command, find_ui


@pytest.mark.parametrize(
    ("address", "ui"),
    [
        ("http://me:abcd@host:5000/", MlflowUI("http://host:5000/")),
        ("sqlite:////else/runs.db", MlflowUI(command="mlflow ui --backend-store-uri sqlite:////else/runs.db")),
        ("/runs", MlflowUI(command="MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri file:///runs")),
        ("postgresql://me:abcd@h/runs", MlflowUI(command="mlflow ui --backend-store-uri postgresql://me:***@h/runs")),
    ],
)
def test_is_the_server_itself_or_a_command_without_a_password(tmp_path: Path, address: str, ui: MlflowUI) -> None:
    assert find_ui(find_store(address, project=tmp_path)) == ui


def test_is_a_target_of_make_for_the_store_of_a_project(tmp_path: Path) -> None:
    store = find_store("", project=tmp_path)
    assert find_ui(store).command.startswith("mlflow ui ")
    (tmp_path / "Makefile").touch()
    assert find_ui(store).command == "make ui"


def test_gives_the_address_of_each_page() -> None:
    ui = MlflowUI("http://h/")
    assert ui.experiment_url("1") == "http://h/#/experiments/1/runs"
    assert ui.run_url("1", "r") == "http://h/#/experiments/1/runs/r"
    assert ui.model_url("1", "m-2") == "http://h/#/experiments/1/models/m-2"
    assert ui.version_url("a/b é", 3) == "http://h/#/models/a%2Fb%20%C3%A9/versions/3"


def test_serves_new_artifacts_from_the_folder_of_the_store(tmp_path: Path) -> None:
    command = build_command(find_store("", project=tmp_path))
    assert command[-2:] == ["--default-artifact-root", (tmp_path / "mlartifacts").as_uri()]
    assert "--default-artifact-root" not in build_command(find_store("http://h", project=tmp_path))
