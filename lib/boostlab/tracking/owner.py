"""The owner of a run: it makes the run, sends what is recorded, and ends the run.

A headless run is owned by the process of papermill, an interactive run by its kernel. If the owner is killed, the run's
watchdog ends the run. If the watchdog is killed too, the next execution on the host ends it.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boostlab.errors import StoreError
from boostlab.notebook.document import stage_notebook
from boostlab.redaction import redact
from boostlab.tracking import delivery
from boostlab.tracking.delivery_thread import DeliveryThread
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import OpenStore
from boostlab.tracking.watchdog import start_watchdog


class Owner:
    """The owner of one run; :func:`boostlab.tracking.opening.open_run` makes it.

    Attributes
    ----------
    journal : Journal
        Keeps what the run records until the store has all of it.
    store : OpenStore
    secrets : frozenset of str
        Texts that must stay out of the record.
    """

    def __init__(self, facts: RunFacts, store: OpenStore, *, secrets: frozenset[str]) -> None:
        self.journal = Journal.create(facts)
        self.store, self.secrets = store, secrets
        self._delivery_thread = DeliveryThread(self.journal, store)
        self._watchdog: subprocess.Popen[bytes] | None = None

    def begin(self) -> str:
        """Make the run in the store, start the watchdog and the delivery, and return the run's id.

        Raises
        ------
        StoreError
            If the store refuses the run; the journal is removed.
        """
        try:
            run_id = delivery.create_run(self.journal, self.store)
        except StoreError:
            self.journal.remove()
            raise
        self._watchdog = start_watchdog(self.journal.path, self.store, secrets=self.secrets)
        self._delivery_thread.start()
        return run_id

    def note_end(self, notebook: Any, status: str, tags: Mapping[str, str]) -> None:
        """Write the notebook, without secrets, and the final status into the journal."""
        self._delivery_thread.finish()
        if notebook is not None:
            with tempfile.TemporaryDirectory() as folder:
                shown = redact(notebook, self.secrets)
                self.journal.add("files", {}, stage_notebook(shown, self.journal.facts().notebook, Path(folder)))
        delivery.add_end(self.journal, status, redact(dict(tags), self.secrets))

    def deliver(self) -> None:
        """Send the rest to the store, and release the run.

        Raises
        ------
        StoreError
            If the store is lost; the journal keeps the run.
        """
        try:
            self._delivery_thread.check_stopped()
            delivery.complete(self.journal, self.store)
        finally:
            self.release()

    def release(self) -> None:
        """Release the run; the watchdog delivers the rest, including the final status."""
        self._delivery_thread.finish()
        self.journal.release()
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
            self._watchdog.wait()
