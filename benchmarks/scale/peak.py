"""The peak of this process's memory that belongs to no file, and a limit of it that this process can see.

Pages of files do not count: the system drops them when memory is short, and reads them again. So their share of the resident
memory says how much is free, and not how much is needed.
"""

from __future__ import annotations

import resource
import threading
import time
from pathlib import Path

EVERY_S = 0.02


class Peak:
    """Watches the anonymous memory of this process from now on.

    Attributes
    ----------
    bytes : int
        The peak so far.
    """

    def __init__(self) -> None:
        self.bytes = read_status("RssAnon")
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, read_status("RssAnon"))
            time.sleep(EVERY_S)


def read_status(name: str, process: int | str = "self", *, file: str = "status") -> int:
    """Return a figure of a process's status in bytes; 0 of one that has ended and is not waited for yet."""
    figure = Path(f"/proc/{process}/{file}").read_text().partition(f"{name}:")[2].split()
    return int(figure[0]) * 1024 if figure else 0


def limit_memory(size: int) -> None:
    """Let this process have `size` bytes of memory that belongs to no file, those that it has included."""
    left = size - read_status("RssAnon")
    resource.setrlimit(resource.RLIMIT_DATA, (read_status("VmData") + left,) * 2)
