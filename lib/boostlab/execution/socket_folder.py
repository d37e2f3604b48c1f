"""The folder of a process's sockets, such as those of its forked kernels: it goes with its owner, however that ends.

The owner holds the folder's lock. If it is killed, its template process removes the folder. If there is none, or it is killed
too, the next owner with the same folder for temporary files does.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

PREFIX = "boostlab-sockets-"
PATH_LIMIT = 107  # bytes in the path of a Unix socket
PART_LENGTH = 24  # of it, for what lies in the folder
SHORT_FOLDER = "/tmp"  # noqa: S108  # what is made in it has a new name, and is closed to others
OWNER_END_S = 10.0  # a process that was killed releases its locks at once
POLL_S = 0.02
_shared: list[SocketFolder] = []  # one at most
_lock_of_shared = threading.Lock()


class SocketFolder:
    """A folder that only this user can open, with a lock; its path is short enough for sockets in folders in it.

    Attributes
    ----------
    path : pathlib.Path
    """

    def __init__(self) -> None:
        self._owner = os.getpid()
        remove_abandoned()
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_find_parent()))
            self._lock = _lock(self.path)
            if self._lock is not None:
                return  # else another owner has taken it for an abandoned one

    def remove(self) -> None:
        """Remove it with all that is in it, and release the lock; in a fork of the owner, leave it to the owner."""
        if os.getpid() != self._owner:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None


def share_folder() -> Path:
    """Return the folder of this process; it goes at the latest with the process."""
    with _lock_of_shared:
        if not (_shared and _shared[0].path.is_dir()):  # such as one that was removed as an old temporary file
            while _shared:
                _shared.pop().remove()
            _shared.append(SocketFolder())
        return _shared[0].path


def make_folder() -> Path:
    """Make a folder in that of this process, for the sockets of one kernel."""
    return Path(tempfile.mkdtemp(prefix="", dir=share_folder()))


def _remove_shared() -> None:
    while _shared:
        _shared.pop().remove()


def _forget_shared() -> None:
    """Leave the folder to the process that this one was forked from; another thread may have held the lock at that moment."""
    global _lock_of_shared
    _lock_of_shared = threading.Lock()
    _shared.clear()


atexit.register(_remove_shared)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_shared)


def remove_after_owner(path: Path) -> None:
    """Remove the folder of an owner that is being killed."""
    deadline = time.monotonic() + OWNER_END_S
    while path.is_dir() and not _remove_if_abandoned(path) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _find_parent() -> Path:
    """Return the folder for temporary files, or a short one."""
    usual = Path(tempfile.gettempdir())
    return usual if len(os.fsencode(usual / f"{PREFIX}12345678")) + PART_LENGTH <= PATH_LIMIT else Path(SHORT_FOLDER)


def remove_abandoned() -> None:
    """Remove the folders of owners that were killed with all their processes."""
    for path in _find_parent().glob(f"{PREFIX}*"):
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
