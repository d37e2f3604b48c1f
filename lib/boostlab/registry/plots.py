"""The timeline of a registered model: the stage of each version over time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from boostlab.display.figures import BLUE, GREEN, ORANGE, finish_axes, make_axes, shorten_label
from boostlab.registry.history import ALIASES, Stage, Transition
from boostlab.registry.view import ModelView

COLOURS: dict[Stage, str] = {"test": ORANGE, "staging": BLUE, "production": GREEN}
MAX_VERSIONS = 12
Period = tuple[int, Stage, float, float]  # version, stage, start and end in seconds since 1970


def plot_timeline(view: ModelView, *, axes: Axes | None = None) -> Figure:
    """Draw one line per version over time, coloured by stage: the 12 versions with the latest transitions, the newest on top."""
    transitions = view.history.transitions
    periods = find_periods(transitions, now=time.time())
    last = {transition.version: transition.time_ms for transition in transitions}
    versions = sorted(sorted(last, key=lambda version: -last[version])[:MAX_VERSIONS])
    axes = axes or make_axes(1.5 + 0.36 * max(len(versions), 2))
    for stage in ALIASES:
        chosen = [period for period in periods if period[1] == stage and period[0] in versions]
        starts, ends = [_date(period[2]) for period in chosen], [_date(period[3]) for period in chosen]
        rows = [versions.index(period[0]) for period in chosen]
        axes.hlines(rows, starts, ends, color=COLOURS[stage], linewidth=9, label=stage)
        axes.plot(starts, rows, "|", color=COLOURS[stage], markersize=16, markeredgewidth=2)
    axes.set_yticks(range(len(versions)), [f"version {version}" for version in versions])
    axes.set_ylim(-0.7, len(versions) - 0.3)
    locator = AutoDateLocator(maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    return finish_axes(axes, f"{shorten_label(view.name, 60)}: stages by version", x="local time")


def find_periods(transitions: Sequence[Transition], *, now: float) -> list[Period]:
    """Return the periods of each version in each stage; the last period of a version ends at `now` (seconds since 1970)."""
    periods: list[Period] = []
    since: dict[int, tuple[Stage, float]] = {}
    for transition in transitions:
        stage, start = since.pop(transition.version, (transition.from_stage, 0.0))
        if start:
            periods.append((transition.version, stage, start, transition.time_ms / 1000))
        since[transition.version] = transition.to_stage, transition.time_ms / 1000
    return periods + [(version, stage, start, max(now, start)) for version, (stage, start) in since.items()]


def _date(seconds: float) -> float:
    return float(date2num(datetime.fromtimestamp(seconds)))  # type: ignore[no-untyped-call]
