"""The courier of a run: one process that alone talks to the store for the run, seen from the run's owner.

The courier opens the store while the owner prepares the run. It makes the run, sends the entries of the journal, and ends the
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
from typing import Any

from boostlab.errors import StoreError
from boostlab.tracking import environment
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import Store

RESTARTS = 3  # in a row, without an entry sent in between
WAKE_S = 1.0  # a thread that waits without end cannot be interrupted on every platform


class Courier:
    """A courier process and what it has reported; it starts at once.

    Attributes
    ----------
    facts : RunFacts or None
        Facts of the run once the store has it.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.facts: RunFacts | None = None
        self._journal: Journal | None = None
        self._order = ""
        self._changed = threading.Condition()
        self._failure: StoreError | None = None
        self._is_delivered = False
        self._process = self._start()

    def carry(self, journal: Journal, *, secrets: frozenset[str]) -> None:
        """Make the run of a journal in the store, and from now on send the journal's entries.

        Parameters
        ----------
        secrets : frozenset of str
            Texts to mask in the notebook of an owner that was killed.
        """
        self._journal = journal
        self._order = json.dumps({"journal": str(journal.path), "secrets": sorted(secrets)})
        self._give_order()
        threading.Thread(target=self._listen, name="boostlab-courier", daemon=True).start()

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
        with self._changed:
            while not self._is_delivered and self._failure is None:
                self._changed.wait(WAKE_S)
            if not self._is_delivered:
                assert self._failure is not None
                raise self._failure

    def dismiss(self) -> None:
        """Let a courier without a journal go."""
        if self._journal is None:
            with self._process:
                self._process.kill()

    def _start(self) -> subprocess.Popen[str]:
        """Start a courier process, and name the store to it: through a pipe, because the address may hold a password."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "boostlab.tracking.courier_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment.outside(),
            start_new_session=True,  # a signal to the owner's process group must not reach it
            text=True,
        )
        assert process.stdin is not None
        is_new = self.facts is None  # a local store that is gone must not be made again for a run that it had
        order = {"store": self.store.uri, "artifact_root": str(self.store.artifact_root or ""), "is_new": is_new}
        with contextlib.suppress(BrokenPipeError):  # it has died: the listener notices
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        return process

    def _give_order(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(self._order + "\n")
            stdin.close()

    def _listen(self) -> None:
        """Take the reports of the process; if it dies before its last report, start another one."""
        assert self._journal is not None
        restarts, sent = 0, 0
        while True:
            with self._process as process:
                assert process.stdout is not None
                for line in process.stdout:
                    self._take(json.loads(line))
            if self._is_delivered or self._failure is not None:
                return
            cursor = self._journal.cursor
            restarts, sent = (1, cursor.sent) if cursor.sent > sent else (restarts + 1, sent)
            if restarts > RESTARTS:
                code = self._process.returncode
                self._take({"event": "failed", "message": f"The courier of the run died (exit status {code}).", "kind": "lost"})
                return
            self._process = self._start()
            self._give_order()

    def _take(self, report: dict[str, Any]) -> None:
        with self._changed:
            match report["event"]:
                case "made":
                    self.facts = RunFacts.from_json(report["facts"])
                case "delivered":
                    self._is_delivered = True
                case "failed":
                    self._failure = StoreError(report["message"], kind=report["kind"])
                    if self._journal is not None and self._journal.path.exists():
                        self._journal.mark_lost()  # nobody should wait for an answer of the store
                case "warning":
                    logging.getLogger(__name__).warning("%s", report["message"])
            self._changed.notify_all()
