"""Progress of a training on workers: the rows that were sent, the workers and their memory, and where to watch them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from distributed import Client

from boostlab.cluster import Usage, find_dashboard
from boostlab.display.progress import TextProgress

if TYPE_CHECKING:
    from boostlab.tracking.run import Run

LOOK_S = 2.0  # the workers tell their usage about twice a second


class WorkerProgress:
    """Shows a line about the workers, and records what they use as system metrics of the run.

    Parameters
    ----------
    rows : int
        Number of rows that are sent to the workers in one attempt.
    shown : bool
        Whether there is a line; one of several trainings, which are shown together, has none.
    """

    def __init__(self, client: Client, run: Run | None, *, rows: int, shown: bool) -> None:
        self.shown = shown
        self._run, self._rows, self._sent = run, rows, 0
        self._usage, self._looked = Usage(client), 0.0
        dashboard = find_dashboard(client)
        self._link = f" · dashboard: {dashboard}" if dashboard else ""
        self._line = TextProgress(f"workers: connected{self._link}") if shown else None

    def begin(self) -> None:
        """Count the rows anew: an attempt begins."""
        self._sent = 0

    def add_rows(self, count: int) -> None:
        """Count rows that were sent; another thread does so."""
        self._sent += count

    def look(self) -> None:
        """Look at the workers, and update the line, at most every two seconds."""
        if time.monotonic() - self._looked > LOOK_S:
            self._update()

    def end(self) -> None:
        """Look a last time, and record what the workers used."""
        self._update()
        if self._run is not None:
            self._run.log_curves(self._usage.curves())

    def _update(self) -> None:
        if self._line is None:
            return
        self._usage.look()
        self._looked = time.monotonic()
        parts = [self._usage.describe() or "no worker"]
        parts += [f"{self._sent:,} of {self._rows:,} rows sent"] if self._sent < self._rows else []
        self._line.show(f"workers: {' · '.join(parts)}{self._link}")
