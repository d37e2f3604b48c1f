"""Delivery while the notebook runs: a thread that sends what the kernel puts into the journal."""

from __future__ import annotations

import logging
import threading

from boostlab.errors import StoreError
from boostlab.gc_pause import uncollected
from boostlab.models import packaging as model
from boostlab.notebook import document as documents
from boostlab.tracking import delivery
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import OpenStore

SEND_INTERVAL_S = 0.05
IDLE_INTERVAL_S = 0.5  # a long training needs its cores more than a look at an empty journal
LAST_SEND_TIMEOUT_S = 60.0


class Sender(threading.Thread):
    """Sends a journal's entries while the notebook runs."""

    def __init__(self, journal: Journal, store: OpenStore) -> None:
        super().__init__(name="boostlab-sender", daemon=True)
        self._journal, self._store = journal, store
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Send until asked to stop, or until the store is lost: the end of the execution tries again."""
        interval_s = SEND_INTERVAL_S
        try:
            with uncollected():  # while the kernel starts, load what the end of the run needs
                model.preload()
                documents.preload()
            while not self._stop_asked.wait(interval_s):
                sent = delivery.send(self._journal, self._store)
                interval_s = SEND_INTERVAL_S if sent else min(interval_s * 1.2, IDLE_INTERVAL_S)
        except StoreError as error:
            logging.getLogger(__name__).warning("%s What the notebook records is kept.", error)
        finally:
            if not self._stop_asked.is_set():
                self._journal.mark_lost()

    def finish(self) -> None:
        """Stop, and wait for what is under way, once."""
        if self.ident is not None and not self._stop_asked.is_set():
            self._stop_asked.set()
            self.join(LAST_SEND_TIMEOUT_S)

    def check_stopped(self) -> None:
        """Raise a StoreError if a call to the store is still under way: nothing else may be sent then."""
        if self.is_alive():
            raise StoreError(f"The tracking store has not answered for {LAST_SEND_TIMEOUT_S:.0f} s.")
