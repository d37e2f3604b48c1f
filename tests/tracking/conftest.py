"""Stores and journals that the tests of runs share."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.runs import make_facts
from tests.support.stores import NewStore

from boostlab.tracking.journal import Journal
from boostlab.tracking.store import OpenStore, Store, find_store, open_store


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> Iterator[dict[str, OpenStore]]:
    folder = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ALLOW_FILE_STORE"):
            patch.setenv(name, "true")
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        found = [find_store(address, project=folder) for address in (new_store(folder), str(folder / "mlruns"))]
        yield {store.scheme: open_store(store) for store in found}


@pytest.fixture
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Put the user's state folder on a small disk of its own, and return a function that fills the disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk needs root: {done.stderr.strip()}")
    monkeypatch.setenv("XDG_STATE_HOME", str(disk))

    def fill() -> None:
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))

    yield fill
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
def sqlite(stores: dict[str, OpenStore]) -> OpenStore:
    return stores["sqlite"]


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Journal]:
    """Return a function that makes the journal of a run that begins, in an experiment of the test's own."""

    def make(at: Store, **more: Any) -> Journal:
        return Journal.create(make_facts(**{"store": at.shown, "experiment": f"é/{tmp_path}", "run_name": "a run", **more}))

    return make
