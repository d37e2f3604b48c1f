"""The build context: which files the Dockerfile needs, and which models are refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.support.servers import free_port
from tests.support.waiting import wait_until

from boostlab.deployment.context import name_repository, write_context
from boostlab.deployment.service import is_healthy
from boostlab.errors import LabError
from boostlab.models.contract import CONTRACT_FILE, MODEL_DATA

CONTRACT = f"{MODEL_DATA}/{CONTRACT_FILE}"


@pytest.fixture
def model(package: Callable[[str], Any], tmp_path: Path) -> Path:
    """Return a copy of a packaged model's folder."""
    return Path(shutil.copytree(package("iris")[0], tmp_path / "model"))


def test_the_lean_image_of_a_model_trained_on_a_gpu_holds_no_gpu_libraries(model: Path, tmp_path: Path) -> None:
    contract = model / CONTRACT
    contract.write_text(json.dumps(json.loads(contract.read_text()) | {"device": "cuda:0"}))
    write_context("lean", model, tmp_path / "context", labels={})

    requirements = (tmp_path / "context" / "build" / "requirements.txt").read_text().splitlines()
    assert [line for line in requirements if "xgboost" in line] == [f"xgboost-cpu=={version('xgboost')}"]


@pytest.mark.parametrize("builder", ["lean", "mlflow"])
def test_quotes_labels_and_starts_from_the_given_base_image(builder: Any, model: Path, tmp_path: Path) -> None:
    labels = {"boostlab.model": 'Casas "novas" $HOME\nde Lisboa', "boostlab.version": "7"}
    write_context(builder, model, tmp_path / "context", labels=labels, base_image="python:3.11-slim")

    lines = (tmp_path / "context" / "Dockerfile").read_text().splitlines()
    assert r'LABEL boostlab.model="Casas \"novas\" \$HOME de Lisboa"' in lines
    named = r'ENV BOOSTLAB_MODEL_NAME="Casas \"novas\" \$HOME de Lisboa" BOOSTLAB_MODEL_VERSION="7"'
    assert (named in lines) == (builder == "lean")  # the names in the paths of the inference protocol
    assert {line.split()[1] for line in lines if line.startswith("FROM")} - {"scratch"} == {"python:3.11-slim"}
    assert [line for line in lines if line.startswith(("USER", "EXPOSE"))] == ["EXPOSE 8080", "USER 10001:10001"]
    assert len([line for line in lines if line.startswith("ENTRYPOINT")]) == 1


def test_pins_each_package_that_the_server_needs_and_no_other_server(model: Path, tmp_path: Path) -> None:
    write_context("lean", model, tmp_path / "context", labels={})

    pins = dict(line.split("==") for line in (tmp_path / "context" / "build" / "requirements.txt").read_text().splitlines())
    assert {"numpy", "uvicorn", "h11", "click", "anyio", "idna", "xgboost-cpu"} <= pins.keys()
    assert not {"mlflow", "pandas", "scipy", "xgboost", "watchfiles"} & pins.keys()
    assert {name: version(name) for name in pins if name != "xgboost-cpu"} | {"xgboost-cpu": version("xgboost")} == pins


def test_the_stock_server_logs_lines_of_json(model: Path, tmp_path: Path) -> None:
    """Its variables are those of the Dockerfile, and its command that of the image."""
    write_context("mlflow", model, tmp_path / "context", labels={})
    dockerfile = (tmp_path / "context" / "Dockerfile").read_text()
    found = dict(re.findall(r"(UVICORN_LOG_CONFIG|MLFLOW_CONFIGURE_LOGGING|PYTHONPATH)=(\S+)", dockerfile))
    variables = {name: value.replace("/opt/boostlab", str(tmp_path / "context")) for name, value in found.items()}
    assert len(variables) == 3
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "mlflow.pyfunc.scoring_server.app:app"]
    env = os.environ | {"__pyfunc_model_path__": str(model), "PYTHONWARNINGS": "default"} | variables
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        wait_until(lambda: process.poll() is not None or is_healthy(f"http://127.0.0.1:{port}"))
        url, headers = f"http://127.0.0.1:{port}/invocations", {"Content-Type": "application/json"}
        answer = requests.post(url, data="{", headers=headers, timeout=60)
        process.terminate()
        lines = [json.loads(line) for line in process.communicate()[0].splitlines()]

    assert answer.status_code == 400
    (request,) = [line for line in lines if line.get("path") == "/invocations"]
    assert (request["method"], request["status"], request["level"], request["logger"]) == ("POST", 400, "info", "uvicorn.access")
    assert all(line.keys() >= {"time", "level", "logger"} and ("message" in line or "path" in line) for line in lines)


@pytest.mark.parametrize("builder", ["lean", "mlflow"])
def test_the_same_model_gives_the_same_context(builder: Any, model: Path, tmp_path: Path) -> None:
    def list_files(name: str, umask: int) -> dict[str, tuple[int, float, bytes]]:
        before = os.umask(umask)
        try:
            write_context(builder, model, tmp_path / name, labels={"a": "b"}, trust_code=builder == "mlflow")
        finally:
            os.umask(before)
        paths = sorted((tmp_path / name).rglob("*"))
        facts = ((path, path.stat(), path.read_bytes() if path.is_file() else b"") for path in paths)
        return {str(path.relative_to(tmp_path / name)): (stat.st_mode, stat.st_mtime, text) for path, stat, text in facts}

    assert list_files("one", 0o077) == list_files("other", 0o002)


def test_refuses_a_model_that_boostlab_did_not_make(model: Path, tmp_path: Path) -> None:
    (model / CONTRACT).unlink()
    with pytest.raises(LabError, match=r"not made by boostlab: it lacks data/model_data/contract\.json"):
        write_context("lean", model, tmp_path / "context", labels={})


def test_refuses_a_model_without_signature(model: Path, tmp_path: Path) -> None:
    text = (model / "MLmodel").read_text()
    (model / "MLmodel").write_text(text[: text.index("signature:")])
    with pytest.raises(LabError, match="no signature"):
        write_context("lean", model, tmp_path / "context", labels={})


@pytest.mark.parametrize(
    ("given", "name"), [("Casas de Lisboa", "casas-de-lisboa"), ("x", "x"), ("ÇÃO", "o"), ("a__b", "a-b"), ("日本", "model")]
)
def test_names_a_repository_in_the_form_that_an_engine_accepts(given: str, name: str) -> None:
    assert name_repository(given) == name
