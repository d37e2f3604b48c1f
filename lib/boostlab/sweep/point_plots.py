"""Figures of the points of a sweep: which parameters matter, and which of their values are good.

Each function draws one figure, and returns it. Where there is nothing to draw, the figure says why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boostlab.display.figures import (
    BLUE,
    ORANGE,
    TYPE_PT,
    finish_axes,
    make_axes,
    make_message,
    make_mosaic,
    name_ticks,
    shorten_label,
    shorten_names,
)
from boostlab.sweep.ranking import (
    Array,
    Column,
    describe_lack,
    find_best,
    list_columns,
    list_complete,
    rank_trials,
)
from boostlab.sweep.scales import point_look, scale_column, scale_values, show_metric
from boostlab.sweep.trial import Objective, Trial, describe_trial

MOST_BARS = 20
MOST_SLICES = 8
COLUMNS = 2  # of panels
SLICE_WEIGHT = 5  # a figure has several panels with points
MEANING = (
    "A share says how much of the differences in {metric} between the trials goes with the parameter, within its searched values."
)


def plot_importance(importances: Mapping[str, float], *, metric: str, axes: Axes | None = None) -> Figure:
    """Draw the share of each parameter in the differences of a metric between trials, the largest 20 on top.

    Parameters
    ----------
    importances : mapping of str to float
        The share of each parameter, such as :meth:`boostlab.sweep.search.Search.importances` estimates; they are scaled to 100 %.
    """
    total = sum(share for share in importances.values() if share > 0)
    if not total > 0:
        return make_message("The trials do not tell yet which parameter matters.")
    ranked = sorted(importances.items(), key=lambda item: -item[1])
    names, shares = [name for name, _ in ranked[:MOST_BARS]], [100 * max(share, 0.0) / total for _, share in ranked]
    axes = axes or make_axes(1.9 + 0.26 * max(2, len(names)))
    axes.barh(range(len(names)), shares[:MOST_BARS], 0.7, color=BLUE)
    for place, share in enumerate(shares[:MOST_BARS]):
        text = f"{share:.0f} %" if share >= 1 or share == 0 else "< 1 %"
        axes.annotate(text, (share, place), (4, 0), textcoords="offset points", va="center", fontsize=TYPE_PT)
    axes.set_yticks(range(len(names)), shorten_names(names))
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(0, 1.12 * shares[0]))
    axes.grid(visible=False, axis="y")
    name = shorten_label(metric)
    rest = f"; the other {len(ranked) - MOST_BARS} have {sum(shares[MOST_BARS:]):.0f} %" if len(ranked) > MOST_BARS else ""
    title = f"What decides {name}? {shorten_label(names[0])} has a share of {shares[0]:.0f} %{rest}"
    return finish_axes(axes, title, x=f"share (%). {MEANING.format(metric=name)}")


def plot_slices(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    *,
    importances: Mapping[str, float] | None = None,
    log: Collection[str] = (),
) -> Figure:
    """Draw the first metric of the complete trials against each parameter that differs: the eight most important ones."""
    complete = list_complete(trials, objectives)
    columns = list_columns(complete, importances=importances, log=log)[:MOST_SLICES]
    if not columns:
        return make_message(explain_lack(trials, complete))
    width = min(len(columns), COLUMNS)
    rows = [columns[start : start + width] for start in range(0, len(columns), width)]
    layout = [[str(columns.index(column)) for column in row] + [""] * (width - len(row)) for row in rows]
    figure, panels = make_mosaic(layout, height_in=0.3 + 2.7 * len(rows), share_y=True)
    values = [trial.values[0] for trial in complete]
    scale = scale_values(panels["0"], values, objectives[0].direction)
    best, titles = find_best(trials, objectives), shorten_names([column.name for column in columns])
    for position, column in enumerate(columns):
        is_best = np.array([trial is best for trial in complete])[column.given]
        axes, y = panels[str(position)], "" if position % width else show_metric(objectives[0], unit=False)
        _draw_slice(axes, column, scale.clip(values)[column.given], is_best=is_best, beyond=scale.beyond)
        finish_axes(axes, titles[position], y=y, labels=None if position == 0 else ([], []))
    return figure


def plot_parallel(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    *,
    importances: Mapping[str, float] | None = None,
    axes: Axes | None = None,
) -> Figure:
    """Draw each complete trial as a line across the seven most important parameters that differ and the first metric."""
    from boostlab.comparison import plots  # with seaborn, which takes a while to load

    complete = [trial for _, trial in rank_trials(trials, objectives[:1], how_many=len(trials))]
    columns = list_columns(complete, importances=importances)
    if len(complete) < 2 or not columns:
        return make_message(explain_lack(trials, complete))
    varying: dict[str, list[Any]] = {}
    for column in columns:
        shown = iter(column.values if column.is_number else map(str, column.values))
        varying[column.name] = [next(shown) if given else None for given in column.given]
    values, tips = [trial.values[0] for trial in complete], [describe_trial(trial, objectives) for trial in complete]
    return plots.plot_parallel(varying, values, metric=objectives[0].metric, tips=tips, axes=axes)


def explain_lack(trials: Sequence[Trial], complete: Sequence[Trial], *, least: int = 1) -> str:
    """Return a sentence that says why no parameter can be drawn: too few complete trials, or parameters that differ."""
    if not complete:
        return describe_lack(trials)
    if len(complete) == 1:
        return "Only one trial is complete: it takes two to see what a parameter does."
    count = "No parameter differs" if least == 1 else f"Fewer than {least} parameters differ"
    return f"{count} between the {len(complete):,} complete trials."


def _draw_slice(axes: Axes, column: Column, values: Array, *, is_best: Array, beyond: int) -> None:
    """Draw values against one parameter; `beyond` far worse ones are on the edge."""
    places = column.to_places()
    scale_column(axes, column)
    if not column.is_number:
        name_ticks(axes, shorten_names(column.distinct, 14))
        places = spread_category(places)
    label = f"a trial ({beyond:,} far worse on the edge)" if beyond else "a trial"
    axes.plot(places, values, color=BLUE, label=label, **point_look(len(values) * SLICE_WEIGHT))
    axes.plot(places[is_best], values[is_best], "D", color=ORANGE, markersize=7, linestyle="", label="the best")


def spread_category(places: Array) -> Array:
    """Return the places of categories, each moved a little, the same at each call, so that equal ones can be told apart."""
    return places + np.random.default_rng(0).uniform(-0.15, 0.15, len(places))
