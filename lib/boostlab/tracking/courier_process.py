"""The process of a courier: it opens the store, makes runs, sends their journals, and ends the runs.

Run as ``python -m boostlab.tracking.courier_process``. The first line of its standard input is JSON with the store's address,
each further one with a journal. After the last line it ends once it has carried all journals. Its reports are lines of JSON on
its standard output.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from boostlab.errors import LabError, StoreError
from boostlab.gc_pause import uncollected
from boostlab.redaction import environment_secrets, redact
from boostlab.tracking.journal import Journal
from boostlab.tracking.probe import check_reachable
from boostlab.tracking.store import OpenStore, Store, open_store

if TYPE_CHECKING:
    from boostlab.tracking.delivery import Delivery

POLL_S = 0.02
OWNER_POLL_S = 0.5
ATTEMPTS = 4  # of a lost store, before it is reported
PAUSES_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # between attempts


def main() -> None:
    """Carry the runs of one owner."""
    reports = _Reports()
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"  # MLflow would repeat a request whose answer was lost, without a look
    order = json.loads(sys.stdin.readline())
    store = Store(order["store"], Path(order["artifact_root"]) if order["artifact_root"] else None)
    fault, opened = None, None
    try:
        with uncollected():
            opened = _open(store, is_new=order["is_new"])
    except StoreError as error:
        fault = error
    for number, line in enumerate(iter(sys.stdin.readline, "")):
        parcel = json.loads(line)
        journal = Journal(Path(parcel["journal"]))
        secrets, is_only = frozenset(parcel["secrets"]), order["is_only"]
        carrier = _Carrier(journal, store, opened, reports, secrets=secrets, is_only=is_only, is_first=number == 0)
        if is_only:
            carrier.carry(fault)
            return
        threading.Thread(target=_carry_beside, args=[carrier, fault], name=f"boostlab-{journal.path.name}").start()


class _Reports:
    """The lines for the owner, on what was the standard output; they are dropped once the owner is gone."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no report
        self._lock = threading.Lock()

    def add(self, journal: Journal, event: str, **more: Any) -> None:
        line = json.dumps({"event": event, "journal": str(journal.path), **more})
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):
            self._file.write(f"{line}\n")


def _carry_beside(carrier: _Carrier, fault: StoreError | None) -> None:
    """Carry one of several runs; if that raises an error, its owner gives it again."""
    try:
        carrier.carry(fault)
    except Exception:  # the journal has the traceback
        carrier.report("died")


class _Carrier:
    """Carries one journal to the store, until the store has the whole run or the attempts are used up."""

    def __init__(
        self,
        journal: Journal,
        store: Store,
        opened: OpenStore | None,
        reports: _Reports,
        *,
        secrets: frozenset[str],
        is_only: bool,
        is_first: bool,
    ) -> None:
        self._journal, self._store, self._opened, self._reports, self._secrets = journal, store, opened, reports, secrets
        self._is_only = is_only
        self._is_first = is_first  # of this process: it completes orphaned runs, and loads what all need
        self._has_owner = True
        self._failures = 0  # in a row
        self._is_preloaded = False
        self._is_end_sent = journal.has_end() and journal.cursor.sent >= journal.size

    def carry(self, fault: StoreError | None) -> None:
        """Make the run, and send what is recorded until the run has ended; `fault` is that of opening the store."""
        try:
            while not self._journal.acquire_delivery():  # a courier that died holds it for a moment
                time.sleep(POLL_S)
                if not self._journal.path.exists():
                    return
        except LabError as error:
            self.report("failed", message=str(error), kind="lost")
            return
        try:
            self._carry(fault)
        except Exception:
            text = redact(traceback.format_exc(), self._secrets | environment_secrets())
            (self._journal.path / "courier.log").write_text(text)
            raise
        finally:
            self._journal.release()

    def _carry(self, fault: StoreError | None) -> None:
        is_made = False
        while True:
            try:
                if fault is not None:
                    error, fault = fault, None
                    raise error
                delivery = self._reopen()
                if not is_made:
                    self.report("made", facts=asdict(delivery.create_run()))
                    is_made = True
                    if self._is_first:
                        self._start_orphans(delivery.store)
                if self._has_ended(delivery):
                    delivery.complete()
                    self.report("delivered")
                    return
                self._recover()
            except LabError as error:
                if self._fail(error, is_made=is_made):
                    return
                is_made = is_made and bool(self._journal.facts().run_id)  # a run that the store has lost is made again
                continue
            if self._is_first and not self._is_preloaded:
                self._is_preloaded = True
                _preload()
            self._wait_for_entries()

    def _has_ended(self, delivery: Delivery) -> bool:
        """Send what is recorded, and return whether the end of the run was sent; if its owner is gone, end it."""
        from boostlab.tracking import recovery

        if self._has_owner and self._journal.acquire():
            self._has_owner = False
            recovery.end_abandoned(self._journal, secrets=self._secrets)
        if self._journal.cursor.sent < self._journal.size:
            check_reachable(self._store)
            self._is_end_sent = delivery.send()
        return self._is_end_sent

    def _recover(self) -> None:
        if self._failures:
            self._failures = 0
            self._journal.mark_lost(lost=False)

    def _fail(self, error: LabError, *, is_made: bool) -> bool:
        """Note a failed attempt, and wait before the next one; return whether to give up."""
        self._failures += 1
        kind = error.kind if isinstance(error, StoreError) else "lost"
        has_end = self._journal.has_end()
        is_last = kind not in ("lost", "gone") or self._failures >= ATTEMPTS
        is_over = not is_made or has_end or not self._has_owner
        if is_last and (is_over or not self._journal.mark_lost()):  # who cannot write the journal leaves the mark to the owner
            self.report("failed", message=str(error), kind=kind)
            return True
        if self._failures == ATTEMPTS:
            self.report("warning", message=f"{error} The journal keeps what the notebook records.")
        deadline = time.monotonic() + PAUSES_S[min(self._failures, len(PAUSES_S)) - 1]
        size = self._journal.size
        while time.monotonic() < deadline and not (self._failures >= ATTEMPTS and self._journal.size > size):
            time.sleep(POLL_S)
        return False

    def _wait_for_entries(self) -> None:
        """Wait until there is something to send, or it is time to look for the owner.

        One of several runs collects its entries meanwhile, unless somebody waits: a few requests take less than many.
        """
        deadline = time.monotonic() + OWNER_POLL_S
        while time.monotonic() < deadline:
            if self._journal.is_hurried() or (self._is_only and self._journal.cursor.sent < self._journal.size):
                return
            time.sleep(POLL_S)

    def _reopen(self) -> Delivery:
        from boostlab.tracking.delivery import Delivery

        if self._opened is None:
            self._opened = _open(self._store, is_new=not self._journal.facts().run_id)
        return Delivery(self._journal, self._opened)

    def _start_orphans(self, store: OpenStore) -> None:
        """Complete orphaned runs beside this one, so that none of them delays it."""
        from boostlab.tracking import recovery

        def complete() -> None:
            for problem in recovery.complete_orphans(store):
                self.report("warning", message=problem)

        threading.Thread(target=complete, name="boostlab-orphans").start()

    def report(self, event: Literal["made", "warning", "delivered", "failed", "died"], **more: Any) -> None:
        """Report an event of this run to its owner."""
        self._reports.add(self._journal, event, **more)


def _open(store: Store, *, is_new: bool) -> OpenStore:
    if not is_new:
        check_reachable(store)  # open_store would make a new local store in place of a lost one
    return open_store(store)


def _preload() -> None:
    """Load what a model needs, while the notebook works."""
    from boostlab.models import packaging

    with uncollected():
        packaging.preload()


def load_all() -> None:
    """Load what a courier needs for stores of every kind, so that processes that are forked from this one have it."""
    import mlflow.store.artifact.http_artifact_repo
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    import boostlab.tracking.delivery
    import boostlab.tracking.recovery  # noqa: F401

    _preload()


if __name__ == "__main__":
    main()
