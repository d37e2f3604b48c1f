"""A run's keeper: a small process that outlives the run's owner and ends the run, should the owner be killed.

It waits at a pipe that the system closes when the owner is gone, however that happens. Until then it has loaded nothing.

Run as ``python -m boostlab.tracking.watchdog JOURNAL``; its standard input brings one line of JSON, with the store's address and
what must stay out of the record, and then stays open for as long as the owner lives.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boostlab.tracking.store import Store

OWN_TIMEOUT_S = 10.0
POLL_S = 0.05


def start_keeper(journal: Path, store: Store, *, secrets: frozenset[str]) -> subprocess.Popen[bytes]:
    """Start the keeper of the run in a journal; closing the process's `stdin` says that the owner is gone."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "boostlab.tracking.watchdog", str(journal)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # it must survive what ends the owner's group
    )
    assert process.stdin is not None
    root = None if store.artifact_root is None else str(store.artifact_root)
    order = {"store": store.uri, "artifact_root": root, "secrets": sorted(secrets)}
    process.stdin.write(json.dumps(order).encode() + b"\n")
    process.stdin.flush()
    return process


def main(journal: Path) -> None:
    """Wait until the owner is gone; then complete what it has left."""
    order = json.loads(sys.stdin.readline())
    sys.stdin.read()
    deadline = time.monotonic() + OWN_TIMEOUT_S
    while journal.exists():
        if _complete(journal, order) or time.monotonic() > deadline:
            return
        time.sleep(POLL_S)


def _complete(path: Path, order: dict[str, object]) -> bool:
    from boostlab.errors import LabError
    from boostlab.tracking import delivery, recovery
    from boostlab.tracking.journal import Journal
    from boostlab.tracking.store import Store, check_reachable, open_store

    journal = Journal(path)
    if not journal.own():
        return False
    try:
        store = Store(str(order["store"]), Path(str(order["artifact_root"])) if order["artifact_root"] else None)
        check_reachable(store)  # a local store that is gone must not be made anew
        opened = open_store(store)
        recovery.end_abandoned(journal, secrets=frozenset(order["secrets"]))  # type: ignore[call-overload]
        delivery.complete(journal, opened)
    except LabError:
        pass  # the store is gone too: the next execution, or `boostlab deliver`, tries again
    finally:
        journal.disown()
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
