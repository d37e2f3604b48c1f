"""Figures of the course of a sweep: values and best so far, reports, and workers over time.

Each function draws one figure, and returns it. Where there is nothing to draw, the figure says why.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from boostlab.display.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MOST_POINTS,
    ORANGE,
    PURPLE,
    REFERENCE,
    finish_axes,
    make_axes,
    make_message,
    make_mosaic,
    shorten_label,
    shorten_names,
)
from boostlab.display.numbers import format_number
from boostlab.display.tips import add_tips
from boostlab.sweep.ranking import (
    Array,
    describe_lack,
    find_best,
    list_complete,
    trace_best,
)
from boostlab.sweep.scales import Scale, join_notes, point_look, scale_values, show_metric
from boostlab.sweep.trial import Objective, Trial, TrialState, describe_trial

COLOURS: dict[TrialState, str] = {"complete": BLUE, "pruned": GREY, "failed": PURPLE, "running": GREEN}
MOST_PANELS = 3
MOST_WORKERS = 24  # with a name on the axis
MOST_STEPS = 40  # of a trial's line
MOST_LINES = 120
REPORT_STATES: tuple[TrialState, ...] = ("pruned", "failed", "running", "complete")
UNITS_S = {"s": 1, "min": 60, "h": 3600, "days": 86400}


def plot_history(trials: Sequence[Trial], objectives: Sequence[Objective], *, axes: Axes | None = None) -> Figure:
    """Draw the value of each trial and the best so far by the number of the trial; one panel for each of up to three metrics.

    A pruned trial is at its last report, in the panel of the first metric. Trials without a value are on the lower edge.
    """
    complete = list_complete(trials, objectives)
    if not complete and not any(_find_last_report(trial) for trial in trials if trial.state == "pruned"):
        return make_message(describe_lack(trials))
    if axes is not None or len(objectives) == 1 or not complete:
        return _draw_history(axes or make_axes(3.8), trials, objectives, position=0)
    panels = [str(position) for position in range(min(len(objectives), MOST_PANELS))]
    figure, mosaic = make_mosaic([[panel] for panel in panels], height_in=3.2 * len(panels))
    for position, panel in enumerate(panels):
        _draw_history(mosaic[panel], trials, objectives, position=position)
    return figure


def plot_reports(trials: Sequence[Trial], objectives: Sequence[Objective], *, axes: Axes | None = None) -> Figure:
    """Draw the first metric of each trial as reported during it, by step; pruned trials grey, the best orange.

    Of more than 120 trials, 120 are drawn, evenly over the sweep, and the best one.
    """
    every = [trial for trial in trials if _find_last_report(trial)]
    if not every:
        return make_message("No trial reported a value during its training or folds.")
    axes, best = axes or make_axes(3.8), find_best(every, objectives)
    drawn = [every[place] for place in np.unique(np.linspace(0, len(every) - 1, MOST_LINES).astype(int))]
    lines = {trial.number: _list_reports(trial) for trial in [*drawn, *([best] if best else [])]}
    values = [value for line in lines.values() for value in line[:, 1]]
    scale = scale_values(axes, values, objectives[0].direction)
    for state in REPORT_STATES:
        _draw_lines(axes, [lines[trial.number] for trial in drawn if trial.state == state], state, scale)
    if best is not None:
        line, label = lines[best.number], f"the best: trial {best.number:,}"
        axes.plot(line[:, 0], scale.clip(line[:, 1]), "o-", color=ORANGE, linewidth=2.4, markersize=3, label=label)
    _fit_steps(axes, [line[:, 0] for line in lines.values()])
    count = f"{len(drawn):,} of {len(every):,} trials" if len(drawn) < len(every) else _count(every)
    pruned = sum(trial.state == "pruned" for trial in trials)
    title = f"Reports during {count}; {pruned:,} of all {len(trials):,} were pruned"
    return finish_axes(axes, title, x=join_notes("step: a round or a fold", scale), y=show_metric(objectives[0]))


def plot_timeline(trials: Sequence[Trial], *, axes: Axes | None = None) -> Figure:
    """Draw each trial as a bar on the line of its worker, over the time since the first start, coloured by its state."""
    started = [trial for trial in trials if trial.start_ms > 0]
    if not started:
        return make_message("No trial has started." if trials else describe_lack(trials))
    first, last = min(trial.start_ms for trial in started), max(max(trial.end_ms, trial.start_ms) for trial in started)
    workers = sorted({trial.worker for trial in started}, key=_order_worker)
    axes = axes or make_axes(1.4 + 0.26 * max(2, min(len(workers), MOST_WORKERS)))
    unit = next((unit for unit in ("days", "h", "min") if (last - first) / 1000 > 2 * UNITS_S[unit]), "s")
    unit_ms, rows = 1000 * UNITS_S[unit], {worker: place for place, worker in enumerate(workers)}
    look: dict[str, Any] = {"edgecolor": INK, "linewidth": 0.4, "rasterized": len(started) > MOST_POINTS}
    busy_ms = {trial.number: max(0, (trial.end_ms or last) - trial.start_ms) for trial in started}
    for state, colour in COLOURS.items():
        chosen = [trial for trial in started if trial.state == state]
        if chosen:
            starts = [(trial.start_ms - first) / unit_ms for trial in chosen]
            widths, places = [busy_ms[trial.number] / unit_ms for trial in chosen], [rows[trial.worker] for trial in chosen]
            axes.barh(places, widths, 0.7, starts, color=colour, label=f"{state} ({len(chosen):,})", **look)
    _name_workers(axes, workers)
    span = (last - first) / unit_ms or 1.0
    axes.set_xlim(-0.01 * span, 1.01 * span)
    share = f", busy for {sum(busy_ms.values()) / (last - first) / len(workers):.0%} of the time" if last > first else ""
    title = f"{_count(started)} on {len(workers):,} worker{'s' if len(workers) > 1 else ''}{share}"
    return finish_axes(axes, title, x=f"time since the first start ({unit})")


def _draw_history(axes: Axes, trials: Sequence[Trial], objectives: Sequence[Objective], *, position: int) -> Figure:
    """Draw the values of one metric."""
    complete, objective = list_complete(trials, objectives), objectives[position]
    reports = {trial.number: _find_last_report(trial) for trial in trials if trial.state == "pruned" and position == 0}
    pruned = {number: report[0] for number, report in reports.items() if report}
    values = {trial.number: trial.values[position] for trial in complete}
    best = find_best(trials, objectives, position=position)
    spread = [*best.interval] if best and best.interval and position == 0 else []
    scale = scale_values(axes, [*values.values(), *pruned.values()], objective.direction, also=spread)
    look = point_look(len(trials))
    _draw_points(
        axes, pruned, scale, label="pruned", **look | {"marker": "x", "markersize": 5, "markeredgewidth": 1.0, "color": GREY}
    )
    _draw_points(axes, values, scale, label="complete", color=BLUE, **look)
    ranked = sorted(complete, key=lambda trial: trial.values[position], reverse=objective.direction == "maximize")
    shown = scale.clip([trial.values[position] for trial in ranked])
    add_tips(axes, [trial.number for trial in ranked], shown, [describe_trial(trial, objectives) for trial in ranked])
    last = max(trial.number for trial in trials)
    if best is not None:
        line = [*trace_best(trials, objectives, position=position).items(), (last, best.values[position])]
        axes.plot(*np.transpose(line), color=ORANGE, drawstyle="steps-post", linewidth=2, label="best so far")
        axes.plot([best.number] * len(spread), spread, color=ORANGE, linewidth=1.5, label="its 95 % interval" if spread else None)
        axes.plot(best.number, best.values[position], "D", color=ORANGE, markersize=7)
    _draw_first(axes, complete, scale, position=position)
    _draw_lost(axes, trials, shown={*values, *pruned}, labelled=not pruned)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlim(-0.6, last + 0.6)
    title = _title_history(trials, objectives, position=position)
    return finish_axes(axes, title, x=join_notes("trial", scale), y=show_metric(objective))


def _draw_lines(axes: Axes, lines: Sequence[Array], state: TrialState, scale: Scale) -> None:
    """Draw the reports of trials in one state; a single report is a point."""
    if not lines:
        return
    look: dict[str, Any] = {"color": COLOURS[state], "linestyle": ":" if state == "failed" else "-"}
    shown = [np.column_stack([line[:, 0], scale.clip(line[:, 1])]) for line in lines]
    axes.add_collection(LineCollection(shown, linewidths=1.0, alpha=0.8, **look))
    axes.plot([], [], label=state, linewidth=1.6, **look)
    points = [line[0] for line in shown if len(line) == 1]
    if points:
        axes.plot(*np.transpose(points), "o", color=COLOURS[state], markersize=4)


def _draw_points(axes: Axes, values: dict[int, float], scale: Scale, **look: Any) -> None:
    """Draw values by number; those beyond the axis on its edge."""
    if values:
        axes.plot(list(values), scale.clip(list(values.values())), **look)


def _draw_lost(axes: Axes, trials: Sequence[Trial], *, shown: set[int], labelled: bool) -> None:
    """Mark trials without a value on the lower edge; `labelled`: the legend does not name pruned ones yet."""
    many, marks = len(trials) > MOST_POINTS, {"pruned": "x", "failed": "X"}
    look: dict[str, Any] = {"linestyle": "", "markersize": 4 if many else 7, "clip_on": False, "rasterized": many}
    for state in REPORT_STATES[:2]:
        lost = [trial.number for trial in trials if trial.state == state and trial.number not in shown]
        label = state if state == "failed" or labelled else None
        if lost:
            where = axes.get_xaxis_transform()
            axes.plot(lost, [0.0] * len(lost), marks[state], color=COLOURS[state], transform=where, label=label, **look)


def _draw_first(axes: Axes, complete: Sequence[Trial], scale: Scale, *, position: int) -> None:
    """Draw the value of trial 0 as a line to compare with; without one, nothing."""
    first = complete[0] if complete and complete[0].number == 0 else None
    if first is not None and len(complete) > 1:
        name = f"trial 0 ({shorten_label(first.reason, 24)})" if first.reason else "trial 0"
        axes.axhline(scale.clip([first.values[position]])[0], label=name, **REFERENCE)


def _title_history(trials: Sequence[Trial], objectives: Sequence[Objective], *, position: int) -> str:
    best, metric = find_best(trials, objectives, position=position), shorten_label(objectives[position].metric)
    if best is None:
        return f"{metric}: no trial is complete yet"
    found = f"{metric} of {_count(trials)}: the best is {format_number(best.values[position])}"
    return f"{found}, in trial {best.number:,}"


def _find_last_report(trial: Trial) -> tuple[float, ...]:
    """Return the last finite report in a tuple; an empty one if there is none."""
    found = [trial.reports[step] for step in sorted(trial.reports) if isfinite(trial.reports[step])]
    return tuple(found[-1:])


def _list_reports(trial: Trial) -> Array:
    """Return at most 40 steps and reports, with the last one."""
    points = np.array([(step, value) for step, value in sorted(trial.reports.items()) if isfinite(value)], float)
    return np.asarray(points[np.unique(np.linspace(0, len(points) - 1, MOST_STEPS).astype(int))])


def _fit_steps(axes: Axes, steps: Sequence[Any]) -> None:
    low, high = min(each.min() for each in steps), max(each.max() for each in steps)
    margin = 0.02 * (high - low) or 0.5
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def _order_worker(worker: str) -> list[tuple[int, str]]:
    """Return the key by which the place 10 of a host follows the place 9."""
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", worker)]


def _count(trials: Sequence[Trial]) -> str:
    return f"{len(trials):,} trial{'s' if len(trials) != 1 else ''}"


def _name_workers(axes: Axes, workers: Sequence[str]) -> None:
    """Write the names of workers, the first on top; of many, evenly spaced ones."""
    step = -(-len(workers) // MOST_WORKERS)
    names = shorten_names([worker or "unknown worker" for worker in workers[::step]])
    axes.set_yticks(range(0, len(workers), step), names)
    axes.set_ylim(len(workers) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
