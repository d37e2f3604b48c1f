"""The stack of `make team`: its files, and what its containers run, as processes of this machine."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from tests.support.paths import PROJECT
from tests.support.postgresql import NewDatabase, find_program
from tests.support.servers import serve_command
from tests.support.team import serve_s3

from boostlab.tracking.store import find_store, open_store

TEAM = PROJECT / "team"


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    """Return the secrets that the stack gets."""
    subprocess.run([TEAM / "make-secrets", tmp_path / "secrets.env"], check=True)
    lines = (tmp_path / "secrets.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_secrets_are_new_private_and_kept(tmp_path: Path, secrets: dict[str, str]) -> None:
    file = tmp_path / "secrets.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    passwords = [value for name, value in secrets.items() if name != "MLFLOW_SERVER_ALLOWED_HOSTS"]
    assert len(set(passwords)) == 4 and min(map(len, passwords)) == 48
    before = file.read_text()
    subprocess.run([TEAM / "make-secrets", file], check=True)
    assert file.read_text() == before


def test_the_compose_file_takes_each_secret_from_the_environment(tmp_path: Path, secrets: dict[str, str]) -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("no Docker Compose here: install the system's package `docker-compose`")
    command = ["docker-compose", "--env-file", str(tmp_path / "secrets.env"), "-f", str(TEAM / "compose.yaml"), "config"]
    shown = yaml.safe_load(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert set(shown["services"]) == {"database", "objects", "mlflow", "backup"}
    assert [name for name, service in shown["services"].items() if "ports" in service] == ["mlflow"]
    text = (TEAM / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?\}", text)) == set(secrets)
    assert "${" not in re.sub(r"\$\{\w+:\?\}", "", text)


def test_the_servers_packages_are_those_of_the_lock() -> None:
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", (PROJECT / "requirements.txt").read_text(), re.MULTILINE))
    pinned = re.findall(r"([\w-]+)(?:\[\w+\])?==(\S+)", (TEAM / "Dockerfile").read_text())
    assert len(pinned) == 3 and dict(pinned).items() <= locked.items()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")  # MLflow's server, from which its client comes
def test_the_server_starts_and_backs_up(
    new_database: NewDatabase, secrets: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.server import get_app_client

    database = new_database(made=True)
    with serve_s3("other") as access:
        env = {**access, **secrets, "DATABASE": database, "BUCKET": "artifacts"}
        log = tmp_path / "server.log"
        with serve_command([str(TEAM / "serve.sh")], "/health", log=str(log), **env) as address:
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", secrets["MLFLOW_AUTH_ADMIN_PASSWORD"])
            client = open_store(find_store(address, project=tmp_path)).client
            run_id = client.create_run(client.create_experiment("team")).info.run_id
            client.log_text(run_id, "text", "note.txt")
            assert Path(client.download_artifacts(run_id, "note.txt")).read_text() == "text"
            assert "/note.txt" in log.read_text()
            assert "presigned" not in log.read_text()  # that is an address of the object store, which only containers reach
            get_app_client("basic-auth", address).create_user("ana", "a long password")
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ana")
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a long password")
            client.create_run(client.get_experiment_by_name("team").experiment_id)  # of another person
            _check_backup(database, tmp_path)


def _check_backup(database: str, folder: Path) -> None:
    """Back up beside fourteen older dumps: fourteen are kept, and the new one restores into an empty database and folder."""
    (folder / "objects").mkdir()
    (folder / "objects" / "one").write_text("1")
    (folder / "backups").mkdir()
    programs = str(Path(find_program("pg_dump") or "").parent)
    env = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "DATABASE": database,
        "OBJECTS": str(folder / "objects"),
        "BACKUPS": str(folder / "backups"),
    }
    for day in range(1, 15):
        (folder / "backups" / f"2026-01-{day:02d}-000000.sql.gz").touch()
        os.utime(folder / "backups" / f"2026-01-{day:02d}-000000.sql.gz", (day, day))
    both = [subprocess.Popen([TEAM / "backup.sh"], env=env) for _ in range(2)]  # one waits for the other
    assert [one.wait() for one in both] == [0, 0]
    dumps = sorted(path.name for path in (folder / "backups").glob("*.sql.gz"))
    assert len(dumps) == 14 and dumps[0].startswith(("2026-01-02", "2026-01-03")) and not dumps[-1].startswith("2026-01")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE DATABASE restored")
    copy = env | {"DATABASE": database.rsplit("/", 1)[0] + "/restored", "OBJECTS": str(folder / "restored")}
    command = [str(TEAM / "restore.sh"), dumps[-1].removesuffix(".sql.gz")]
    refused = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "objects is not empty. Restore into a new stack" in refused.stderr
    (folder / "restored").mkdir()
    missing = subprocess.run([*command[:1], "nothing"], env=copy, capture_output=True, text=True, check=False)
    assert missing.returncode == 1 and f"Nothing was restored. Backups in {folder / 'backups'}: 2026-" in missing.stderr
    lost = subprocess.run([TEAM / "backup.sh"], env=env | {"DATABASE": f"{database}-gone"}, capture_output=True, check=False)
    assert lost.returncode != 0 and sorted(path.name for path in (folder / "backups").glob("*.sql.gz")) == dumps
    subprocess.run(command, env=copy, check=True)
    assert (folder / "restored" / "one").read_text() == "1"
    with psycopg.connect(copy["DATABASE"]) as connection:
        row: Any = connection.execute("SELECT count(*) FROM runs").fetchone()
    assert row[0] == 2
