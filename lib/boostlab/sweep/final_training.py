"""The final training of a sweep: the best point once more, with all cores, as a run of its own."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from boostlab.display.markdown import escape
from boostlab.display.numbers import format_number
from boostlab.errors import LabError

if TYPE_CHECKING:
    from boostlab.execution.workshop import Order, Outcome
    from boostlab.sweep.trial import Trial
    from boostlab.tracking.store import OpenStore


def choose_point(best: list[Trial]) -> Trial:
    """Return the trial whose point is trained once more.

    Raises
    ------
    LabError
        If no trial is complete, or several are on the Pareto front.
    """
    if not best:
        raise LabError("There is no final training, because no trial is complete.")
    if len(best) > 1:
        raise LabError(
            f"There is no final training, because {len(best)} trials are on the Pareto front: choose one of them by hand."
        )
    return best[0]


def train(order: Order, store: OpenStore) -> Outcome:
    """Execute the training, and return its outcome; an interrupt stops it.

    Raises
    ------
    LabError
        If the run does not end FINISHED.
    """
    from boostlab.execution.workshop import Stop, Workshop

    workshop, stop = Workshop(store), Stop()
    with contextlib.closing(workshop), ThreadPoolExecutor(1) as pool:  # this thread has the kernel's event loop
        training = pool.submit(workshop.execute, order, stop=stop)
        try:
            outcome = training.result()
        except KeyboardInterrupt:
            stop("an interrupt")
            raise
    if outcome.status != "FINISHED":
        raise LabError(f"The final training ended {outcome.status}: {outcome.reason}")
    return outcome


def describe_test(outcome: Outcome) -> str:
    """Return the metrics of the test rows in Markdown."""
    shown = [
        f"{escape(name)} = {format_number(value)}"
        for name, value in outcome.metrics.items()
        if name.startswith("test_") and not name.endswith(("_low", "_high"))
    ]
    return ", ".join(shown) or "no metric"
