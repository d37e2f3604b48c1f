"""Figures of a model's answers to the test part: errors of a regression, errors over time, and calibration of quantiles.

Each function draws into `axes`, or into a new figure, and returns the figure. Rows count by their weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import PredictionErrorDisplay

from boostlab.display.figures import (
    BLUE,
    GREY,
    MOST_POINTS,
    ORANGE,
    REFERENCE,
    finish_axes,
    make_axes,
    make_mosaic,
    shorten_label,
)
from boostlab.display.histogram import count_unit, draw_histogram
from boostlab.display.numbers import format_number
from boostlab.evaluation.class_plots import plot_classification
from boostlab.evaluation.metrics import Evaluation
from boostlab.evaluation.time_trend import TimeTrend

Array = np.ndarray[Any, Any]
POINT_SIZE = 16


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
    spread = draw_histogram(axes, target.to_numpy(float) - evaluation.answers, weight)
    axes.axvline(0, **REFERENCE, label="no error")
    x, y = f"true − predicted {shorten_label(target.name)}", count_unit(weight, "test rows")
    return finish_axes(axes, f"Residuals {spread}", x=x, y=y)


def plot_quantiles(evaluation: Evaluation, *, axes: Axes | None = None) -> Figure:
    """Draw the lowest to the highest quantile next to the truth."""
    axes, target, levels = axes or make_axes(4.4), evaluation.part.target, evaluation.contract.quantiles
    true, quantiles = target.to_numpy(float), evaluation.answers.reshape(len(target), -1)
    middle = evaluation.contract.middle
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


def plot_over_time(trend: TimeTrend, *, axes: Axes | None = None) -> Figure:
    """Draw the errors of a regression, or the mean loss of a classification, over time, with a running mean and its 95 % band."""
    axes, running = axes or make_axes(3.8), trend.running
    part, is_class = trend.evaluation.part, bool(trend.evaluation.contract.labels)
    if is_class:
        axes.axhline(np.average(trend.errors, weights=trend.weight), **REFERENCE, label="mean of all test rows")
    else:
        points = _style_points(len(trend.errors), trend.weight, color=GREY, label="test rows") | {"alpha": 0.35}
        axes.scatter(trend.times, trend.errors, **points)
        axes.axhline(0, **REFERENCE)
    low = np.maximum(running.low, 0) if is_class else running.low
    axes.fill_between(running.times, low, running.high, color=ORANGE, alpha=0.3, linewidth=0, label="95 % interval")
    axes.plot(running.times, running.mean, color=ORANGE, linewidth=2, label="running mean")
    if trend.times.dtype.kind == "M":
        axes.xaxis.set_major_locator(AutoDateLocator(maxticks=7))  # type: ignore[no-untyped-call]
    name = "log loss" if is_class else f"true − predicted {shorten_label(part.target.name)}"
    early, late = format_number(trend.early), format_number(trend.late)
    title = f"Errors over time: {trend.metric} {early} in the first quarter, {late} in the last"
    return finish_axes(axes, title, x=shorten_label(part.table.roles.time), y=name)


def _style_points(count: int, weight: Array | None, *, color: str, label: str) -> dict[str, Any]:
    """Return the style of a point for each row, of an area that is proportional to its weight."""
    sizes: Any = POINT_SIZE if weight is None else POINT_SIZE * weight / weight.mean()
    return {"color": color, "alpha": 0.6, "linewidths": 0, "s": sizes, "label": label, "rasterized": count > MOST_POINTS}


def _name_score(evaluation: Evaluation) -> str:
    return "".join(f": {name} {format_number(score)}" for name, score in [*evaluation.scores.items()][:1])
