"""Runs that are explored without JupyterLab: other front ends, nbconvert, a terminal, a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from tests.support.stores import all_runs, artifacts
from tests.support.waiting import TIMEOUT_S, wait_until

Look = Callable[..., Any]
START = """\
from boostlab.notebook.settings import Settings
from boostlab.tracking.start import start_run
class Tiny(Settings):
    experiment: str = "tiny"
    run_name: str = ""
    tracking_uri: str = ""
run = start_run(Tiny())
"""


@pytest.fixture
def deaf_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Let this process's kernels meet a Jupyter server that refuses to be asked; return their environment."""
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # answers each question with an error
    Thread(target=server.serve_forever, daemon=True).start()
    notes = {"url": f"http://127.0.0.1:{server.server_port}/", "token": "", "root_dir": str(tmp_path)}
    (tmp_path / f"jpserver-{os.getpid()}.json").write_text(json.dumps(notes))
    given = {"JUPYTER_RUNTIME_DIR": str(tmp_path), "JPY_SESSION_NAME": str(tmp_path / "tiny.ipynb")}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    yield given | {"JPY_PARENT_PID": str(os.getpid())}
    server.shutdown()
    server.server_close()


@pytest.fixture
def kernel(store: str, deaf_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a kernel's manager and client; its runs go into the test's store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    assert deaf_server
    manager, client = start_new_kernel()
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_second_run_is_apart_from_the_first_one_and_from_the_users_mlflow_calls(
    store: str, look: Look, deaf_server: dict[str, str]
) -> None:
    code = f"""{START}
import mlflow
mlflow.log_metric("first", 1)
start_run(Tiny(tracking_uri={store + ".other"!r})).finish()
second = start_run(Tiny())
mlflow.log_metric("second", 2)
second.finish()
second.finish()
"""
    env = os.environ | deaf_server | {"MLFLOW_TRACKING_URI": store}  # as that of a kernel's child
    subprocess.run([sys.executable, "-c", code], env=env, timeout=TIMEOUT_S, check=True)

    assert [run.info.status for run in all_runs(look(store + ".other"))] == ["FINISHED"]
    second, first = all_runs(look())
    assert (first.info.status, first.data.metrics) == ("KILLED", {"first": 1})
    assert (second.info.status, second.data.metrics) == ("FINISHED", {"second": 2})
    assert first.data.tags["boostlab.notebook_state"] == "none: the notebook's file is unknown"


def test_a_failed_cell_without_a_name_fails_the_run(
    write_notebook: Callable[..., Path], store: str, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    document = nbformat.read(write_notebook(START, "unknown", "1", "run.finish()"), as_version=4)
    NotebookClient(document, allow_errors=True, kernel_name="python3").execute()

    (run,) = all_runs(look())
    assert (run.info.status, run.data.tags["boostlab.failed_cells"]) == ("FAILED", "1")


def test_a_file_that_cannot_be_read_does_not_keep_the_run_open(kernel: Any, look: Look, tmp_path: Path) -> None:
    (tmp_path / "tiny.ipynb").write_text("[]")
    _, client = kernel
    client.execute_interactive(START, timeout=TIMEOUT_S)
    client.execute_interactive(START, timeout=TIMEOUT_S)

    second, first = all_runs(look())
    assert (first.info.status, first.data.tags["boostlab.notebook_state"]) == (
        "KILLED",
        "none: the notebook's file cannot be read",
    )
    assert second.info.status == "RUNNING"


def test_an_interrupt_ends_the_waiting_for_the_screen_and_not_the_record(
    kernel: Any, look: Look, write_notebook: Callable[..., Path]
) -> None:
    write_notebook(START, "run.finish()")
    manager, client = kernel
    client.execute_interactive(START, timeout=TIMEOUT_S)
    client.execute_interactive("from boostlab.notebook import session; session.SAVE_TIMEOUT_S['docmanager:save'] = 1000.0")
    asked = "import threading; threading.Thread(target=lambda: [time.sleep(1), print('asked', flush=True)]).start()"
    client.execute(f"import time; {asked}\nrun.finish()")
    wait_until(lambda: "asked" in str(client.get_iopub_msg(timeout=TIMEOUT_S)["content"]))
    assert all_runs(look())[0].info.status == "RUNNING"
    manager.interrupt_kernel()
    client.execute_interactive("1", timeout=TIMEOUT_S)

    (run,) = all_runs(look())
    assert (run.info.status, run.data.tags["boostlab.notebook_state"]) == (
        "FINISHED",
        "as last saved: no JupyterLab answered",
    )
    assert "notebook/tiny.ipynb" in artifacts(look(), run.info.run_id)
