"""The folder of the sockets of an owner's forked kernels: it goes with its owner, however that ends.

The owner holds the folder's lock. If it is killed, its template process removes the folder. If that is killed too, the next
owner on this machine does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

PREFIX = "boostlab-sockets-"
PATH_LIMIT = 107  # bytes in the path of a Unix socket
PART_LENGTH = 24  # of it, for what lies in the folder
SHORT_FOLDER = "/tmp"  # noqa: S108  # what is made in it has a new name, and is closed to others
OWNER_END_S = 10.0  # a process that was killed releases its locks at once
POLL_S = 0.02


class SocketFolder:
    """A folder that only this user can open, with a lock; its path is short enough for sockets in folders in it.

    Attributes
    ----------
    path : pathlib.Path
    """

    def __init__(self) -> None:
        self._owner = os.getpid()
        parent = _find_parent()
        _remove_abandoned(parent)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            self._lock = _lock(self.path)
            if self._lock is not None:
                return  # else another owner has taken it for an abandoned one

    def make(self) -> Path:
        """Make a folder in it, for the sockets of one kernel."""
        return Path(tempfile.mkdtemp(prefix="", dir=self.path))

    def remove(self) -> None:
        """Remove it with all that is in it, and release the lock; in a fork of the owner, leave it to the owner."""
        if os.getpid() != self._owner:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None


def remove_after_owner(path: Path) -> None:
    """Remove the folder of an owner that is being killed."""
    deadline = time.monotonic() + OWNER_END_S
    while path.is_dir() and not _remove_if_abandoned(path) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _find_parent() -> Path:
    """Return the folder for temporary files, or a short one."""
    usual = Path(tempfile.gettempdir())
    return usual if len(os.fsencode(usual / f"{PREFIX}12345678")) + PART_LENGTH <= PATH_LIMIT else Path(SHORT_FOLDER)


def _remove_abandoned(parent: Path) -> None:
    for path in parent.glob(f"{PREFIX}*"):
        _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> bool:
    """Remove a folder whose lock is free, and tell whether it was."""
    descriptor = _lock(path)
    if descriptor is None:
        return False
    shutil.rmtree(path, ignore_errors=True)
    os.close(descriptor)
    return True


def _lock(path: Path) -> int | None:
    """Lock a folder, and return its descriptor; None if another process holds it, or it is gone or somebody else's."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                return descriptor
        os.close(descriptor)
    return None
