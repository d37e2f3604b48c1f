"""Progress of a training or of scoring, as an output that is updated at most twice a second.

It is not a widget: the notebook keeps its last state, and each front end shows it without a kernel. Headless it is one line.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import xgboost as xgb
from IPython.display import display

from boostlab.display.html import render_html
from boostlab.display.numbers import format_number
from boostlab.notebook.session import is_headless
from boostlab.notebook.status_line import status_line

INTERVAL_S = 0.5
WIDTH, HEIGHT = 706, 260  # of the curves' area, in CSS pixels: as large as in the figure of the finished training
MOST_POINTS = 353  # per curve: one for each two pixels
TICKS = 7


class RoundProgress(xgb.callback.TrainingCallback):
    """Shows rounds done, the time left and the validation metric, with its curve, at most twice a second.

    At the end the line and the full bar stay; the notebook draws the curves as a figure.
    """

    def __init__(self, num_boost_round: int) -> None:
        super().__init__()
        self._total = num_boost_round
        self._watched = not is_headless()
        self._handle: Any = None
        self._started = self._shown = 0.0

    def before_training(self, model: xgb.Booster) -> xgb.Booster:
        self._started = self._shown = time.monotonic()
        self._handle = display({"text/plain": "training …"}, raw=True, display_id=True)
        return model

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        self._last = epoch, evals_log
        now = time.monotonic()
        if now - self._shown >= INTERVAL_S:
            self._shown = now
            left = (now - self._started) / (epoch + 1) * (self._total - epoch - 1)
            self._show(f"at most {left:.0f} s left" if left < 120 else f"at most {left / 60:.0f} min left")
        return False

    def after_training(self, model: xgb.Booster) -> xgb.Booster:
        self._show(f"{time.monotonic() - self._started:.1f} s", done=True)
        return model

    def _show(self, duration: str, *, done: bool = False) -> None:
        if self._handle is None:
            return
        epoch, log = self._last
        metric, values = list(log["valid"].items())[-1]
        line = f"round {epoch + 1} of {self._total} · valid {metric} {format_number(values[-1])} · {duration}"
        shown = {"text/plain": line}
        status_line.show(detail=line)
        if self._watched:
            share, curves = (1.0, {}) if done else ((epoch + 1) / self._total, {part: log[part][metric] for part in log})
            shown["text/html"] = draw_progress(curves, metric=metric, line=line, share=share)
        self._handle.update(shown, raw=True)


class TextProgress:
    """A line of text that is updated."""

    def __init__(self, line: str) -> None:
        self._handle: Any = display({"text/plain": line}, raw=True, display_id=True)

    def show(self, line: str) -> None:
        """Replace the line."""
        if self._handle is not None:
            self._handle.update({"text/plain": line}, raw=True)


class RowProgress:
    """Shows the number of rows done and the speed in one line, at most twice a second."""

    def __init__(self) -> None:
        self._rows = 0
        self._started = self._shown = time.monotonic()
        self._line = TextProgress("0 rows")

    def add(self, rows: int) -> None:
        """Count finished rows."""
        self._rows += rows
        now = time.monotonic()
        if now - self._shown >= INTERVAL_S:
            self._shown = now
            self.show()

    def show(self) -> None:
        """Update the line."""
        seconds = max(time.monotonic() - self._started, 1e-6)
        line = f"{self._rows:,} rows in {seconds:.1f} s ({self._rows / seconds:,.0f} rows/s)"
        status_line.show(detail=line)
        self._line.show(line)


class StepProgress:
    """Shows how many of several equal steps are done, and the time left, in one line."""

    def __init__(self, total: int, unit: str) -> None:
        self._total, self._unit, self._done = total, unit, 0
        self._started = time.monotonic()
        self._line = TextProgress(f"0 of {total} {unit}")

    def add(self) -> None:
        """Count a step that is done."""
        self._done += 1
        seconds = time.monotonic() - self._started
        left = seconds / self._done * (self._total - self._done)
        duration = f"about {left:.0f} s left" if self._done < self._total else f"{seconds:.1f} s"
        line = f"{self._done} of {self._total} {self._unit} · {duration}"
        status_line.show(detail=line)
        self._line.show(line)


def draw_progress(curves: Mapping[str, Sequence[float]], *, metric: str, line: str, share: float) -> str:
    """Return a bar and curves as HTML in the colours of the page around it; only the bar if there are no curves.

    A template draws them: a matplotlib figure for each update would slow the training. They look like those of
    :func:`boostlab.training.plots.plot_learning_curves`.

    Parameters
    ----------
    curves : mapping of str to sequence of float
        ``train`` and ``valid``, a value per round.
    share : float
        The finished share, from 0 to 1.
    """
    if not curves:
        return render_html("progress.html.j2", line=line, share=share)
    from matplotlib.ticker import MaxNLocator

    from boostlab.display.figures import BLUE, ORANGE

    everything = [value for values in curves.values() for value in values if isfinite(value)] or [0.0]
    low, high, last = min(everything), max(everything), max(len(values) for values in curves.values())
    across, down = WIDTH / max(last - 1, 1), HEIGHT / (high - low or 1.0)
    rounds = [mark for mark in MaxNLocator(TICKS, integer=True).tick_values(1, last) if 1 <= mark <= last]
    values = [mark for mark in MaxNLocator(TICKS).tick_values(low, high) if low <= mark <= high]
    lines = {
        part: " ".join(f"{at * across:.1f},{(high - curve[at]) * down:.1f}" for at in _spread(len(curve)) if isfinite(curve[at]))
        for part, curve in curves.items()
    }
    return render_html(
        "progress.html.j2",
        lines=lines,
        colours={"train": BLUE, "valid": ORANGE},
        metric=metric,
        line=line,
        share=share,
        width=WIDTH,
        height=HEIGHT,
        rounds=[((mark - 1) * across, f"{mark:,.0f}") for mark in rounds],
        values=[((high - mark) * down, format_number(mark)) for mark in values],
    )


def _spread(count: int) -> list[int]:
    """Return at most 280 evenly spaced positions, with the first and the last."""
    step = max(1, -(-count // MOST_POINTS))
    return sorted({*range(0, count, step), count - 1})
