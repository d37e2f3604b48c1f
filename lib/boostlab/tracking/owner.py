"""The owner of a run: it opens the run, sends what is recorded, and ends the run.

A headless run is owned by the process of papermill, an interactive run by its kernel. If the owner is killed, the run's
watchdog ends the run. If the watchdog is killed too, the next execution on the host ends it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from boostlab.errors import StoreError
from boostlab.gc_pause import uncollected
from boostlab.models import packaging
from boostlab.notebook import document
from boostlab.redaction import find_secrets, redact
from boostlab.tracking import delivery, recovery
from boostlab.tracking.facts import RunFacts, describe_run
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import OpenStore
from boostlab.tracking.watchdog import start_watchdog

CREDENTIALS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")  # a notebook can print these variables
SEND_INTERVAL_S = 0.05
IDLE_INTERVAL_S = 0.5  # an empty journal is read rarely: a long training needs the cores
LAST_SEND_TIMEOUT_S = 60.0


def open_run(
    values: Mapping[str, Any],
    store: OpenStore,
    *,
    notebook: Path | None,
    origin: Literal["papermill", "jupyter"],
    output_path: Path | None,
) -> Owner:
    """Complete orphaned runs, and return the owner of a new run, which has not begun yet.

    The `values` are all parameters of the notebook, and `output_path` is the file of the executed notebook.

    Raises
    ------
    LabError
        If the journal's folder cannot be made.
    """
    recovery.complete_orphans(store)
    credentials = {name: os.environ[name] for name in CREDENTIALS if name in os.environ}
    secrets = find_secrets({**values, "store": store.uri, **credentials})
    facts = describe_run(values, store, notebook=notebook, origin=origin, output_path=output_path)
    return Owner(facts, store, secrets=secrets)


class Owner:
    """The owner of one run; :func:`open_run` makes it.

    Attributes
    ----------
    journal : Journal
        Keeps what the run records until the store has all of it.
    secrets : frozenset of str
        Texts that must stay out of the record.
    """

    def __init__(self, facts: RunFacts, store: OpenStore, *, secrets: frozenset[str]) -> None:
        self.journal = Journal.create(facts)
        self.store, self.secrets = store, secrets
        self._sender = threading.Thread(target=self._keep_sending, name="boostlab-delivery", daemon=True)
        self._stop_requested = threading.Event()
        self._watchdog: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Make the run in the store, and start the watchdog and the delivery.

        Raises
        ------
        StoreError
            If the store refuses the run; the journal is removed.
        """
        try:
            delivery.create_run(self.journal, self.store)
        except StoreError:
            self.journal.remove()
            raise
        self._watchdog = start_watchdog(self.journal.path, self.store, secrets=self.secrets)
        self._sender.start()

    def note_end(self, notebook: Any, status: str, tags: Mapping[str, str]) -> None:
        """Write the notebook, without secrets, and the final status into the journal."""
        self._stop_sending()
        if notebook is not None:
            with tempfile.TemporaryDirectory() as folder:
                shown = redact(notebook, self.secrets)
                files = document.stage_notebook(shown, self.journal.facts().notebook, Path(folder))
                self.journal.add("files", {}, files)
        delivery.add_end(self.journal, status, redact(dict(tags), self.secrets))

    def deliver(self) -> None:
        """Send the rest to the store, and release the run.

        Raises
        ------
        StoreError
            If the store is lost; the journal keeps the run.
        """
        try:
            if self._sender.is_alive():  # a call is still in progress: a second sender would repeat its entries
                raise StoreError(f"The tracking store has not answered for {LAST_SEND_TIMEOUT_S:.0f} s.")
            delivery.complete(self.journal, self.store)
        finally:
            self.release()

    def release(self) -> None:
        """Release the run; the watchdog delivers the rest, including the final status."""
        self._stop_sending()
        self.journal.release()
        if self._watchdog is not None:
            self._watchdog.communicate()  # closes its input, and waits for it

    def _keep_sending(self) -> None:
        """Send entries until a stop is requested or the store is lost; the end of the run then tries again."""
        interval_s = SEND_INTERVAL_S
        try:
            with uncollected():  # load what the end of the run needs while the kernel starts
                packaging.preload()
                document.preload()
            while not self._stop_requested.wait(interval_s):
                sent = delivery.send(self.journal, self.store)
                interval_s = SEND_INTERVAL_S if sent else min(interval_s * 1.2, IDLE_INTERVAL_S)
        except StoreError as error:
            logging.getLogger(__name__).warning("%s The journal keeps what the notebook records.", error)
        finally:
            if not self._stop_requested.is_set():
                self.journal.mark_lost()

    def _stop_sending(self) -> None:
        """Stop the thread, and wait once for a call that is in progress."""
        if self._sender.ident is not None and not self._stop_requested.is_set():
            self._stop_requested.set()
            self._sender.join(LAST_SEND_TIMEOUT_S)
