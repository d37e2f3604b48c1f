from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from boostlab.errors import StoreError
from boostlab.tracking import probe
from boostlab.tracking.probe import check_reachable
from boostlab.tracking.store import configure_mlflow, find_project, find_store, open_store

PROCESSES = 4
OPEN_WHEN_TOLD = """
import sys
from pathlib import Path
import mlflow.store.tracking.sqlalchemy_store
from boostlab.tracking.store import find_store, open_store
print("ready", flush=True)
sys.stdin.readline()
open_store(find_store(sys.argv[1], project=Path.cwd()))
"""


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    class Answer(BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            self.send_response(self.status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=[0.02]).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("address", "uri", "path"),
    [
        ("sqlite:///runs.db", "sqlite:///{cwd}/runs.db", "{cwd}/runs.db"),
        ("sqlite:////data/runs.db", "sqlite:////data/runs.db", "/data/runs.db"),
        ("sqlite:///~/runs.db", "sqlite:///{cwd}/home/runs.db", "{cwd}/home/runs.db"),
        ("sqlite+pysqlite:///runs.db", "sqlite:///{cwd}/runs.db", "{cwd}/runs.db"),
        ("sqlite:///a b/runs.db", "sqlite:///{cwd}/a b/runs.db", "{cwd}/a b/runs.db"),
        ("sqlite:///a%20b/runs.db", "sqlite:///{cwd}/a%20b/runs.db", "{cwd}/a%20b/runs.db"),
        ("mlruns", "file://{cwd}/mlruns", "{cwd}/mlruns"),
        ("./a b", "file://{cwd}/a%20b", "{cwd}/a b"),
        ("~/mlruns", "file://{cwd}/home/mlruns", "{cwd}/home/mlruns"),
        ("file:mlruns", "file://{cwd}/mlruns", "{cwd}/mlruns"),
        ("file:///data/a%20b", "file:///data/a%20b", "/data/a b"),
    ],
)
def test_makes_a_local_address_absolute(tmp_path: Path, address: str, uri: str, path: str) -> None:
    store = find_store(address, project=Path("/elsewhere"))

    assert store.uri == uri.format(cwd=tmp_path)
    assert store.path == Path(path.format(cwd=tmp_path))


@pytest.mark.parametrize(
    ("address", "kind", "shown"),
    [
        ("http://me:abcd@h:5000/", "http", "http://me:***@h:5000"),
        ("https://h/mlflow", "https", "https://h/mlflow"),
        ("postgresql://me:abcd@h/runs", "postgresql", "postgresql://me:***@h/runs"),
        ("mysql+pymysql://me@h/runs", "mysql", "mysql+pymysql://me@h/runs"),
    ],
)
def test_shows_a_remote_address_without_its_password(address: str, kind: str, shown: str) -> None:
    store = find_store(address, project=Path("/project"))

    assert (store.uri, store.scheme, store.shown) == (address.rstrip("/"), kind, shown)


def test_prefers_the_parameter_then_the_environment_then_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_store("", project=Path("/project")).uri == "sqlite:////project/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team:5000")
    assert find_store("", project=Path("/project")).uri == "http://team:5000"
    assert find_store("sqlite:////own.db", project=Path("/project")).uri == "sqlite:////own.db"


def test_takes_the_nearest_project_above_the_notebook(tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").touch()

    assert find_project(tmp_path / "notebooks" / "train.ipynb") == tmp_path.resolve()


def test_takes_the_project_of_the_working_directory_if_the_notebook_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project" / "runs").mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "project" / "runs")
    assert find_project() == find_project(tmp_path / "train.ipynb") == tmp_path / "project"
    (tmp_path / "project" / "pyproject.toml").unlink()
    assert find_project() == tmp_path / "project" / "runs"


@pytest.mark.parametrize("address", ["s3://bucket/runs", "ftp://me:abcd@h", "databricks://profile"])
def test_refuses_an_address_of_no_known_kind(address: str) -> None:
    with pytest.raises(StoreError, match=r"has an unknown form\. Allowed: sqlite:///FILE, a folder") as caught:
        find_store(address, project=Path("/project"))

    assert "abcd" not in str(caught.value)


@pytest.mark.parametrize("address", ["localhost:5000", "127.0.0.1:5000", "mlflow.example.com:5000/", "my-host:5000"])
def test_hints_at_the_scheme_that_a_server_lacks(address: str) -> None:
    with pytest.raises(StoreError, match=rf"has an unknown form\. Did you mean http://{address}\?"):
        find_store(address, project=Path("/project"))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("localhost", r"Did you mean http://localhost\? For a folder write \./localhost\."),
        ("mlflow.example.com", r"Did you mean http://mlflow\.example\.com\?"),
        ("127.0.0.1", r"Did you mean http://127\.0\.0\.1\?"),
        ("databricks", r"Databricks is not supported\. For a folder write \./databricks\."),
        ("databricks-uc", "Databricks is not supported"),
    ],
)
def test_takes_no_name_of_a_server_for_a_folder(tmp_path: Path, address: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        find_store(address, project=tmp_path)

    assert caught.value.kind == "address"
    assert find_store(f"./{address}", project=tmp_path).path == tmp_path / address
    (tmp_path / address).mkdir()
    assert find_store(address, project=tmp_path).path == tmp_path / address


def test_refuses_a_registry_in_another_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = find_store("mlruns", project=tmp_path)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://me:abcd@registry")
    with pytest.raises(StoreError, match=r"MLFLOW_REGISTRY_URI = 'http://me:\*\*\*@registry' names another store than file:"):
        open_store(store)

    monkeypatch.setenv("MLFLOW_REGISTRY_URI", store.uri)
    assert open_store(store).client


def test_prefers_the_current_driver_of_postgresql_and_takes_the_older_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_store("postgresql://h/runs", project=Path("/p")).uri == "postgresql://h/runs"
    monkeypatch.setattr("boostlab.tracking.store.find_spec", lambda name: name if name == "psycopg2" else None)
    assert find_store("postgresql://h/runs", project=Path("/p")).uri == "postgresql+psycopg2://h/runs"
    assert find_store("postgresql+asyncpg://h/runs", project=Path("/p")).uri == "postgresql+asyncpg://h/runs"


def test_refuses_a_file_where_a_folder_belongs(tmp_path: Path) -> None:
    (tmp_path / "runs.db").touch()

    with pytest.raises(StoreError, match=rf"'runs\.db' names a file\. For a SQLite store write sqlite:///{tmp_path}/runs\.db\."):
        find_store("runs.db", project=Path("/project"))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("sqlite:///gone/runs.db", "the folder {cwd}/gone does not exist"),
        ("gone/mlruns", "the folder {cwd}/gone does not exist"),
        ("sqlite:///text.db", "file is not a database"),
        ("sqlite:///folder", "{cwd}/folder is a folder"),
        ("http://127.0.0.1:9", r"no server answers \(ConnectionError\)"),
        ("postgresql://me:abcd@127.0.0.1:9/runs", r"postgresql://me:\*\*\*@127.0.0.1:9/runs cannot be used"),
    ],
)
def test_refuses_a_store_that_cannot_be_opened(tmp_path: Path, address: str, words: str) -> None:
    (tmp_path / "text.db").write_text("no database, but long enough to be one" * 20)
    (tmp_path / "folder").mkdir()

    with pytest.raises(StoreError, match=words.format(cwd=tmp_path)) as caught:
        open_store(find_store(address, project=tmp_path))

    assert "Correct tracking_uri or MLFLOW_TRACKING_URI. Allowed: sqlite:///FILE" in str(caught.value)
    assert "abcd" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "state") == ["folder", "text.db"]


@pytest.mark.parametrize("address", ["sqlite:///runs.db", "mlruns"])
def test_does_not_make_a_lost_store_anew(tmp_path: Path, address: str) -> None:
    with pytest.raises(StoreError, match="does not exist any more"):
        check_reachable(find_store(address, project=tmp_path))

    assert not any(tmp_path.iterdir())


def test_tells_a_server_that_answers_from_one_that_fails(server: HTTPServer) -> None:
    store = find_store(f"http://127.0.0.1:{server.server_port}", project=Path("/project"))
    check_reachable(store)
    server.RequestHandlerClass.status = 500  # type: ignore[attr-defined]

    with pytest.raises(StoreError, match="the server answers with HTTP status 500"):
        check_reachable(store)


def test_keeps_what_the_user_set_for_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    configure_mlflow(find_store("mlruns", project=Path("/project")))

    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "9"
    assert os.environ["MLFLOW_ALLOW_FILE_STORE"] == "true"


def test_places_artifacts_beside_the_database_wherever_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a b", "elsewhere"):
        (tmp_path / name).mkdir()
    store = find_store("sqlite:///a b/runs.db", project=tmp_path)
    monkeypatch.chdir("elsewhere")
    client = open_store(store).client
    client.log_text(client.create_run("0").info.run_id, "text", "note.txt")

    assert len([*(tmp_path / "a b" / "mlartifacts").rglob("note.txt")]) == 1
    assert not any((tmp_path / "elsewhere").iterdir())


def test_opens_a_store_of_plain_files_that_mlflow_takes_on_demand_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    client = open_store(find_store("mlruns", project=tmp_path)).client
    run = client.create_run("0")

    assert (tmp_path / "mlruns" / "0" / run.info.run_id).is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_lets_processes_open_a_fresh_database_at_once(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    """Each process has a state folder of its own, as on a host of its own."""
    address = f"sqlite:///{tmp_path}/runs.db" if kind == "sqlite" else request.getfixturevalue("new_database")()
    command = [sys.executable, "-c", OPEN_WHEN_TOLD, address]
    hosts = [os.environ | {"XDG_STATE_HOME": str(tmp_path / f"host{number}")} for number in range(PROCESSES)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for env in hosts]
    streams = [(process.stdin, process.stdout) for process in processes]
    assert [stdout.readline() for _, stdout in streams if stdout] == ["ready\n"] * PROCESSES
    for stdin, _ in streams:
        assert stdin is not None
        stdin.write("go\n")
        stdin.flush()
    errors = [process.communicate()[1] for process in processes]

    assert [process.returncode for process in processes] == [0] * PROCESSES, errors
    opened = open_store(find_store(address, project=tmp_path))
    assert [experiment.name for experiment in opened.client.search_experiments()] == ["Default"]


@pytest.mark.parametrize("address", ["sqlite:///a#b/runs.db", "sqlite:///what?.db"])
def test_refuses_what_an_address_cannot_hold(address: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot hold \? or #"):
        find_store(address, project=tmp_path)


def test_a_new_store_has_the_permissions_that_the_umask_gives(tmp_path: Path) -> None:
    code = "import os, sys; os.umask(0o002); from pathlib import Path; from boostlab.tracking import find_store, open_store; "
    code += "open_store(find_store('sqlite:///' + sys.argv[1], project=Path('.')))"
    subprocess.run([sys.executable, "-c", code, tmp_path / "mlflow.db"], check=True)
    assert stat.S_IMODE((tmp_path / "mlflow.db").stat().st_mode) == 0o664


def test_waits_for_a_locked_database_as_long_as_for_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe.ANSWER_TIMEOUT_S >= 60
    monkeypatch.setattr(probe, "ANSWER_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(tmp_path / "runs.db")) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"other processes have kept it locked for 0\.1 s\. Try again later") as caught:
            check_reachable(find_store("sqlite:///runs.db", project=tmp_path))
    assert caught.value.kind == "lost"


@pytest.mark.parametrize(
    ("address", "given", "expected"),
    [
        ("postgresql://h/runs", "", "file:///lab/mlartifacts"),
        ("postgresql://h/runs", "s3://bucket/lab/", "s3://bucket/lab"),
        ("mysql://h/runs", "/shared/runs of us", "file:///shared/runs%20of%20us"),
        ("sqlite:////lab/mlflow.db", "s3://bucket/lab", "file:///lab/mlartifacts"),  # they lie beside it, and move with it
        ("http://h", "s3://bucket/lab", ""),  # the server decides
    ],
)
def test_a_variable_says_where_a_database_keeps_artifacts(
    address: str, given: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", given)
    assert find_store(address, project=Path("/lab")).artifact_uri == expected
