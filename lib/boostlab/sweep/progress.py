"""Progress of a sweep: how many trials ended how, the best value so far and the time left, at most twice a second.

In a notebook it is one output, which is updated; JupyterLab shows it with a bar and the curve of the best value. A terminal has
one line, which is written again in its place. A log gets a few lines: the first, the last, and at most nine between.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, TextIO

from boostlab.display.html import render_html
from boostlab.display.numbers import format_number
from boostlab.notebook.session import find_shell, is_headless
from boostlab.notebook.status_line import status_line
from boostlab.sweep.ranking import count_states, find_best, find_median_s, format_duration, list_complete, trace_best
from boostlab.sweep.trial import Objective, Trial

INTERVAL_S = 0.5
LOG_INTERVAL_S = 60.0  # between two lines of a log
WIDTH, HEIGHT = 706, 120  # of the curve's area, in CSS pixels
TICKS = 4


class SweepProgress:
    """Shows the progress of a sweep of `total` trials.

    Attributes
    ----------
    objectives : sequence of Objective
        May be set later, as the first trial may have to tell them.
    """

    def __init__(self, total: int, objectives: Sequence[Objective]) -> None:
        self._total, self.objectives = total, objectives
        self._started = self._logged = time.monotonic()
        self._shown, self._lines, self._tenth, self._closed = 0.0, 0, 0, False
        self._line, self._counts = f"0 of {total:,} trials", {"done": 0, "pruned": 0, "failed": 0}
        self._ended_before: int | None = None  # of a study that goes on, at the first update
        self._trials: Sequence[Trial] = ()
        self._workers = 1
        self._curve: dict[int, float] = {}
        self._handle: Any = None
        if find_shell() is not None:
            from IPython.display import display

            self._handle = display({"text/plain": self._line}, raw=True, display_id=True)
        else:
            self._write(self._line)

    def show(self, trials: Sequence[Trial], *, workers: int = 1) -> None:
        """Update from all trials of the study: at once if an update is due, else at the end."""
        self._trials, self._workers = trials, workers
        if self._is_due():
            self._count()

    def update(
        self,
        *,
        done: int = 0,
        running: int = 0,
        pruned: int = 0,
        failed: int = 0,
        best: float | Sequence[float] | None = None,
        workers: int = 1,
        median_s: float | None = None,
    ) -> None:
        """Update the numbers, and what is shown if an update is due.

        Parameters
        ----------
        done, running, pruned, failed : int
            Trials of the whole study; `done` are the complete ones.
        best : float or sequence of float, optional
            The best value so far, of each metric.
        median_s : float, optional
            The median duration of a trial; without it, the time left follows from the pace so far.
        """
        self._counts = {"done": done, "pruned": pruned, "failed": failed}
        ended = done + pruned + failed
        self._ended_before = ended if self._ended_before is None else self._ended_before
        values = [] if best is None else [best] if isinstance(best, int | float) else [*best]
        if len(self.objectives) == len(values) == 1 and values[0] != next(reversed(self._curve.values()), None):
            self._curve[done] = float(values[0])
        counts = {"running": running, "pruned": pruned, "failed": failed}
        parts = [f"{ended:,} of {self._total:,} trials", *(f"{count:,} {state}" for state, count in counts.items() if count)]
        parts += [f"best {_name(each)} {format_number(value)}" for each, value in zip(self.objectives, values, strict=False)]
        self._line = " · ".join(parts)
        if self._is_due():
            self._shown = time.monotonic()
            left_s = self._find_left_s(ended, running=running, workers=workers, median_s=median_s)
            self._draw(self._line if left_s is None else f"{self._line} · about {format_duration(left_s)} left")

    def close(self) -> None:
        """Show the last numbers with the duration of the sweep."""
        if not self._closed:
            self._shown = time.monotonic()  # the last numbers are shown once, below
            if self._trials:
                self._count()
            self._closed = True
            self._draw(f"{self._line} · {format_duration(time.monotonic() - self._started)}")

    def _count(self) -> None:
        """Update from the trials that :meth:`show` got last."""
        trials, objectives = self._trials, self.objectives
        counts = count_states(trials)
        firsts = [find_best(trials, objectives, position=place) for place in range(len(objectives))]
        best = [trial.values[place] for place, trial in enumerate(firsts) if trial is not None]
        if len(objectives) == 1:
            places = {trial.number: place for place, trial in enumerate(list_complete(trials, objectives), 1)}
            self._curve = {places[number]: value for number, value in trace_best(trials, objectives).items()}
        self.update(
            done=counts["complete"],
            running=counts["running"],
            pruned=counts["pruned"],
            failed=counts["failed"],
            best=best,
            workers=self._workers,
            median_s=find_median_s(trials),
        )

    def _is_due(self) -> bool:
        return not self._closed and (not self._shown or time.monotonic() - self._shown >= INTERVAL_S)

    def _find_left_s(self, ended: int, *, running: int, workers: int, median_s: float | None) -> float | None:
        """Return how long the other trials take; None while that is not known. Half of each running trial is taken as over."""
        left, here = self._total - ended, ended - (self._ended_before or 0)
        if left <= 0:
            return None
        if median_s is None:
            return (time.monotonic() - self._started) / here * left if here else None
        return median_s * max((max(0, left - running) + running / 2) / max(workers, 1), 0.5)

    def _draw(self, line: str) -> None:
        status_line.show(detail=line)
        if self._handle is None:
            self._write(line)
        elif is_headless():
            self._handle.update({"text/plain": line}, raw=True)
            self._log(line, sys.stdout)
        else:
            page = draw_sweep(self._curve, self.objectives, line=line, total=self._total, **self._counts)
            self._handle.update({"text/plain": line, "text/html": page}, raw=True)

    def _write(self, line: str) -> None:
        """Write the line over the one before in a terminal; in a log, now and then below it."""
        if sys.stderr.isatty():
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            sys.stderr.write(f"\r\x1b[K{line[: width - 1]}{chr(10) if self._closed else ''}")
            sys.stderr.flush()
        else:
            self._log(line, sys.stderr)

    def _log(self, line: str, stream: TextIO) -> None:
        """Write the first line, one at each tenth of the sweep at least a minute apart, and the last one.

        Headless, the first one is in the output that is updated.
        """
        now, share = time.monotonic(), sum(self._counts.values()) / max(self._total, 1)
        is_first = stream is sys.stderr and not self._lines
        is_last = self._closed and self._lines > 0
        if not (is_first or is_last or (share * 10 >= self._tenth + 1 and now - self._logged >= LOG_INTERVAL_S)):
            return
        self._lines, self._logged, self._tenth = self._lines + 1, now, int(share * 10)
        stream.write(f"{line}\n")
        stream.flush()


def draw_sweep(
    curve: Mapping[int, float], objectives: Sequence[Objective], *, line: str, total: int, done: int, pruned: int, failed: int
) -> str:
    """Return a bar of the ended trials and the curve of the best value so far, as HTML in the colours of the page.

    Parameters
    ----------
    curve : mapping of int to float
        The best value by the number of complete trials at each improvement; with fewer than two, there is only the bar.
    """
    from boostlab.display.figures import BLUE, GREY, PURPLE

    whole = max(total, done + pruned + failed, 1)
    parts = [(100 * count / whole, colour) for count, colour in ((done, BLUE), (pruned, GREY), (failed, PURPLE)) if count]
    share = (done + pruned + failed) / whole
    shown = {place: value for place, value in curve.items() if isfinite(value)}
    if len(shown) < 2 or len(objectives) != 1:
        return render_html("sweep_progress.html.j2", line=line, share=share, parts=parts)
    return render_html(
        "sweep_progress.html.j2", line=line, share=share, parts=parts, **_trace(shown, done), metric=_name(objectives[0])
    )


def _name(objective: Objective) -> str:
    """Return a metric's name to follow the word best."""
    return objective.metric.removeprefix("best_")


def _trace(curve: Mapping[int, float], done: int) -> dict[str, Any]:
    """Return the points of the step line and the labels of its axes."""
    from matplotlib.ticker import MaxNLocator

    low, high = min(curve.values()), max(curve.values())
    across, down = WIDTH / max(done - 1, 1), HEIGHT / (high - low)
    places, values = [*curve, done], [*curve.values()]
    corners = []
    for place, end, value in zip(places, places[1:], values, strict=False):
        corners += [(place, value), (end, value)]
    line = " ".join(f"{(place - 1) * across:.1f},{(high - value) * down:.1f}" for place, value in corners)
    counts = [mark for mark in MaxNLocator(TICKS + 3, integer=True).tick_values(1, done) if 1 <= mark <= done]
    marks = [mark for mark in MaxNLocator(TICKS).tick_values(low, high) if low <= mark <= high]
    return {
        "points": line,
        "width": WIDTH,
        "height": HEIGHT,
        "counts": [((mark - 1) * across, f"{mark:,.0f}") for mark in counts],
        "values": [((high - mark) * down, format_number(mark)) for mark in marks],
    }
