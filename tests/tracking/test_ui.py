"""MLflow's UI: where it is for each store, and the addresses of its pages."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
import requests
from tests.support.jupyterlab import Lab
from tests.support.stores import NewStore
from tests.support.waiting import TIMEOUT_S, wait_until

from boostlab.tracking.store import find_store, open_store
from boostlab.tracking.ui import MlflowUI, build_command, find_ui


@pytest.mark.parametrize(
    ("address", "ui"),
    [
        ("http://me:abcd@host:5000/", MlflowUI("http://host:5000/")),
        ("sqlite:////else/runs.db", MlflowUI(command="mlflow ui --backend-store-uri sqlite:////else/runs.db")),
        ("/runs", MlflowUI(command="MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri file:///runs")),
        ("postgresql://me:abcd@h/runs", MlflowUI(command="mlflow ui --backend-store-uri 'postgresql://me:***@h/runs'")),
        ("sqlite:////my runs/a.db", MlflowUI(command="mlflow ui --backend-store-uri 'sqlite:////my runs/a.db'")),
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


def test_the_password_of_a_store_is_in_no_argument(tmp_path: Path) -> None:
    store = find_store("postgresql://me:abcd@h/runs", project=tmp_path)
    assert not [word for word in build_command(store) if "abcd" in word]


@pytest.mark.slow
def test_in_a_lab_only_the_lab_opens_it_under_any_name_of_the_host(tmp_path: Path, store: str) -> None:
    (tmp_path / "lab").mkdir()
    client = open_store(find_store(store, project=tmp_path)).client
    client.create_registered_model("sugar")
    lab = Lab(tmp_path / "lab", None, store)
    lab.start(options=["--ServerApp.allow_remote_access=True"])
    try:
        address = f"{lab.url}/mlflow/ajax-api/2.0/mlflow/registered-models/create"
        host = {"Host": "lab.example.org", "Authorization": f"token {lab.token}"}

        def creates(**headers: str) -> bool:
            given = host | {"Content-Type": "application/json"} | headers
            name = f"other-{secrets.token_hex(4)}"
            status = requests.post(address, json={"name": name}, headers=given, timeout=TIMEOUT_S).status_code
            # MLflow refuses before it reads the body: the proxy answers 500 where the connection closes while it still writes
            assert status in (200, 403, 500), status
            return name in [model.name for model in client.search_registered_models()]

        first = requests.get(f"{lab.url}/mlflow/", headers=host, timeout=TIMEOUT_S)
        assert (first.status_code, "MLflow starts" in first.text) == (503, True), first.text[:500]
        page = wait_until(lambda: (found := requests.get(f"{lab.url}/mlflow/", headers=host, timeout=TIMEOUT_S)).ok and found)
        assert (page.status_code, "<title>MLflow</title>" in page.text) == (200, True), page.text[:500]
        assert creates(Origin="https://lab.example.org")
        assert creates()
        assert not creates(Origin="https://evil.example.org")
        assert not creates(Authorization="")
        assert list_ports(lab) == {int(lab.url.rpartition(":")[2])}
    finally:
        lab.stop()


def list_ports(lab: Lab) -> set[int]:
    """Return the TCP ports on which a lab and its processes listen."""
    assert lab._server is not None
    processes = [server := psutil.Process(lab._server.pid), *server.children(recursive=True)]
    assert any("mlflow" in word for process in processes for word in process.cmdline())
    found = [item for process in processes for item in process.net_connections("tcp")]
    return {item.laddr.port for item in found if item.status == psutil.CONN_LISTEN}


def test_serves_new_artifacts_from_the_folder_of_the_store(tmp_path: Path) -> None:
    command = build_command(find_store("", project=tmp_path))
    assert command[-2:] == ["--default-artifact-root", (tmp_path / "mlartifacts").as_uri()]
    assert "--default-artifact-root" not in build_command(find_store("http://h", project=tmp_path))


@pytest.mark.slow
def test_a_ui_that_cannot_start_says_why_and_tries_again_at_the_next_visit(tmp_path: Path, new_store: NewStore) -> None:
    store = tmp_path / "store"
    store.write_text("no folder")
    command = [sys.executable, "-m", "boostlab.tracking.ui_start", str(tmp_path / "socket")]
    env = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{store}/mlflow.db"}
    with (
        subprocess.Popen(command, env=env) as process,
        httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "socket")), timeout=TIMEOUT_S) as client,
    ):
        wait_until((tmp_path / "socket").exists)
        failed = wait_until(lambda: "did not start" in (page := client.get("http://lab/").text) and page)
        assert f"{store}/mlflow.db" in failed
        store.unlink()
        store.mkdir()
        new_store(store)
        assert wait_until(lambda: client.get("http://lab/health")).status_code == 503
        assert wait_until(lambda: (answer := client.get("http://lab/health")).status_code == 200 and answer).text == "OK"
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(TIMEOUT_S)
        wait_until(lambda: not any(child.is_running() for child in children))
