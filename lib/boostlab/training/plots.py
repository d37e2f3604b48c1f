"""Figures of a training: the target and the learning curves.

Each function draws into `axes`, or into a new figure, and returns the figure. Rows count by their weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from boostlab.data.splits import read_weights
from boostlab.data.table import Table, encode_labels, find_labels
from boostlab.display.figures import (
    BLUE,
    GREY,
    ORANGE,
    REFERENCE,
    choose_line,
    finish_axes,
    make_axes,
    make_mosaic,
    name_ticks,
    scale_log,
    shorten_label,
)
from boostlab.display.histogram import count_unit, count_whole, draw_histogram
from boostlab.display.numbers import format_number
from boostlab.evaluation.metric_names import find_range, is_higher_better

if TYPE_CHECKING:
    from boostlab.training.fit import Fit
    from boostlab.training.learning_curve import LearningCurve
    from boostlab.training.threshold import ThresholdCurve

Array = np.ndarray[Any, Any]
MOST_POINTS = 500  # of a curve over thresholds


def plot_target(table: Table, *, axes: Axes | None = None) -> Figure:
    """Draw how often each value of the target occurs: a histogram of a quantity, bars for classes."""
    axes, target, weight = axes or make_axes(3.2), table.target, read_weights(table)
    name, rows = shorten_label(target.name), f"{len(target):,} rows"
    if table.task == "regression":
        title = f"{rows} with {name} {draw_histogram(axes, target.to_numpy(float), weight)}"
    else:
        labels = find_labels(target)
        counts = np.bincount(encode_labels(target, labels), weights=weight)
        axes.bar(range(len(labels)), counts, color=BLUE)
        name_ticks(axes, [shorten_label(label, 16) for label in labels])
        axes.grid(visible=False, axis="x")
        count_whole(axes, weight)
        share, most = counts.max() / counts.sum(), shorten_label(labels[int(counts.argmax())])
        title = f"{rows} of {len(labels)} classes, {share:.0%} of them {most}"
    return finish_axes(axes, title, x=name, y=count_unit(weight))


def plot_learning_curves(fit: Fit, *, axes: Axes | None = None) -> Figure:
    """Draw the metric per boosting round on the training and validation parts, with the model's last round marked."""
    axes = axes or make_axes(3.8)
    for part, colour, style in (("train", BLUE, "--"), ("valid", ORANGE, "-")):
        values = fit.curves[f"{part}_{fit.metric}"]
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, linestyle=style, label=part)
    kept, last = fit.curves[f"valid_{fit.metric}"][fit.best_iteration], fit.best_iteration + 1
    axes.axvline(last, **REFERENCE)
    axes.plot(last, kept, "o", color=ORANGE, label="the model's last round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"Learning curves: the model has {last:,} rounds, valid {fit.metric} {format_number(kept)}"
    return finish_axes(axes, title, x="boosting round", y=fit.metric)


def plot_sizes(curve: LearningCurve, *, axes: Axes | None = None) -> Figure:
    """Draw the validation metric by the number of training rows, and how sure the distance to the models of all rows is."""
    axes, sizes = axes or make_axes(3.8), curve.sizes
    rows, full = [size.rows for size in sizes], sizes[-1].mean
    sign = -1 if is_higher_better(curve.metric) else 1
    for size in sizes[:-1]:
        if len(size.values) > 1:
            label = "a draw of rows" if size is sizes[0] else None
            axes.plot([size.rows] * len(size.values), size.values, "o", color=GREY, alpha=0.6, markersize=5, label=label)
    axes.plot(rows, [size.mean for size in sizes], "o-", color=BLUE, label="mean")
    ends = full + sign * np.array([[size.low, size.high] for size in sizes[:-1]])
    axes.vlines(rows[:-1], *np.clip(ends, *find_range(curve.metric)).T, color=ORANGE, linewidth=2, label="95 %, against all rows")
    axes.axhline(full, **REFERENCE)
    scale_log(axes, rows[0], rows[-1])
    gain = f"{format_number(sizes[-2].gain)} ({format_number(sizes[-2].low)} to {format_number(sizes[-2].high)})"
    title = f"{curve.metric} {format_number(full)} with {rows[-1]:,} training rows, better than with half of them by {gain}"
    return finish_axes(axes, title, x="training rows", y=f"valid {curve.metric}")


def plot_threshold(curve: ThresholdCurve, *, positive: str) -> Figure:
    """Draw what each threshold would do on the validation rows, with the chosen one marked; costs have a panel of their own."""
    _, panels = make_mosaic(["rc"] if "cost" in curve.rates else ["r"], height_in=3.6)
    low, high = curve.thresholds[[0, -1]]
    evenly = np.searchsorted(curve.thresholds, np.linspace(low, high, MOST_POINTS))
    kept = np.unique([*evenly, *np.linspace(0, len(curve.thresholds) - 1, MOST_POINTS).astype(int), curve.place])
    kept = kept[(curve.rates["recall"][kept] > 0) | (kept == curve.place)]  # without a positive answer there is no precision
    x, name = curve.thresholds[kept], shorten_label(positive)
    for place, (rate, values) in enumerate(curve.rates.items()):
        axes = panels["c" if rate == "cost" else "r"]
        axes.plot(x, values[kept], **choose_line(place), label=rate, drawstyle="steps-mid")
        axes.plot(curve.threshold, values[curve.place], "o", color=choose_line(place)["color"])
    for axes in panels.values():
        axes.axvline(curve.threshold, **REFERENCE)
    chosen = ", ".join(f"{rate} {format_number(value)}" for rate, value in curve.chosen.items() if rate != "cost")
    title = f"Threshold {format_number(curve.threshold)}: {chosen}"
    if "c" in panels:
        cost = format_number(curve.chosen["cost"])
        finish_axes(
            panels["c"], f"Cost {cost} per row", x=f"least probability of {name}", y="mean cost of a row", labels=([], [])
        )
    return finish_axes(panels["r"], title, x=f"least probability of {name}", y="rate on the validation rows")
