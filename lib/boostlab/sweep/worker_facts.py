"""What a worker has, as it says itself: versions, its machine, and whether it can use the store."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boostlab.errors import LabError
from boostlab.tracking.store import Store


def describe_worker(order: Mapping[str, str]) -> dict[str, Any]:
    """Return what a worker has: versions, its machine, and why it cannot use the store (empty: it can).

    Parameters
    ----------
    order : mapping
        ``store``, the address, and ``file``, the file or folder of a store on the sweep's machine.
    """
    from boostlab.cluster import read_versions
    from boostlab.tracking.probe import check_reachable

    fault = ""
    try:
        check_reachable(Store(order["store"]), fresh=True)
    except LabError as error:
        fault = str(error)
    return {
        "versions": read_versions(),
        "machine": find_machine(),
        "stamp": stamp_file(order["file"]),
        "fault": fault,
        "host": socket.gethostname(),
    }


def find_machine() -> str:
    """Return what tells this machine, in its present boot, from others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def stamp_file(path: str) -> tuple[int, int] | None:
    """Return what tells a file or folder from others on this machine; None if there is none."""
    try:
        found = os.stat(path) if path else None  # noqa: PTH116
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None
