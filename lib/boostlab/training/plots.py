"""Figures of a training: the target, the learning curves, the features' gain and the answers to the test part.

Each function draws into `axes`, or into a new figure, and returns the figure. Rows count by their weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import PredictionErrorDisplay

from boostlab.data.splits import read_weights
from boostlab.data.table import Table, encode_labels, find_labels
from boostlab.display.figures import (
    BLUE,
    MOST_POINTS,
    ORANGE,
    REFERENCE,
    finish_axes,
    make_axes,
    make_mosaic,
    name_ticks,
    shorten_label,
)
from boostlab.display.numbers import format_number, format_spread
from boostlab.training.class_plots import count_unit, plot_classification
from boostlab.training.metrics import Evaluation

if TYPE_CHECKING:
    from boostlab.training.fit import Fit

Array = np.ndarray[Any, Any]
POINT_SIZE = 16
MOST_BARS = 20
MOST_BINS = 60


def plot_target(table: Table, *, axes: Axes | None = None) -> Figure:
    """Draw how often each value of the target occurs: a histogram of a quantity, bars for classes."""
    axes, target, weight = axes or make_axes(3.2), table.target, read_weights(table)
    name, rows = shorten_label(target.name), f"{len(target):,} rows"
    if table.task == "regression":
        title = f"{rows} with {name} {_draw_histogram(axes, target.to_numpy(float), weight)}"
    else:
        labels = find_labels(target)
        counts = np.bincount(encode_labels(target, labels), weights=weight)
        axes.bar(range(len(labels)), counts, color=BLUE)
        name_ticks(axes, [shorten_label(label, 16) for label in labels])
        axes.grid(visible=False, axis="x")
        _count_whole(axes, weight)
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


def plot_importance(gain: Mapping[str, float], *, axes: Axes | None = None) -> Figure:
    """Draw the features' mean gain as bars, the largest on top, at most 20 bars."""
    shown = sorted(gain.items(), key=lambda item: item[1])[-MOST_BARS:]
    axes = axes or make_axes(1.2 + 0.26 * len(shown))
    axes.barh(range(len(shown)), [value for _, value in shown], color=BLUE)
    axes.set_yticks(range(len(shown)), [shorten_label(name) for name, _ in shown])
    axes.grid(visible=False, axis="y")
    title = f"Feature importance: the largest {len(shown)} of {len(gain)}" if len(shown) < len(gain) else "Feature importance"
    return finish_axes(axes, title, x="mean gain of the splits that use it (loss)")


def plot_test(evaluation: Evaluation) -> Figure:
    """Draw the answers to the test part against the truth: errors of a regression, curves and confusion of a classification."""
    if evaluation.contract.task == "classification":
        return plot_classification(evaluation)
    figure, panels = make_mosaic(["lr"], height_in=3.9)
    left, right = (plot_quantiles, plot_calibration) if evaluation.contract.quantiles else (plot_predictions, plot_residuals)
    left(evaluation, axes=panels["l"])
    right(evaluation, axes=panels["r"])
    return figure


def plot_predictions(evaluation: Evaluation, *, axes: Axes | None = None) -> Figure:
    """Draw the true values of a regression against the predicted ones."""
    axes, target, predicted = axes or make_axes(4.4), evaluation.part.target, evaluation.answers
    true, name = target.to_numpy(float), shorten_label(target.name)
    points = _style_points(len(true), evaluation.part.weight, color=BLUE, label="test rows")
    PredictionErrorDisplay(y_true=true, y_pred=predicted).plot(
        axes, kind="actual_vs_predicted", scatter_kwargs=points, line_kwargs={**REFERENCE, "alpha": 1, "label": "perfect"}
    )
    axes.set_aspect("auto")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))  # round numbers, unlike those of the display
    return finish_axes(axes, f"Predicted against true{_name_score(evaluation)}", x=f"predicted {name}", y=f"true {name}")


def plot_residuals(evaluation: Evaluation, *, axes: Axes | None = None) -> Figure:
    """Draw how often each error of a regression occurs."""
    axes, target, weight = axes or make_axes(3.2), evaluation.part.target, evaluation.part.weight
    spread = _draw_histogram(axes, target.to_numpy(float) - evaluation.answers, weight)
    axes.axvline(0, **REFERENCE, label="no error")
    x, y = f"true − predicted {shorten_label(target.name)}", count_unit(weight, "test rows")
    return finish_axes(axes, f"Residuals {spread}", x=x, y=y)


def plot_quantiles(evaluation: Evaluation, *, axes: Axes | None = None) -> Figure:
    """Draw the lowest to the highest quantile next to the truth."""
    axes, target, levels = axes or make_axes(4.4), evaluation.part.target, evaluation.contract.quantiles
    true, quantiles = target.to_numpy(float), evaluation.answers.reshape(len(target), -1)
    middle = min(range(len(levels)), key=lambda place: abs(levels[place] - 0.5))
    order, rows, weight = np.argsort(quantiles[:, middle], kind="stable"), np.arange(len(target)), evaluation.part.weight
    if len(levels) > 1:
        label, many = f"{levels[0]} to {levels[-1]}", len(rows) > MOST_POINTS
        low, high = quantiles[order, 0], quantiles[order, -1]
        axes.fill_between(rows, low, high, color=BLUE, alpha=0.25, linewidth=0, label=label, rasterized=many)
    axes.plot(rows, quantiles[order, middle], color=BLUE, label=f"quantile {levels[middle]}")
    sizes = None if weight is None else weight[order]
    axes.scatter(rows, true[order], **_style_points(len(rows), sizes, color=ORANGE, label="true"))
    title = f"Quantiles and truth{_name_score(evaluation)}"
    return finish_axes(axes, title, x=f"test rows, by quantile {levels[middle]}", y=shorten_label(target.name))


def plot_calibration(evaluation: Evaluation, *, axes: Axes | None = None) -> Figure:
    """Draw how often the truth is below each quantile."""
    axes, target, levels = axes or make_axes(4.4), evaluation.part.target, evaluation.contract.quantiles
    true, quantiles = target.to_numpy(float), evaluation.answers.reshape(len(target), -1)
    below = [np.average(true <= column, weights=evaluation.part.weight) for column in quantiles.T]
    axes.plot([0, 1], [0, 1], **REFERENCE, label="perfect")
    axes.plot(levels, below, "o", color=BLUE, label="test rows")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return finish_axes(axes, "Calibration", x="quantile", y="share of the truth up to the quantile")


def _style_points(count: int, weight: Array | None, *, color: str, label: str) -> dict[str, Any]:
    """Return the style of a point for each row, of an area that is proportional to its weight."""
    sizes: Any = POINT_SIZE if weight is None else POINT_SIZE * weight / weight.mean()
    return {"color": color, "alpha": 0.6, "linewidths": 0, "s": sizes, "label": label, "rasterized": count > MOST_POINTS}


def _draw_histogram(axes: Axes, values: Array, weight: Array | None) -> str:
    """Draw how often values occur, with their mean; return the mean and the standard deviation."""
    mean = np.average(values, weights=weight)
    deviation = np.average((values - mean) ** 2, weights=weight) ** 0.5
    bins = min(MOST_BINS, max(10, round(len(values) ** 0.5)))
    sns.histplot(x=values, bins=bins, weights=weight, ax=axes, color=BLUE, alpha=1, shrink=0.94, linewidth=0)
    _count_whole(axes, weight)
    axes.axvline(mean, color=ORANGE, linewidth=2, label="mean")
    return format_spread(mean, deviation)


def _count_whole(axes: Axes, weight: Array | None) -> None:
    if weight is None:
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))


def _name_score(evaluation: Evaluation) -> str:
    return "".join(f": {name} {format_number(score)}" for name, score in [*evaluation.scores.items()][:1])
