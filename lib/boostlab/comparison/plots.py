"""Figures that compare runs; one function, one figure. With too little to draw, the figure says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from boostlab.comparison.paired import Difference
from boostlab.display.figures import BLUE, GREEN, GREY, ORANGE, choose_line, make_figure, make_grid, make_message, shorten_label
from boostlab.errors import LabError
from boostlab.training.metrics import UNITS, is_higher_better, strip_part

MOST_AXES = 7  # parameters side by side
MOST_FEATURES = 10
COLUMNS = 3
LOG_RATIO = 20  # a parameter whose largest and smallest value differ by a larger factor has a logarithmic axis


def plot_spread(configurations: Mapping[str, Sequence[float]], *, metric: str) -> Figure:
    """Draw the metric of each configuration: its runs, and mean ± standard deviation if there are several."""
    if not configurations:
        return make_message("No runs to draw.")
    figure, axes = make_figure(1.4 + 0.42 * len(configurations), width_in=9.0)
    rows = [(place, value) for place, values in enumerate(configurations.values()) for value in values]
    frame = pd.DataFrame(rows, columns=["place", "value"])
    shared: dict[str, Any] = {"x": "value", "y": "place", "orient": "h", "order": range(len(configurations)), "ax": axes}
    sns.stripplot(frame, **shared, color=BLUE, alpha=0.55, size=6, jitter=False, label="one run", legend=False)
    several = frame[frame.groupby("place")["value"].transform("size") > 1]
    if len(several):
        mean = "mean ± standard deviation over seeds"
        marks: dict[str, Any] = {"color": ORANGE, "marker": "D", "linestyle": "none", "capsize": 0.15, "markersize": 6}
        sns.pointplot(several, **shared, **marks, errorbar="sd", err_kws={"linewidth": 1.5}, label=mean, legend=False)
    labels = [f"{shorten_label(name, 110, line=48)} (n = {len(values)})" for name, values in configurations.items()]
    axes.set_yticks(range(len(configurations)), labels, fontsize="small")
    axes.set(title="Configurations, the best mean on top", xlabel=_name(metric), ylabel="", ylim=(len(labels) - 0.5, -0.5))
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles, frameon=False, fontsize="small", loc="outside lower right", ncols=2)
    return figure


def plot_parallel(
    varying: Mapping[str, Sequence[Any]], values: Sequence[float], *, metric: str, higher_is_better: bool
) -> Figure:
    """Draw each run as a line across the first seven hyperparameters that differ, coloured by its metric.

    The runs are ordered, the best first. The best run has a thick line.
    """
    names = list(varying)[:MOST_AXES]
    if len(values) < 2 or not names:
        return make_message("Parallel coordinates take two runs whose parameters differ.")
    figure, axes = make_figure(4.4, width_in=max(8.0, 1.7 * (len(names) + 2)))
    columns = [_place(varying[name]) for name in names] + [_place(values)]
    heights = np.column_stack([heights for heights, _ in columns])
    segments = [np.column_stack([np.arange(len(columns)), row]) for row in heights]
    lines = LineCollection(segments[::-1], array=np.asarray(values)[::-1], cmap="viridis_r" if higher_is_better else "viridis")
    lines.set(alpha=0.75, linewidth=[1.5] * (len(values) - 1) + [4.0])
    axes.add_collection(lines)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1.0}
    for place, (_, ticks) in enumerate(columns):
        axes.axvline(place, color=GREY, linewidth=0.8)
        for height, text in ticks:
            axes.text(place + 0.03, height, shorten_label(text, 14), fontsize="small", va="center", color="black", bbox=box)
    axes.set_xticks(range(len(columns)), [*map(shorten_label, names), metric])
    axes.set(title="Hyperparameters and metric (thick: the best run)", xlim=(-0.1, len(columns) - 0.6), ylim=(-0.08, 1.08))
    axes.set_yticks([])
    figure.colorbar(lines, ax=axes, label=_name(metric))
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def plot_parameters(varying: Mapping[str, Sequence[Any]], values: Sequence[float], *, metric: str) -> Figure:
    """Draw the metric against each hyperparameter that differs, at most nine of them."""
    names = [name for name in varying if len(set(varying[name]) - {None}) > 1][: COLUMNS * 3]
    if len(values) < 2 or not names:
        return make_message("The metric against a hyperparameter takes two runs in which it differs.")
    rows, width = -(-len(names) // COLUMNS), min(len(names), COLUMNS)
    figure, grid = make_grid(rows, width, width_in=max(7.0, 3.6 * width), height_in=3.0 * rows + 0.3, share_y=True)
    for axes, name in zip(grid.flat, names, strict=False):
        _draw_parameter(axes, varying[name], values)
        axes.set_xlabel(shorten_label(name))
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(_name(metric))
    figure.suptitle(f"{metric} against each hyperparameter (orange: the best run)", fontsize="large")
    return figure


def plot_curves(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Draw the validation curves of some runs with their best rounds marked; one axes for each metric."""
    if not curves:
        return make_message("None of these runs recorded learning curves.")
    figure, grid = make_grid(len(curves), 1, height_in=4.0 * len(curves))
    for axes, (metric, lines) in zip(grid.flat, curves.items(), strict=True):
        for place, (name, points) in enumerate(lines.items()):
            best = int(np.argmax(points) if _is_higher_better(metric) else np.argmin(points))
            axes.plot(np.arange(1, len(points) + 1), points, **choose_line(place), linewidth=1.6)
            label = f"{shorten_label(name, 40)}: {points[best]:.4g} at round {best + 1}"
            axes.plot(best + 1, points[best], "o", **choose_line(place), label=label)
        axes.set(title="Learning curves on the validation part", xlabel="boosting round", ylabel=_name(metric))
        axes.legend(frameon=False, fontsize="small")
    return figure


def plot_importances(shares: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw each feature's share of the gain, one bar per run, for the ten features with the largest mean share."""
    if not shares:
        return make_message("None of these runs has a model whose features can be ranked.")
    frame = 100 * pd.DataFrame(shares).fillna(0.0)
    features = frame.loc[frame.mean(axis=1).sort_values(ascending=False, kind="stable").index[:MOST_FEATURES]]
    figure, axes = make_figure(1.6 + 0.16 * len(features) * (len(shares) + 1))
    tidy = features.rename_axis("feature").reset_index().melt("feature", var_name="run", value_name="share")
    palette = [choose_line(place)["color"] for place in range(len(shares))]
    sns.barplot(tidy, x="share", y="feature", hue="run", orient="h", palette=palette, saturation=1, ax=axes)
    axes.set_yticks(range(len(features)), [shorten_label(name) for name in features.index])
    left_out = f" (largest {len(features)} of {len(frame)})" if len(frame) > len(features) else ""
    axes.set(title=f"Feature importance{left_out}", xlabel="share of the mean gain of all features (%)", ylabel="")
    axes.legend(axes.get_legend_handles_labels()[0], [shorten_label(run, 40) for run in shares], frameon=False, fontsize="small")
    return figure


def plot_difference(difference: Difference | None) -> Figure:
    """Draw the difference of two models with its interval, and zero, which would be no difference."""
    if difference is None:
        return make_message("There is no difference to draw.")
    colour = {"better": GREEN, "worse": ORANGE}.get(difference.verdict, GREY)
    figure, axes = make_figure(1.9)
    axes.axvline(0, color="black", linewidth=1, linestyle="--")
    axes.plot([difference.low, difference.high], [0, 0], color=colour, linewidth=5, solid_capstyle="butt", alpha=0.6)
    axes.plot(difference.value, 0, "D", color=colour, markersize=9)
    reach = 1.15 * max(abs(difference.low), abs(difference.high), abs(difference.value)) or 1.0
    axes.set(xlim=(-reach, reach), ylim=(-1, 1), yticks=[], title=f"Challenger against champion: {difference.verdict}")
    side = "right" if _is_higher_better(difference.metric) else "left"
    axes.set_xlabel(f"difference in {_name(difference.metric)}, with its {difference.level} interval; further {side} is better")
    axes.spines["left"].set_visible(False)
    return figure


def _draw_parameter(axes: Axes, given: Sequence[Any], values: Sequence[float]) -> None:
    if all(isinstance(value, int | float) for value in given):
        places = np.asarray(given, float)
        if places.min() > 0 and places.max() / places.min() > LOG_RATIO:
            axes.set_xscale("log")
        elif all(isinstance(value, int) for value in given):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        places, distinct = pd.factorize(np.array([str(value) for value in given], object), sort=True)
        axes.set_xticks(range(len(distinct)), [shorten_label(text, 14) for text in distinct], rotation=30, ha="right")
        axes.set_xlim(-0.5, len(distinct) - 0.5)
    axes.plot(places, values, "o", color=BLUE, alpha=0.5, markersize=5, markeredgewidth=0)
    axes.plot(places[0], values[0], "o", color=ORANGE, markersize=7)


def _place(given: Sequence[Any]) -> tuple[np.ndarray[Any, Any], list[tuple[float, str]]]:
    """Return each value's height from 0 to 1, and the ticks of the axis."""
    if not all(isinstance(value, int | float) for value in given):
        places, distinct = pd.factorize(np.array([str(value) for value in given], object), sort=True)
        step = max(1, len(distinct) - 1)
        return places / step, [(place / step, text) for place, text in enumerate(distinct)]
    numbers = np.asarray(given, float)
    low, high = numbers.min(), numbers.max()
    wide = low > 0 and high / low > LOG_RATIO
    scaled = np.log(numbers / low) / np.log(high / low) if wide else (numbers - low) / ((high - low) or 1.0)
    ticks = sorted(set(zip(scaled, numbers, strict=True)))
    if len(ticks) > 6 or np.diff([height for height, _ in ticks]).min(initial=1.0) <= 0.05:  # their labels would overlap
        ticks = [(0.0, low), (1.0, high)]
    return scaled, [(height, f"{number:.4g}") for height, number in ticks]


def _is_higher_better(metric: str) -> bool:
    try:
        return is_higher_better(metric)
    except LabError:  # an unknown metric: XGBoost's early stopping also assumes that lower is better
        return False


def _name(metric: str) -> str:
    """Return a metric's name with its unit, if that is known."""
    unit = UNITS.get(strip_part(metric))
    return f"{metric} ({unit})" if unit else metric
