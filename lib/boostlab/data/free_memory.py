"""The memory that this process can still get: the least that the machine, its control groups and its own limits leave."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

UNLIMITED = 2**60  # of a control group: a larger limit is none
CACHED = ("inactive_file", "active_file")  # pages of files, which a control group gives back when it needs memory
LIMITS = {  # of the process: the figure in its status that counts, and the option of ulimit
    resource.RLIMIT_DATA: ("VmData", "-d"),
    resource.RLIMIT_AS: ("VmSize", "-v"),
}


@dataclass(frozen=True)
class FreeMemory:
    """How much memory is free, and what limits it."""

    size: int  #: bytes, at least 0
    limit: str  #: what leaves least, in words

    def __str__(self) -> str:
        return f"{self.size / 1e9:.3g} GB ({self.limit})"


def find_free_memory(root: Path = Path("/")) -> FreeMemory:
    """Return the least memory that a limit leaves to this process.

    Pages of files count as free, because the system drops them when memory is short.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.
    """
    found = [FreeMemory(psutil.virtual_memory().available, "the machine"), *_list_groups(root)]
    status = _read_figures(root / "proc/self/status", scale=1024)
    for kind, (figure, option) in LIMITS.items():
        soft = resource.getrlimit(kind)[0]
        if soft != resource.RLIM_INFINITY and figure in status:
            found.append(FreeMemory(max(0, soft - status[figure]), f"ulimit {option}"))
    return min(found, key=lambda free: free.size)


def find_free_addresses(root: Path = Path("/")) -> int | None:
    """Return how many bytes of files this process can still map, by ``ulimit -v``; None without such a limit."""
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft == resource.RLIM_INFINITY:
        return None
    return max(0, soft - _read_figures(root / "proc/self/status", scale=1024).get("VmSize", 0))


def _list_groups(root: Path) -> Iterator[FreeMemory]:
    """Yield what each control group of this process leaves, of version 1 and of version 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            bases, names, prefix = ["memory"], ("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_"
        elif not controllers:
            bases, names, prefix = ["", "unified"], ("memory.max", "memory.current"), ""
        else:
            continue
        group = PurePosixPath(path)
        for base in bases:
            for one in (group, *group.parents):  # a limit holds for the groups below; in a container, the path is not visible
                yield from _read_group(root / "sys/fs/cgroup" / base / str(one).lstrip("/"), names, prefix)


def _read_group(folder: Path, names: tuple[str, str], prefix: str) -> Iterator[FreeMemory]:
    try:
        limit, used = ((folder / name).read_text().strip() for name in names)
    except OSError:
        return
    if limit == "max" or int(limit) >= UNLIMITED:
        return
    stat = _read_figures(folder / "memory.stat")
    cached = sum(stat.get(prefix + name, 0) for name in CACHED)
    yield FreeMemory(max(0, int(limit) - max(0, int(used) - cached)), "the control group")


def _read_figures(file: Path, *, scale: int = 1) -> dict[str, int]:
    """Return the figures of a file with a name and a number in each line; empty if it cannot be read."""
    try:
        fields = [line.replace(":", " ").split() for line in file.read_text().splitlines()]
    except OSError:
        return {}
    return {name: int(value) * scale for name, value, *_ in (field for field in fields if len(field) > 1) if value.isdigit()}
