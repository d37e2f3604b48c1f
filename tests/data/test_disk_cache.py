"""The cache on disk: tables and arrays that are mapped, a full disk, and what a killed process leaves."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from boostlab.data.batches import gather_in_memory
from boostlab.data.disk_cache import Cache, find_cache_root, find_free_disk
from boostlab.errors import DataError


def read_anonymous() -> int:
    """Return the bytes of this process's memory that belong to no file."""
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]) * 1024


def test_gathers_a_table_with_the_types_of_memory() -> None:
    coded = pa.array(["a", None, "b"]).dictionary_encode()
    batches = [
        pa.table({"n": [1, 2, 3], "t": ["x", None, "zz"], "c": coded, "b": [True, None, False]}),
        pa.table({"n": [1.5, None, 3], "t": ["x", "", "Ü"], "c": pa.array(["c", "a", "a"]).dictionary_encode(), "b": [None] * 3}),
    ]
    table = Cache().gather(iter(batches))
    assert table.equals(gather_in_memory(batches))
    assert table.schema == gather_in_memory(batches).schema
    assert table.schema.field("n").type == pa.float64()
    assert Cache().gather([]).num_rows == 0


def test_a_mapped_table_takes_no_memory() -> None:
    cache, before = Cache(), read_anonymous()
    table = cache.gather(pa.table({"x": np.random.default_rng(seed).random(500_000)}) for seed in range(16))
    assert table.nbytes == 64_000_000
    assert read_anonymous() - before < 32_000_000
    assert [one.name for one in cache.folder.iterdir()] == ["lock"]  # the file has no name
    assert table.column("x")[-1].as_py() == np.random.default_rng(15).random(500_000)[-1]


def test_makes_an_array_that_outlives_the_cache(cache_root: Path) -> None:
    array = Cache().make_array((1000, 7))
    array[:] = np.arange(7000).reshape(1000, 7)
    assert array.dtype == np.float32
    assert array.sum() == np.arange(7000).sum()
    assert not list(cache_root.glob("table-*"))


def test_refuses_what_does_not_fit_on_the_disk() -> None:
    with pytest.raises(DataError, match=r"needs 4e\+06 GB of disk for its cache, and .* GB are free in .* Set .* BOOSTLAB_CACHE"):
        Cache().make_array((10**9, 10**6))


def test_says_why_the_disk_refuses() -> None:
    cache, limits = Cache(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"cannot be written: .*File too large.* BOOSTLAB_CACHE"):
            cache.gather(pa.table({"x": np.zeros(10**6)}) for _ in range(3))
        with pytest.raises(DataError, match=r"cannot be written: .*File too large.* BOOSTLAB_CACHE"):
            cache.make_array((10**6, 2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a file system in memory")
def test_refuses_a_file_system_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path("/dev/shm") / f"boostlab-test-{os.getpid()}"
    monkeypatch.setenv("BOOSTLAB_CACHE", str(folder))
    assert find_free_disk() == 0
    try:
        with pytest.raises(
            DataError, match=r"is a file system in memory \(tmpfs\)\. Set .* BOOSTLAB_CACHE to a folder on a disk"
        ):
            Cache()
    finally:
        folder.rmdir()


def test_refuses_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BOOSTLAB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"cannot be made in .*: Not a directory\. Set"):
        Cache()


def test_removes_what_dead_processes_left(cache_root: Path) -> None:
    alive = Cache()
    host = f"table-{socket.gethostname()}"
    for name in (f"{host}-deadbeef", f"{host}-tornleaf", f"{host}-2-deadbeef"):  # the last one is of another host
        (cache_root / name).mkdir()
        (cache_root / name / "pages-1").write_bytes(b"x")
    (cache_root / f"{host}-deadbeef" / "lock").touch()
    (cache_root / "notes.txt").touch()
    other = Cache()
    left = {"lock", "notes.txt", f"{host}-2-deadbeef", alive.folder.name, other.folder.name}
    assert {one.name for one in cache_root.iterdir()} == left


def test_finds_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOOSTLAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_cache_root() == tmp_path / "boostlab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_cache_root() == tmp_path / ".cache" / "boostlab"
    monkeypatch.setenv("BOOSTLAB_CACHE", "~/here")
    assert find_cache_root() == Path.home() / "here"


def test_a_user_without_home_has_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BOOSTLAB_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987_654)  # as OpenShift gives one
    assert find_cache_root() == Path(tempfile.gettempdir()) / "boostlab"
    assert find_free_disk() >= 0
