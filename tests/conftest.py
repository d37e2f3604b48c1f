"""What the tests share: isolation, tiny notebooks, papermill as a command, and a plain MLflow client to look with."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tests.support.docker import built, engine, version_store  # noqa: F401  # fixtures
from tests.support.executions import PARAMETERS, run_here
from tests.support.packages import own_table, package  # noqa: F401  # fixtures
from tests.support.paths import PAPERMILL
from tests.support.postgresql import new_database  # noqa: F401  # a fixture
from tests.support.stores import NewStore, new_store  # noqa: F401  # a fixture
from tests.support.waiting import TIMEOUT_S

# A shell's background ignores SIGINT, and nohup SIGHUP: the tests' processes would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # its workers take a server's start ten times over


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for pictures that are meant to change."""
    parser.addoption("--write-screenshots", action="store_true", help="keep the pictures of test_screenshots.py as they are now")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test was skipped although CI has what the tests need."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a state folder and a cache folder of its own, and no store from outside."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("BOOSTLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "BOOSTLAB_JOURNAL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _signals_kept() -> Iterator[None]:
    """Fail a test that leaves SIGINT ignored or blocked: the processes of later tests would inherit that."""
    before = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    assert (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before


@pytest.fixture
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for caches on disk, of this test alone."""
    monkeypatch.setenv("BOOSTLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def write_notebook(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a notebook of the given code cells and returns its path."""

    def write(*cells: str, parameters: str = PARAMETERS, name: str = "tiny.ipynb", marked: bool = True) -> Path:
        first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        notebook = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook.metadata.language_info = {"name": "python"}
        if marked:
            notebook.metadata.boostlab = {}
        path = tmp_path / name
        nbformat.write(notebook, path)
        return path

    return write


@pytest.fixture
def store(tmp_path: Path, new_store: NewStore) -> str:  # noqa: F811
    """Return the address of an empty SQLite store."""
    return new_store(tmp_path / "store")


@pytest.fixture
def papermill(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs papermill's command in the test's folder and waits for its end."""

    def run(*arguments: object, cwd: Path = tmp_path, **env: str) -> subprocess.CompletedProcess[str]:
        command = [PAPERMILL, "--no-progress-bar", *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )

    return run


@pytest.fixture
def execute(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function as of `papermill`, which starts no process for the command: for what the notebooks do.

    The command's log is in `stderr`.
    """

    def run(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            for name, value in env.items():
                patch.setenv(name, value)
            done = run_here(*arguments)
        done.stderr = done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def start_papermill(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts papermill's command and returns the process, which ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [PAPERMILL, "--no-progress-bar", *map(str, arguments)]
        started.append(subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def browser() -> Iterator[Any]:
    """Return a Chromium that Playwright drives; the test is skipped where there is none.

    One for each test: while Playwright is there, it keeps an event loop running in which no other can.
    """
    from tests.support.jupyterlab import CHROMIUM, CHROMIUM_OPTIONS

    if not CHROMIUM:
        pytest.skip("no Chromium here: install the system's package `chromium` to run the tests in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        yield started
        started.close()


@pytest.fixture
def lab(tmp_path: Path, store: str, browser: Any) -> Iterator[Any]:
    """Return a JupyterLab on the folder ``lab`` of the test, whose notebooks record into the test's store."""
    from tests.support.jupyterlab import Lab

    (tmp_path / "lab").mkdir()
    server = Lab(tmp_path / "lab", browser, store)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def look(store: str) -> Callable[..., Any]:
    """Return a function that opens a plain MLflow client on the test's store, or on another address."""
    from mlflow import MlflowClient

    return lambda uri=store: MlflowClient(uri, uri)
