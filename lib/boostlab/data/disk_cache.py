"""Files that stand in for memory: a table and arrays that lie on disk and are mapped, so that their pages can leave memory.

Table and arrays are files without a name: the system frees them with the process, whatever ends it. XGBoost opens its pages by
name. They are in a folder, which goes with this object, or with the process: a small process waits for the end of this one. What
is left after the end of both, for example of a container, the next execution removes: the folder's lock is then free.
"""

from __future__ import annotations

import fcntl
import glob
import mmap
import os
import shutil
import socket
import subprocess
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from boostlab.data.batches import BATCH_ROWS, join
from boostlab.errors import DataError

VARIABLE = "BOOSTLAB_CACHE"
REMEDY = f"Set the environment variable {VARIABLE} to a folder on a disk with room."
IN_MEMORY = ("tmpfs", "ramfs")  # file systems that are no disk
RESERVE_BYTES = 256 << 20  # of the disk that stays free
# In a shell: its input ends with the process that holds the other end.
REMOVE = 'exec 3<&0; (read -r _ <&3; rm -rf -- "$0") >/dev/null 2>&1 &'

Array = np.ndarray[Any, Any]


def find_cache_root() -> Path:
    """Return the folder for caches: of ``BOOSTLAB_CACHE``, else of the XDG base directories; else of temporary files."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(os.path.expanduser(given))  # noqa: PTH111  # which leaves ~ where there is no home
    home = os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(os.environ.get("XDG_CACHE_HOME") or (home if home[0] != "~" else tempfile.gettempdir())) / "boostlab"


def find_free_disk() -> int:
    """Return the bytes that a cache may take: what is free where it would be, less a reserve; 0 if it cannot be there."""
    root = find_cache_root().absolute()
    try:
        there = next(folder for folder in (root, *root.parents) if folder.exists())
        is_disk = os.access(there, os.W_OK) and _find_file_system(there) not in IN_MEMORY
        return _find_room(there) if is_disk else 0
    except OSError:  # a folder that this user may not look into
        return 0


class Cache:
    """A folder on disk for one table.

    Attributes
    ----------
    folder : Path
    """

    def __init__(self) -> None:
        """Make the folder.

        Raises
        ------
        DataError
            If it cannot be made, or would be in memory.
        """
        root = find_cache_root()
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            kind = _find_file_system(root)
            if kind in IN_MEMORY:
                raise DataError(f"The cache of memory = external, {root}, is a file system in memory ({kind}). {REMEDY}")
            with _locked(root):
                _remove_leftovers(root)
                self.folder = Path(tempfile.mkdtemp(prefix=f"table-{socket.gethostname()}-", dir=root))
                lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise DataError(f"The cache of memory = external cannot be made in {root}: {error.strerror}. {REMEDY}") from None
        # not at the exit of the interpreter: XGBoost would miss the pages of its last matrices
        weakref.finalize(self, _remove, os.getpid(), self.folder, lock, _start_remover(self.folder)).atexit = False

    def check_room(self, needed: int) -> None:
        """Raise a DataError if so many bytes do not fit on the disk."""
        free = _find_room(self.folder)
        if needed > free:
            raise DataError(
                f"memory = external needs {needed / 1e9:.3g} GB of disk for its cache, and {free / 1e9:.3g} GB are free in "
                f"{self.folder.parent}. Make room there. Or: {REMEDY}"
            )

    def gather(self, batches: Iterable[pa.Table]) -> pa.Table:
        """Write batches to disk, and return them as one mapped table; with types that differ, as their common type.

        Raises
        ------
        DataError
            If the disk is full.
        """
        parts = [self._write(schema, group) for schema, group in groupby(batches, key=lambda batch: batch.schema)]
        return join(parts)

    def make_array(self, shape: tuple[int, int]) -> Array:
        """Return an array of float32 on disk, whose values are not set.

        Raises
        ------
        DataError
            If the disk is full.
        """
        size = shape[0] * shape[1] * np.dtype(np.float32).itemsize
        self.check_room(size)
        with self._described(), tempfile.TemporaryFile(dir=self.folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)  # else a full disk would end the process when a page is written
            return np.frombuffer(mmap.mmap(file.fileno(), size), np.float32).reshape(shape)

    def _write(self, schema: pa.Schema, batches: Iterable[pa.Table]) -> pa.Table:
        with self._described(), tempfile.TemporaryFile(dir=self.folder) as file:
            with pa.ipc.new_stream(file, schema) as writer:  # a stream takes a dictionary for each batch
                for batch in batches:
                    self.check_room(batch.nbytes)
                    writer.write_table(batch, max_chunksize=BATCH_ROWS)
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()

    @contextmanager
    def _described(self) -> Iterator[None]:
        """Turn an error of the disk into a DataError."""
        try:
            yield
        except OSError as error:
            raise DataError(f"The cache of memory = external, {self.folder}, cannot be written: {error}. {REMEDY}") from None


def _start_remover(folder: Path) -> int:
    """Start a process that removes the folder when this one ends; return the descriptor that it waits for."""
    waits, held = os.pipe()
    try:
        subprocess.run(["/bin/sh", "-c", REMOVE, str(folder)], stdin=waits, start_new_session=True, check=True)
    finally:
        os.close(waits)
    return held


def _remove(owner: int, folder: Path, *descriptors: int) -> None:
    if os.getpid() == owner:  # and not a copy of the process, which ends before it
        shutil.rmtree(folder, ignore_errors=True)
        for descriptor in descriptors:
            os.close(descriptor)


def _remove_leftovers(root: Path) -> None:
    """Remove the folders of this host whose lock is free: their processes have ended. Hosts may not see each other's locks."""
    for folder in root.glob(f"table-{glob.escape(socket.gethostname())}-????????"):  # and not of a host whose name is longer
        try:
            with (folder / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:  # under the lock of the root, no folder is being made
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    with (root / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _find_room(folder: Path) -> int:
    return max(0, shutil.disk_usage(folder).free - RESERVE_BYTES)


def _find_file_system(folder: Path) -> str:
    """Return the type of the file system that holds a folder."""
    place = folder.resolve()
    mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    return next((mounts[one] for one in (place, *place.parents) if one in mounts), "")
