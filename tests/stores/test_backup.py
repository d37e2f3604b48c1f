"""Backups of a real store, with a run that writes meanwhile."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.stores.conftest import ODD, Open, find_run, forget_places, summarise
from tests.support.stores import artifacts, read_artifact
from tests.support.waiting import wait_until

from boostlab.errors import LabError
from boostlab.stores import backup_store, restore_store
from boostlab.stores.backup import Backup
from boostlab.tracking.store import OpenStore

WRITER = """
import os, sys, tempfile
from pathlib import Path
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
for number in range(10_000):
    run = client.create_run("0", run_name=f"written {number}")
    client.log_metric(run.info.run_id, "number", number)
    for name in ("a", "b"):
        client.log_text(run.info.run_id, f"{number} " * 20_000, f"{name}.txt")
    client.set_terminated(run.info.run_id)
"""


def test_a_backup_while_a_run_writes_is_consistent(source: OpenStore, tmp_path: Path, open_at: Open) -> None:
    expected = summarise(source)
    parent = find_run(source, "parent").info.run_id
    source.client.log_text(parent, "odd", ODD)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, source.uri], stderr=subprocess.DEVNULL)
    try:
        made: list[Backup] = []
        for number in range(3):
            wait_until(lambda: len(source.client.search_runs(["0"], "attributes.status = 'FINISHED'")) > len(made))
            made.append(backup_store(source, tmp_path / f"{number}.tar"))
    finally:
        writer.kill()
        writer.wait()
    shutil.rmtree(tmp_path / "source")

    for number, backup in enumerate(made):
        forget_places()
        database, restored = restore_store(tmp_path / f"{number}.tar", tmp_path / f"restored {number}")
        assert restored == backup and restored.elsewhere == []
        store = open_at(f"sqlite:///{database}")
        found = summarise(store)
        assert {key: found[key] for key in expected} == expected
        assert [path.read_text() for path in database.parent.glob(f"*/*/*/artifacts/{ODD}")] == ["odd"]
        written = store.client.search_runs(["0"])
        ended = [run for run in written if run.info.status == "FINISHED"]
        assert len(ended) > number and len(written) + 5 == restored.runs
        for run in ended:
            text = f"{int(run.data.metrics['number'])} " * 20_000
            assert [read_artifact(store.client, run.info.run_id, f"{name}.txt") for name in "ab"] == [text, text]
            assert run.info.artifact_uri.startswith(database.parent.as_uri())
        for run in written:  # nobody will end it
            assert run in ended or (run.info.status, run.data.tags["boostlab.reason"][:7]) == ("KILLED", "The run")
        client = store.client
        client.log_text(client.create_run("0").info.run_id, "new", "new.txt")
        assert [*database.parent.rglob("new.txt")]


def test_only_an_empty_folder_and_a_whole_file_do(source: OpenStore, tmp_path: Path, open_at: Open) -> None:
    file, folder = tmp_path / "store.tar.gz", tmp_path / "restored"
    backup_store(source, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(LabError, match="exists, and is not overwritten"):
        backup_store(source, file)
    with pytest.raises(LabError, match=r"is no SQLite store\. Back up a database or a server with its own tools"):
        backup_store(open_at(str(tmp_path / "mlruns")), tmp_path / "other.tar")
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no tar", _change_a_file(file, tmp_path)):
        (tmp_path / "damaged.tar").write_bytes(damaged)
        with pytest.raises(LabError, match="cannot be restored"):
            restore_store(tmp_path / "damaged.tar", folder)
        assert not folder.exists() and not [*tmp_path.glob(".restored*")]
    folder.mkdir()
    restore_store(file, folder)
    with pytest.raises(LabError, match="is not empty, and nothing is overwritten"):
        restore_store(file, folder)
    forget_places()
    restored = open_at(f"sqlite:///{folder}/mlflow.db")
    assert artifacts(restored.client, find_run(restored, "parent").info.run_id) == {"deep/er/file.txt"}


def _change_a_file(file: Path, folder: Path) -> bytes:
    with tarfile.open(file) as tar:
        tar.extractall(folder / "changed", filter="data")
    next((folder / "changed").rglob("model.ubj")).write_bytes(b"other")
    with tarfile.open(folder / "changed.tar", "w") as tar:
        tar.add(folder / "changed", ".")
    return (folder / "changed.tar").read_bytes()
