"""The owner of a run: it opens the run, writes the end into the journal, and waits until the store has everything.

A headless run is owned by the process of papermill, an interactive run by its kernel. The run's courier alone talks to the
store. If the owner is killed, the courier ends the run. If the courier is killed too, the next execution on the host does.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from boostlab.errors import LabError, StoreError
from boostlab.gc_pause import uncollected
from boostlab.notebook import document
from boostlab.redaction import environment_secrets, find_secrets, redact
from boostlab.tracking.courier import Courier, Shipment
from boostlab.tracking.delivery import add_end
from boostlab.tracking.facts import RunFacts, describe_run
from boostlab.tracking.journal import Journal


def open_run(
    values: Mapping[str, Any],
    courier: Courier,
    *,
    notebook: Path | None,
    origin: Literal["papermill", "jupyter"],
    output_path: Path | None,
    tags: Mapping[str, str] | None = None,
) -> Owner:
    """Return the owner of a new run, which has not begun yet.

    The `values` are all parameters of the notebook, and `output_path` is the file of the executed notebook. The run begins with
    the `tags` besides its own.

    Raises
    ------
    LabError
        If the journal cannot be made.
    """
    secrets = find_secrets({**values, "store": courier.store.uri}) | environment_secrets()
    facts = describe_run(values, courier.store, notebook=notebook, origin=origin, output_path=output_path)
    facts = replace(facts, params=redact(facts.params, secrets), tags=facts.tags | redact(dict(tags or {}), secrets))
    return Owner(facts, courier, secrets=secrets)


class Owner:
    """The owner of one run; :func:`open_run` makes it. Leaving its context releases the run.

    Attributes
    ----------
    journal : Journal
        Keeps what the run records until the store has all of it.
    secrets : frozenset of str
        Texts that must stay out of the record.
    """

    def __init__(self, facts: RunFacts, courier: Courier, *, secrets: frozenset[str]) -> None:
        self.journal = Journal.create(facts)
        self.store, self.secrets = courier.store, secrets
        self._courier = courier
        self._planned = facts
        self._shipment: Shipment | None = None  # once the run has begun

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def release(self) -> None:
        """Release the run: the courier delivers the rest, and ends a run without a final status.

        A run that has not begun is dropped.
        """
        if self._shipment is not None:
            self.journal.release()
        else:
            self.journal.remove()

    @property
    def facts(self) -> RunFacts:
        """The run's facts; the ids are empty until the store has the run."""
        return (self._shipment and self._shipment.facts) or self._planned

    def begin(self) -> None:
        """Make the run in the store; from now on the courier sends what is recorded.

        Raises
        ------
        StoreError
            If the store cannot be opened or refuses the run.
        """
        self._shipment = self._courier.carry(self.journal, secrets=self.secrets)
        try:
            self._shipment.wait_for_run()
        except StoreError:
            if (self.journal.path / "creating").exists():  # the store may have the run, though its answer was lost
                add_end(self.journal, "FAILED", {"boostlab.reason": "The store was lost while the run was being made."})
            else:
                self.journal.remove()
            raise
        threading.Thread(target=_preload, name="boostlab-preload", daemon=True).start()

    def note_end(self, notebook: Any, status: str, tags: Mapping[str, str]) -> None:
        """Write the notebook, without secrets, and the final status into the journal."""
        masked = redact(dict(tags), self.secrets)
        if notebook is not None:
            try:
                with tempfile.TemporaryDirectory(prefix=".", dir=self.journal.path) as folder:
                    shown = redact(notebook, self.secrets)
                    self.journal.add("files", {}, document.stage_notebook(shown, self.facts.notebook, Path(folder)))
            except (OSError, LabError) as error:  # such as a full disk: the end has its own space
                masked["boostlab.notebook_state"] = f"none: {error}"
        add_end(self.journal, status, masked)

    def deliver(self) -> None:
        """Wait until the store has the whole run, and release it.

        Raises
        ------
        StoreError
            If the store is lost or refuses a part of the run; the journal keeps it.
        """
        assert self._shipment is not None
        with self:
            self._shipment.wait_for_end()


def _preload() -> None:
    """Load what the end of the run needs, while the cells run."""
    with uncollected():
        from boostlab.notebook import page

        page.preload()
