"""The timeline of a registered model: which version was in which stage, and when."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from boostlab.display.figures import BLUE, GREEN, ORANGE, make_figure, shorten_label
from boostlab.registry.history import Transition
from boostlab.registry.stages import ALIASES, Stage

COLOURS: dict[Stage, str] = {"test": ORANGE, "staging": BLUE, "production": GREEN}
MOST_VERSIONS = 12
Spell = tuple[int, Stage, float, float]  # version, stage, and from when to when in seconds since 1970


def plot_timeline(events: Sequence[Transition], *, name: str) -> Figure:
    """Draw a line per version, coloured by stage, over time; the 12 versions that moved last, the newest on top."""
    now = time.time()
    spells = find_spells(events, now)
    last = {event.version: event.time_ms for event in events}
    versions = sorted(sorted(last, key=lambda version: -last[version])[:MOST_VERSIONS])
    figure, axes = make_figure(1.5 + 0.36 * max(len(versions), 2))
    for stage in ALIASES:
        chosen = [spell for spell in spells if spell[1] == stage and spell[0] in versions]
        starts, ends = [_date(spell[2]) for spell in chosen], [_date(spell[3]) for spell in chosen]
        rows = [versions.index(spell[0]) for spell in chosen]
        axes.hlines(rows, starts, ends, color=COLOURS[stage], linewidth=9, label=stage)
        axes.plot(starts, rows, "|", color=COLOURS[stage], markersize=16, markeredgewidth=2)
    axes.set_yticks(range(len(versions)), [f"version {version}" for version in versions])
    axes.set(title=f"{shorten_label(name, 60)}: versions in their stages", xlabel="local time", ylim=(-0.7, len(versions) - 0.3))
    locator = AutoDateLocator(maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    figure.legend(loc="outside lower center", ncols=len(ALIASES), frameon=False)
    return figure


def find_spells(events: Sequence[Transition], now: float) -> list[Spell]:
    """Return how long each version was in a stage, up to `now` (seconds since 1970) for those that still are."""
    spells: list[Spell] = []
    since: dict[int, tuple[Stage, float]] = {}
    for event in events:
        stage, start = since.pop(event.version, (event.from_stage, 0.0))
        if start:
            spells.append((event.version, stage, start, event.time_ms / 1000))
        since[event.version] = event.to_stage, event.time_ms / 1000
    return spells + [(version, stage, start, max(now, start)) for version, (stage, start) in since.items()]


def _date(seconds: float) -> float:
    return float(date2num(datetime.fromtimestamp(seconds)))  # type: ignore[no-untyped-call]
