"""The courier of an owner's runs: one process that alone talks to the store for them, seen from the owner.

The courier opens the store while the owner prepares its run. It makes the run, sends the entries of the journal, and ends the
run: when the owner has written the end, or when the owner's lock on the journal is free because the owner was killed. The
process is that of :mod:`boostlab.tracking.courier_process`. If the process dies, the owner starts another one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, Protocol

from boostlab.errors import StoreError
from boostlab.tracking import environment
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import Store

RESTARTS = 3  # in a row, without an entry sent in between
WAKE_S = 1.0  # a thread that waits without end cannot be interrupted on every platform


class CourierProcess(Protocol):
    """The process of a courier, as far as its owner uses it; :class:`subprocess.Popen` is one."""

    @property
    def stdin(self) -> IO[str] | None:
        """Takes the orders."""

    @property
    def stdout(self) -> IO[str] | None:
        """Gives the reports."""

    @property
    def returncode(self) -> int | None:
        """The exit status, if it is known."""

    def kill(self) -> None:
        """Send SIGKILL."""

    def __enter__(self) -> Any:
        """Leaving the context closes the pipes."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None: ...


def start_process() -> CourierProcess:
    """Start a courier process."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "boostlab.tracking.courier_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment.outside(),
        start_new_session=True,  # a signal to the owner's process group must not reach it
        text=True,
    )


class Courier:
    """A courier process and the shipments that it carries; it starts at once.

    Parameters
    ----------
    is_only : bool
        Whether it carries one journal and then ends. Otherwise it carries one after the other, until it is dismissed.
    start : callable, optional
        Starts the process. One that takes the place of a process that has died is started by :func:`start_process`.
    """

    def __init__(self, store: Store, *, is_only: bool = True, start: Callable[[], CourierProcess] | None = None) -> None:
        self.store = store
        self._is_only = is_only
        self._shipments: dict[str, Shipment] = {}  # those that are not delivered, by journal
        self._has_listener = self._has_ended = self._has_made_runs = self._is_dismissed = False
        self._lock = threading.Lock()
        self._process = self._name_store((start or start_process)())

    def carry(self, journal: Journal, *, secrets: frozenset[str]) -> Shipment:
        """Make the run of a journal in the store, and from now on send the journal's entries.

        Parameters
        ----------
        secrets : frozenset of str
            Texts to mask in the notebook of an owner that was killed.
        """
        order = json.dumps({"journal": str(journal.path), "secrets": sorted(secrets)})
        shipment = Shipment(journal, order)
        with self._lock:
            self._shipments[str(journal.path)] = shipment
            if self._has_ended:  # it has died while it had nothing to carry
                self._process, self._has_ended, self._has_listener = self._name_store(start_process()), False, False
            self._give_order(shipment)
            if not self._has_listener:
                self._has_listener = True
                threading.Thread(target=self._follow, name="boostlab-courier", daemon=True).start()
        return shipment

    def dismiss(self) -> None:
        """Give the courier no more journals: it ends once it has delivered those that it has."""
        with self._lock:
            self._is_dismissed = True
            if not self._has_listener:
                self._process.kill()
                _close(self._process)
            elif not self._is_only:
                self._close_orders()

    def _name_store(self, process: CourierProcess) -> CourierProcess:
        """Name the store to a new process: through a pipe, because the address may hold a password."""
        assert process.stdin is not None
        is_new = not self._has_made_runs  # a local store that is gone must not be made again for a run that it had
        order = {"store": self.store.uri, "artifact_root": str(self.store.artifact_root or "")}
        with contextlib.suppress(BrokenPipeError):  # it has died: the listener notices
            process.stdin.write(json.dumps(order | {"is_new": is_new, "is_only": self._is_only}) + "\n")
            process.stdin.flush()
        return process

    def _give_order(self, shipment: Shipment) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(shipment.order + "\n")
            stdin.flush()
        if self._is_only:
            self._close_orders()

    def _close_orders(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _follow(self) -> None:
        """Listen to the process until all is delivered. If that fails, those who wait for a run get an error."""
        try:
            self._listen()
        except Exception as error:
            with self._lock:
                self._has_ended, left, self._shipments = True, self._shipments, {}
                assert self._process.stdout is not None
                self._process.stdout.close()
                self._close_orders()  # it delivers what it has, and ends
            for shipment in left.values():
                shipment.fail(f"The reports of the courier cannot be followed: {error!r}.")

    def _listen(self) -> None:
        """Take the reports of the process; if it dies before its last report, start another one."""
        while True:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                if line.endswith("\n"):  # otherwise it was killed in the middle of a report
                    self._take(json.loads(line))
            with self._lock:  # an order goes to a process whose pipes are open, or to the next one
                _close(self._process)
                code = self._process.returncode
                left = [shipment for shipment in self._shipments.values() if self._may_restart(shipment, code)]
                if not left:
                    self._has_ended = True
                    return
                try:
                    self._process = self._name_store(start_process())
                except OSError as error:
                    for shipment in left:
                        shipment.fail(f"The courier of the run died, and no other can be started: {error.strerror}.")
                    self._has_ended = True
                    return
                for shipment in left:
                    self._give_order(shipment)
                if self._is_dismissed and not self._is_only:
                    self._close_orders()

    def _take(self, report: dict[str, Any]) -> None:
        with self._lock:
            shipment = self._shipments.get(report["journal"])
            if shipment is None:
                return
            self._has_made_runs |= report["event"] == "made"
            shipment.take(report)
            if report["event"] == "died" and self._may_restart(shipment, None):
                self._give_order(shipment)
            if shipment.is_over:
                del self._shipments[report["journal"]]

    def _may_restart(self, shipment: Shipment, code: int | None) -> bool:
        """Tell whether to give a shipment to the courier again, after the courier of it has died."""
        if shipment.note_death() <= RESTARTS:
            return True
        shipment.fail(f"The courier of the run died (exit status {code})." if code else "The courier of the run died.")
        return False


def _close(process: CourierProcess) -> None:
    """Close the pipes of a process that has ended or was killed, and wait for its end; an order may be left in a pipe."""
    with contextlib.suppress(BrokenPipeError), process:
        pass


class Shipment:
    """One run on its way to the store: what the courier has reported of it.

    Attributes
    ----------
    facts : RunFacts or None
        Facts of the run once the store has it.
    """

    def __init__(self, journal: Journal, order: str) -> None:
        self.order = order
        self.facts: RunFacts | None = None
        self._journal = journal
        self._changed = threading.Condition()
        self._failure: StoreError | None = None
        self._is_delivered = False
        self._deaths, self._sent = 0, 0  # of couriers in a row, and what was sent before the last one

    @property
    def is_over(self) -> bool:
        """Whether it was delivered, or was given up."""
        return self._is_delivered or self._failure is not None

    def wait_for_run(self) -> RunFacts:
        """Wait until the store has the run, and return its facts.

        Raises
        ------
        StoreError
            If the store cannot be opened or refuses the run.
        """
        with self._changed:
            while self.facts is None and self._failure is None:
                self._changed.wait(WAKE_S)
            if self.facts is None:
                assert self._failure is not None
                raise self._failure
            return self.facts

    def wait_for_end(self) -> None:
        """Wait until the store has the whole run with its end; the journal must have the end.

        Raises
        ------
        StoreError
            If the store is lost or refuses a part of the run; the journal keeps it.
        """
        self._journal.hurry()
        with self._changed:
            while not self.is_over:
                self._changed.wait(WAKE_S)
            if self._failure is not None:
                raise self._failure

    def note_death(self) -> int:
        """Return how many couriers have died in a row without an entry sent in between."""
        sent = self._journal.cursor.sent
        self._deaths, self._sent = (1, sent) if sent > self._sent else (self._deaths + 1, self._sent)
        return self._deaths

    def fail(self, message: str) -> None:
        """Give the run up: nobody carries it; the journal keeps it."""
        self.take({"event": "failed", "message": message, "kind": "lost"})

    def take(self, report: dict[str, Any]) -> None:
        """Take a report of the courier."""
        with self._changed:
            match report["event"]:
                case "made":
                    self.facts = RunFacts.from_json(report["facts"])
                case "delivered":
                    self._is_delivered = True
                case "failed":
                    self._failure = StoreError(report["message"], kind=report["kind"])
                    if self._journal.path.exists():
                        self._journal.mark_lost()  # nobody should wait for an answer of the store
                case "warning":
                    logging.getLogger(__name__).warning("%s", report["message"])
            self._changed.notify_all()
