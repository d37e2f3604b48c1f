"""Who owns a run: it makes the run, sends what is recorded while it lives, and ends it.

The engine owns a headless run, the kernel one that is explored by hand. Should the owner be killed, the run's keeper ends
the run; should that be killed as well, the next execution on the host does.
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
from boostlab.tracking.delivery_thread import Sender
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import OpenStore
from boostlab.tracking.watchdog import start_keeper


class Owner:
    """The owner of one run.

    Parameters
    ----------
    facts : RunFacts
        As :func:`boostlab.tracking.run.describe_run` returns them.
    secrets : frozenset of str
        What must stay out of the run's record.

    Attributes
    ----------
    journal : Journal
        What the run records, until the store has all of it.
    """

    def __init__(self, facts: RunFacts, store: OpenStore, *, secrets: frozenset[str]) -> None:
        self.journal = Journal.create(facts)
        self.store = store
        self._secrets = secrets
        self._sender = Sender(self.journal, store)
        self._keeper: subprocess.Popen[bytes] | None = None

    def begin(self) -> str:
        """Make the run, start to send, and return the run's id.

        Raises
        ------
        StoreError
            If the store refuses the run; nothing of it is left then.
        """
        try:
            run_id = delivery.create_run(self.journal, self.store)
        except StoreError:
            self.journal.remove()
            raise
        self._keeper = start_keeper(self.journal.path, self.store, secrets=self._secrets)
        self._sender.start()
        return run_id

    def note_end(self, notebook: Any, status: str, tags: Mapping[str, str]) -> None:
        """Put the notebook, without secrets, and the end into the journal: from here on the run's end is known."""
        self._sender.finish()
        if notebook is not None:
            with tempfile.TemporaryDirectory() as folder:
                shown = redact(notebook, self._secrets)
                self.journal.add("files", {}, stage_notebook(shown, self.journal.facts().notebook, Path(folder)))
        delivery.add_end(self.journal, status, redact(dict(tags), self._secrets))

    def deliver(self) -> None:
        """Put all that the store does not have yet into the store.

        Raises
        ------
        StoreError
            If the store is lost; the journal keeps the run.
        """
        try:
            self._sender.check_stopped()
            delivery.complete(self.journal, self.store)
        finally:
            self.release()

    def release(self) -> None:
        """Own the run no more: what of it is not delivered yet, its end too, is left to the keeper."""
        self._sender.finish()
        self.journal.disown()
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
            self._keeper.wait()
