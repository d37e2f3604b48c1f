"""Figures that compare runs; one function, one figure. With too little to draw, the figure says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from boostlab.comparison.paired import Difference
from boostlab.display.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    REFERENCE,
    TYPE_PT,
    choose_line,
    finish_axes,
    make_axes,
    make_message,
    make_mosaic,
    name_ticks,
    scale_log,
    shorten_label,
    shorten_names,
)
from boostlab.display.numbers import format_number
from boostlab.display.tips import add_tips
from boostlab.errors import LabError
from boostlab.evaluation.metric_names import is_higher_better, label_metric

MOST_PARAMETERS = 7  # in one figure of parallel coordinates
MOST_FEATURES = 10
MOST_LINES = 150  # of parallel coordinates, which say less with more
FEW_LINES = 30  # more are thinner, and in few colours with plain edges, which makes the picture smaller
SHADES = 8
UNSET_SHARE = 0.2  # of an axis of numbers, on the left, if some runs lack the parameter
COLUMNS = 3
LOG_RATIO = 20  # a parameter whose largest and smallest value differ by a larger factor has a logarithmic axis
LINE_CHARACTERS = 70  # beside each other on the axis of a parameter
SPACING = 1.5  # between labels, in lengths of a label: the first starts at its place, and the next one is centred
WORST_TO_BEST = LinearSegmentedColormap.from_list("worst_to_best", [BLUE, ORANGE])


def plot_spread(configurations: Sequence[tuple[str, Sequence[float]]], *, metric: str, axes: Axes | None = None) -> Figure:
    """Draw the metric of each configuration: its runs, and mean ± standard deviation if there are several."""
    if not configurations:
        return make_message("No runs to draw.")
    labels = [shorten_label(name, 80, line=40) for name, _ in configurations]
    axes = axes or make_axes(1.4 + sum(0.18 + 0.18 * (1 + label.count("\n")) for label in labels))
    every_values = [values for _, values in configurations]
    runs = [(value, place) for place, values in enumerate(every_values) for value in values]
    every, places = zip(*runs, strict=True)
    points: dict[str, Any] = {"color": BLUE, "alpha": 0.8, "size": 6}
    sns.stripplot(x=every, y=places, orient="h", native_scale=True, jitter=False, ax=axes, **points)
    axes.collections[0].set_label("one run")  # seaborn would label each configuration
    names = [name for name, values in configurations for _ in values]
    add_tips(axes, every, places, [f"{name}: {metric} {format_number(value)}" for name, value in zip(names, every, strict=True)])
    drawn = enumerate(every_values)
    seeds = [(np.mean(values), place, np.std(values, ddof=1)) for place, values in drawn if len(values) > 1]
    if seeds:
        means, at, deviations = zip(*seeds, strict=True)
        options: dict[str, Any] = {"fmt": "D", "color": ORANGE, "markersize": 6, "capsize": 4}
        axes.errorbar(means, at, xerr=deviations, label="mean ± standard deviation over seeds", **options)
    for place, values in enumerate(every_values):
        axes.text(1.01, place, f"n = {len(values)}", transform=axes.get_yaxis_transform(), va="center", fontsize=TYPE_PT)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(ylim=(len(labels) - 0.5, -0.5))
    return finish_axes(axes, "Configurations, the best mean on top", x=label_metric(metric))


def plot_parallel(
    varying: Mapping[str, Sequence[Any]],
    values: Sequence[float],
    *,
    metric: str,
    tips: Sequence[str] = (),
    axes: Axes | None = None,
) -> Figure:
    """Draw each run as a line across the first seven hyperparameters that differ and its metric, each a row of its own.

    The runs are ordered, the best first. The best run has a thick line. A run that lacks a parameter has None for it.
    Of more than 150 runs, 150 are drawn, at even distances of rank. `tips` say what each run is; the best 30 are shown.
    """
    names = list(varying)[:MOST_PARAMETERS]
    if len(values) < 2 or not names:
        return make_message("Parallel coordinates take two runs whose parameters differ.")
    axes = axes or make_axes(1.2 + 0.6 * (len(names) + 1))
    rows = [_place(varying[name]) for name in names] + [_place(values)]
    drawn = np.unique(np.linspace(0, len(values) - 1, MOST_LINES).astype(int))[::-1]  # the best last, on top
    places = np.column_stack([places for places, _ in rows])[drawn]
    ranks, many = np.linspace(1, 0, len(values))[drawn] ** 2, len(drawn) > FEW_LINES  # most colour for the best
    lines = [np.column_stack([row, np.arange(len(rows))]) for row in places]
    look: dict[str, Any] = {"linewidths": [0.9 if many else 1.5] * (len(drawn) - 1) + [4.0], "antialiased": not many}
    colours = WORST_TO_BEST(np.round(ranks * SHADES) / SHADES if many else ranks)
    axes.add_collection(LineCollection(lines, colors=colours, alpha=1.0 if many else 0.9, **look))
    if tips:
        for run, line in list(zip(drawn[::-1], places[::-1], strict=True))[:FEW_LINES]:  # the best first
            add_tips(axes, line, range(len(rows)), [tips[run]] * len(rows))
    for row, (_, ticks) in enumerate(rows):
        for place, text in ticks:
            side = "left" if place < 0.02 else "right" if place > 0.98 else "center"
            axes.text(place, row - 0.12, text, fontsize=TYPE_PT, ha=side, va="bottom")
    axes.set_yticks(range(len(rows)), [*shorten_names(names), shorten_label(metric)])
    axes.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.7, -0.7), xticks=[])
    axes.grid(axis="y", color=INK, alpha=0.5)
    axes.spines["bottom"].set_visible(False)
    which = f"{len(names)} of {len(varying)} hyperparameters" if len(names) < len(varying) else "Hyperparameters"
    runs = f" of {len(drawn)} of {len(values):,} runs" if len(drawn) < len(values) else ""
    return finish_axes(axes, f"{which} and metric{runs}: the more orange, the better; thick: the best run")


def plot_parameters(varying: Mapping[str, Sequence[Any]], values: Sequence[float], *, metric: str) -> Figure:
    """Draw the metric against each hyperparameter that differs, at most nine of them."""
    names = [name for name in varying if len(set(varying[name]) - {None}) > 1][: COLUMNS * 3]
    if len(values) < 2 or not names:
        return make_message("The metric against a hyperparameter takes two runs in which it differs.")
    rows = [names[start : start + COLUMNS] for start in range(0, len(names), COLUMNS)]
    width = min(len(names), COLUMNS)
    layout = [row + [""] * (width - len(row)) for row in rows]
    figure, panels = make_mosaic(layout, height_in=2.9 * len(rows) + 0.2, share_y=True)
    for position, (name, axes) in enumerate(panels.items()):
        side = "" if position % COLUMNS else metric
        plot_parameter(varying[name], values, name=name, metric=side, axes=axes, legend=position == 0)
    return figure


def plot_parameter(
    given: Sequence[Any], values: Sequence[float], *, name: str, metric: str, axes: Axes | None = None, legend: bool = True
) -> Figure:
    """Draw the metric of runs against one hyperparameter; the first run is the best. Without `metric`, the side has no label."""
    axes = axes or make_axes(3.2)
    if all(isinstance(value, int | float) for value in given):
        places = np.asarray(given, float)
        if places.min() > 0 and places.max() / places.min() > LOG_RATIO:
            scale_log(axes, places.min(), places.max())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=all(isinstance(value, int) for value in given)))
    else:
        places, distinct = pd.factorize(np.array([str(value) for value in given], object), sort=True)
        name_ticks(axes, [shorten_label(text, 14) for text in distinct])
        axes.set_xlim(-0.5, len(distinct) - 0.5)
    axes.plot(places, values, "o", color=BLUE, alpha=0.8, markersize=5, markeredgewidth=0, label="a run")
    axes.plot(places[0], values[0], "o", color=ORANGE, markersize=7, label="the best")
    return finish_axes(axes, shorten_label(name), y=label_metric(metric) if metric else "", labels=None if legend else ([], []))


def plot_curves(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Draw the validation curves of some runs with their best rounds marked; one axes for each metric."""
    if not curves:
        return make_message("None of these runs recorded learning curves.")
    figure, panels = make_mosaic([[metric] for metric in curves], height_in=4.0 * len(curves))
    for metric, axes in panels.items():
        plot_curve(curves[metric], metric=metric, axes=axes)
    return figure


def plot_curve(lines: Mapping[str, Sequence[float]], *, metric: str, axes: Axes | None = None) -> Figure:
    """Draw one metric per boosting round of each run, with the best round marked."""
    axes = axes or make_axes(4.0)
    for place, (name, points) in enumerate(lines.items()):
        best = int(np.argmax(points) if _is_higher_better(metric) else np.argmin(points))
        label = f"{shorten_label(name, 40)}: {format_number(points[best])} at round {best + 1:,}"
        axes.plot(np.arange(1, len(points) + 1), points, **choose_line(place), linewidth=1.6, label=label)
        axes.plot(best + 1, points[best], "o", **choose_line(place))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return finish_axes(axes, "Learning curves on the validation part", x="boosting round", y=label_metric(metric))


def plot_importances(shares: Mapping[str, Mapping[str, float]], *, axes: Axes | None = None) -> Figure:
    """Draw each feature's share of the gain, one bar per run, for the ten features with the largest mean share."""
    if not shares:
        return make_message("None of these runs has a model whose features can be ranked.")
    frame = 100 * pd.DataFrame(shares).fillna(0.0)
    features = frame.loc[frame.mean(axis=1).sort_values(ascending=False, kind="stable").index[:MOST_FEATURES]]
    axes, thickness = axes or make_axes(1.6 + 0.16 * len(features) * (len(shares) + 1)), 0.8 / len(shares)
    for place, run in enumerate(shares):
        rows = np.arange(len(features)) + (place - (len(shares) - 1) / 2) * thickness
        axes.barh(rows, features[run], thickness, color=choose_line(place)["color"], label=shorten_label(run, 40))
    axes.set_yticks(range(len(features)), [shorten_label(name) for name in features.index])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    left_out = f": the largest {len(features)} of {len(frame)}" if len(frame) > len(features) else ""
    return finish_axes(axes, f"Feature importance{left_out}", x="share of the mean gain of all features (%)")


def plot_difference(difference: Difference | None, *, axes: Axes | None = None) -> Figure:
    """Draw the difference of two models with its interval, and zero, which would be no difference."""
    if difference is None:
        return make_message("There is no difference to draw.")
    colour = {"better": GREEN, "worse": ORANGE}.get(difference.verdict, GREY)
    axes = axes or make_axes(1.7)
    axes.axvline(0, **REFERENCE)
    axes.plot([difference.low, difference.high], [0, 0], color=colour, linewidth=5, solid_capstyle="butt", alpha=0.6)
    axes.plot(difference.value, 0, "D", color=colour, markersize=9)
    reach = 1.15 * max(abs(difference.low), abs(difference.high), abs(difference.value)) or 1.0
    axes.set(xlim=(-reach, reach), ylim=(-1, 1), yticks=[])
    side = "right" if _is_higher_better(difference.metric) else "left"
    x = f"difference in {label_metric(difference.metric)}; further {side} is better"
    numbers = f"{difference.value:+.4g} ({difference.level} interval {difference.low:+.4g} to {difference.high:+.4g})"
    return finish_axes(axes, f"Challenger against champion: {difference.verdict}, {numbers}", x=x)


def _place(given: Sequence[Any]) -> tuple[np.ndarray[Any, Any], list[tuple[float, str]]]:
    """Return each value's place from 0 to 1, and the ticks of the axis, as many as fit."""
    known = [value for value in given if value is not None]
    if not known or not all(isinstance(value, int | float) for value in known):
        codes, distinct = pd.factorize(np.array([str(value) for value in given], object), sort=True)
        fitting = int(LINE_CHARACTERS / max(1, len(distinct) - 1) / SPACING) - 2
        places, texts = codes / max(1, len(distinct) - 1), shorten_names([*distinct], max(5, min(14, fitting)))
        ticks = [(place / max(1, len(distinct) - 1), text) for place, text in enumerate(texts)]
    else:
        places, ticks = _place_numbers(np.array(given, float), offset=UNSET_SHARE if len(known) < len(given) else 0.0)
    longest = max(len(text) for _, text in ticks) + 2
    if np.diff([place for place, _ in ticks]).min(initial=1.0) * LINE_CHARACTERS < SPACING * longest:  # they would overlap
        ticks = [*(ticks[:1] if None in given else []), ticks[1 if None in given else 0], ticks[-1]]
    return places, ticks


def _place_numbers(numbers: np.ndarray[Any, Any], *, offset: float) -> tuple[np.ndarray[Any, Any], list[tuple[float, str]]]:
    """Return places from `offset` to 1, and the ticks; NaN, which is a parameter that a run lacks, is at 0."""
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    wide = low > 0 and high / LOG_RATIO > low
    shares = np.log(numbers / low) / np.log(high / low) if wide else (numbers / 2 - low / 2) / ((high / 2 - low / 2) or 1.0)
    places = np.nan_to_num(offset + (1 - offset) * shares, nan=0.0)
    known = ~np.isnan(numbers)
    ticks = [(place, format_number(number)) for place, number in sorted(set(zip(places[known], numbers[known], strict=True)))]
    return places, [(0.0, "not set"), *ticks] if offset else ticks


def _is_higher_better(metric: str) -> bool:
    try:
        return is_higher_better(metric)
    except LabError:  # an unknown metric: XGBoost's early stopping also assumes that lower is better
        return False
