"""The watchdog of a run: a small process that ends the run if the run's owner is killed.

It waits at a pipe that the operating system closes when the owner is gone. It imports MLflow only after that.

Run as ``python -m boostlab.tracking.watchdog JOURNAL``. The first line of its standard input is JSON with the store's
address and the secrets to mask; the input then stays open for as long as the owner lives.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boostlab.tracking.store import Store

ACQUIRE_TIMEOUT_S = 10.0
POLL_S = 0.05


def start_watchdog(journal: Path, store: Store, *, secrets: frozenset[str]) -> subprocess.Popen[bytes]:
    """Start the watchdog of a run; closing the `stdin` of the process tells it that the owner is gone."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "boostlab.tracking.watchdog", str(journal)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a signal to the owner's process group must not reach it
    )
    assert process.stdin is not None
    order = {"store": store.uri, "artifact_root": str(store.artifact_root or ""), "secrets": sorted(secrets)}
    process.stdin.write(json.dumps(order).encode() + b"\n")
    process.stdin.flush()
    return process


def main(journal: Path) -> None:
    """Wait until the owner is gone, then complete its run."""
    order = json.loads(sys.stdin.readline())
    sys.stdin.read()
    deadline = time.monotonic() + ACQUIRE_TIMEOUT_S
    while journal.exists():
        if _complete(journal, order) or time.monotonic() > deadline:
            return
        time.sleep(POLL_S)


def _complete(path: Path, order: dict[str, Any]) -> bool:
    from boostlab.errors import LabError
    from boostlab.tracking import delivery, recovery
    from boostlab.tracking.journal import Journal
    from boostlab.tracking.store import Store, check_reachable, open_store

    journal = Journal(path)
    if not journal.acquire():
        return False
    try:
        store = Store(order["store"], Path(order["artifact_root"]) if order["artifact_root"] else None)
        check_reachable(store)  # open_store would make a new local store in place of a lost one
        opened = open_store(store)
        recovery.end_abandoned(journal, secrets=frozenset(order["secrets"]))
        delivery.complete(journal, opened)
    except LabError:
        pass  # the store is lost too: the next execution, or `boostlab deliver`, tries again
    finally:
        journal.release()
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
