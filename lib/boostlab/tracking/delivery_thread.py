"""A thread that sends the journal's entries while the notebook runs."""

from __future__ import annotations

import logging
import threading

from boostlab.errors import StoreError
from boostlab.gc_pause import uncollected
from boostlab.models import packaging
from boostlab.notebook import document
from boostlab.tracking import delivery
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import OpenStore

SEND_INTERVAL_S = 0.05
IDLE_INTERVAL_S = 0.5  # a long training needs its cores more than frequent looks at an empty journal
LAST_SEND_TIMEOUT_S = 60.0


class DeliveryThread(threading.Thread):
    """Sends a journal's entries while the notebook runs."""

    def __init__(self, journal: Journal, store: OpenStore) -> None:
        super().__init__(name="boostlab-delivery", daemon=True)
        self._journal, self._store = journal, store
        self._stop_requested = threading.Event()

    def run(self) -> None:
        """Send until :meth:`finish` is called or the store is lost; the end of the execution then tries again."""
        interval_s = SEND_INTERVAL_S
        try:
            with uncollected():  # load what the end of the run needs while the kernel starts
                packaging.preload()
                document.preload()
            while not self._stop_requested.wait(interval_s):
                sent = delivery.send(self._journal, self._store)
                interval_s = SEND_INTERVAL_S if sent else min(interval_s * 1.2, IDLE_INTERVAL_S)
        except StoreError as error:
            logging.getLogger(__name__).warning("%s The journal keeps what the notebook records.", error)
        finally:
            if not self._stop_requested.is_set():
                self._journal.mark_lost()

    def finish(self) -> None:
        """Stop the thread, and wait once for a call that is in progress."""
        if self.ident is not None and not self._stop_requested.is_set():
            self._stop_requested.set()
            self.join(LAST_SEND_TIMEOUT_S)

    def check_stopped(self) -> None:
        """Raise a StoreError if a call to the store is still in progress: a second sender would repeat its entries."""
        if self.is_alive():
            raise StoreError(f"The tracking store has not answered for {LAST_SEND_TIMEOUT_S:.0f} s.")
