"""Figures of a training: the target, the learning curves, the features' gain and the answers to the test part.

Where rows have weights, each figure counts a row by its weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import AutoLocator
from sklearn.metrics import (
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
    confusion_matrix,
    roc_auc_score,
)

from boostlab.data.splits import read_weights
from boostlab.data.table import Table, encode_labels, find_labels
from boostlab.display.figures import BLUE, GREY, ORANGE, choose_line, make_figure, make_grid, shorten_label
from boostlab.training.metrics import Evaluation

if TYPE_CHECKING:
    from boostlab.training.fit import Fit

Array = np.ndarray[Any, Any]
POINT_SIZE = 16
MOST_BARS = 20
MOST_POINTS = 2_000  # of a curve, which is less than 1,000 pixels wide
MOST_CURVES = 10  # classes: the legend still fits beside the curves
MOST_COUNTS = 20  # classes: with more, the numbers in a confusion matrix are too small to read


def plot_target(table: Table) -> Figure:
    """Draw how often each value of the target occurs: a histogram of a quantity, bars for classes."""
    figure, axes = make_figure(3.2)
    target, name, weight = table.target, shorten_label(table.target.name), read_weights(table)
    if table.task == "regression":
        bins = min(60, max(10, round(len(target) ** 0.5)))
        _draw_histogram(axes, target.to_numpy(float), weight, bins=bins)
    else:
        labels = find_labels(target)
        axes.bar(range(len(labels)), np.bincount(encode_labels(target, labels), weights=weight), color=BLUE)
        axes.set_xticks(range(len(labels)), [shorten_label(label) for label in labels])
        if len(labels) > 6:
            _slant_labels(axes)
    axes.set(title=f"Target: {name}", xlabel=name, ylabel=_count(weight))
    return figure


def plot_learning_curves(fit: Fit) -> Figure:
    """Draw the metric per boosting round on the training and validation parts, with the model's last round marked."""
    figure, axes = make_figure(4.0)
    for part, colour, style in (("train", BLUE, "--"), ("valid", ORANGE, "-")):
        values = fit.curves[f"{part}_{fit.metric}"]
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, linestyle=style, label=f"{part} {fit.metric}")
    kept = fit.curves[f"valid_{fit.metric}"][fit.best_iteration]
    axes.axvline(fit.best_iteration + 1, color=GREY, linewidth=1, linestyle=":")
    axes.plot(fit.best_iteration + 1, kept, "o", color=ORANGE, label=f"model of round {fit.best_iteration + 1}: {kept:.4g}")
    axes.set(title="Learning curves", xlabel="boosting round", ylabel=fit.metric)
    axes.legend(frameon=False)
    return figure


def plot_importance(gain: Mapping[str, float]) -> Figure:
    """Draw the features' mean gain as bars, the largest on top, at most 20 bars."""
    shown = sorted(gain.items(), key=lambda item: item[1])[-MOST_BARS:]
    figure, axes = make_figure(1.4 + 0.26 * len(shown))
    axes.barh(range(len(shown)), [value for _, value in shown], color=BLUE)
    axes.set_yticks(range(len(shown)), [shorten_label(name) for name, _ in shown])
    title = "Feature importance" + (f" (largest {len(shown)} of {len(gain)})" if len(shown) < len(gain) else "")
    axes.set(title=title, xlabel="mean gain of the splits that use it (loss)")
    return figure


def plot_test(evaluation: Evaluation) -> Figure:
    """Draw the answers to the test part against the truth: errors of a regression, curves and confusion of a classification."""
    if evaluation.contract.task == "classification":
        return _plot_classification(evaluation)
    return _plot_quantiles(evaluation) if evaluation.contract.quantiles else _plot_regression(evaluation)


def _plot_quantiles(evaluation: Evaluation) -> Figure:
    """Draw the lowest to the highest quantile next to the truth, and how often the truth is below each."""
    target, levels, weight = evaluation.part.target, evaluation.contract.quantiles, evaluation.part.weight
    true, quantiles = target.to_numpy(float), evaluation.answers.reshape(len(target), -1)
    figure, grid = make_grid(1, 2, width_in=10.0, height_in=4.2)
    band, calibration = grid.flat
    middle = min(range(len(levels)), key=lambda place: abs(levels[place] - 0.5))
    order, rows = np.argsort(quantiles[:, middle], kind="stable"), np.arange(len(target))
    if len(levels) > 1:
        label = f"quantiles {levels[0]} to {levels[-1]}"
        band.fill_between(rows, quantiles[order, 0], quantiles[order, -1], color=BLUE, alpha=0.25, linewidth=0, label=label)
    band.plot(rows, quantiles[order, middle], color=BLUE, label=f"quantile {levels[middle]}")
    band.scatter(rows, true[order], color=ORANGE, alpha=0.5, linewidths=0, s=_sizes(weight, order), label="true")
    name = shorten_label(target.name)
    band.set(title="Quantiles and truth", xlabel=f"test rows, by quantile {levels[middle]}", ylabel=name)
    below = [np.average(true <= column, weights=weight) for column in quantiles.T]
    calibration.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="perfect")
    calibration.plot(levels, below, "o", color=BLUE, label="test rows")
    calibration.set(title="Calibration", xlabel="quantile", ylabel=f"share of true {name} up to the quantile")
    calibration.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for axes in (band, calibration):
        axes.legend(frameon=False)
    return figure


def _plot_regression(evaluation: Evaluation) -> Figure:
    target, weight = evaluation.part.target, evaluation.part.weight
    name, true, predicted = shorten_label(target.name), target.to_numpy(float), evaluation.answers
    figure, grid = make_grid(1, 2, width_in=10.0, height_in=4.2)
    scatter, histogram = grid.flat
    PredictionErrorDisplay.from_predictions(
        true,
        predicted,
        kind="actual_vs_predicted",
        subsample=None,
        ax=scatter,
        scatter_kwargs={"color": BLUE, "alpha": 0.5, "s": _sizes(weight), "linewidths": 0, "label": "test rows"},
        line_kwargs={"color": GREY, "linewidth": 1, "label": "perfect"},
    )
    for axis in (scatter.xaxis, scatter.yaxis):
        axis.set_major_locator(AutoLocator())  # round numbers, unlike the display's own ticks
    scatter.set(title="Predicted against true", xlabel=f"predicted {name}", ylabel=f"true {name}")
    _draw_histogram(histogram, true - predicted, weight)
    histogram.axvline(0, color=GREY, linewidth=1, linestyle="--")
    histogram.set(title="Residuals", xlabel=f"true − predicted {name}", ylabel=_count(weight, "test rows"))
    for axes in (scatter, histogram):
        axes.legend(frameon=False)
    return figure


def _plot_classification(evaluation: Evaluation) -> Figure:
    labels, probabilities, weight = evaluation.contract.labels, evaluation.answers, evaluation.part.weight
    true = encode_labels(evaluation.part.target, labels)
    figure, grid = make_grid(1, 3, width_in=14.0, height_in=4.4)
    roc, recall, confusion = grid.flat
    areas = {
        position: float(roc_auc_score(true == position, probabilities[:, position], sample_weight=weight))
        for position in ([1] if len(labels) == 2 else range(len(labels)))
    }
    lowest_first = sorted(areas, key=lambda position: (np.isnan(areas[position]), areas[position]))  # NaN: no such test row
    shown = sorted(lowest_first[:MOST_CURVES])
    for number, position in enumerate(shown):
        is_class, scores, label = true == position, probabilities[:, position], shorten_label(labels[position], 20)
        options: dict[str, Any] = {"curve_kwargs": choose_line(number), "sample_weight": weight}
        curve = RocCurveDisplay.from_predictions(is_class, scores, ax=roc, **options)
        _shorten_line(curve.line_, f"{label} (AUC {areas[position]:.3f})")
        curve = PrecisionRecallDisplay.from_predictions(is_class, scores, ax=recall, drop_intermediate=True, **options)
        _shorten_line(curve.line_, f"{label} (AP {curve.average_precision:.3f})")
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="chance")
    lowest = f", the {len(shown)} lowest of {len(areas)} classes" if len(shown) < len(areas) else ""
    roc.set(title=f"ROC{lowest}", xlabel="false positive rate", ylabel="true positive rate")
    same = ", the same classes" if lowest else ""
    recall.set(title=f"Precision and recall{same}", xlabel="recall", ylabel="precision", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    for axes, place in ((roc, "lower right"), (recall, "best")):
        axes.legend(frameon=False, fontsize="small", loc=place)
    counts = confusion_matrix(true, probabilities.argmax(axis=1), labels=range(len(labels)), sample_weight=weight)
    _draw_confusion(confusion, counts, [shorten_label(label, 20) for label in labels], unit=_count(weight, "test rows"))
    return figure


def _shorten_line(line: Line2D, label: str) -> None:
    """Label a line, and keep at most 2,000 of its points: a curve of 200,000 rows takes a long time to draw."""
    x, y = map(np.asarray, line.get_data())
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).round().astype(int))
    line.set(data=(x[kept], y[kept]), label=label)


def _draw_confusion(axes: Axes, counts: Array, labels: list[str], *, unit: str) -> None:
    """Draw counts of true and predicted classes, coloured by their share of the true class."""
    total = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(total, total, 1)
    sns.heatmap(
        pd.DataFrame(shares, index=labels, columns=labels),
        annot=counts if len(labels) <= MOST_COUNTS else None,
        fmt="d" if counts.dtype.kind == "i" else ".3g",
        annot_kws={"fontsize": "small"},
        cmap="Blues",
        vmin=0,
        vmax=1,
        square=True,
        xticklabels="auto",  # as many labels as fit
        yticklabels="auto",
        cbar_kws={"label": "share of the true class"},
        ax=axes,
    )
    axes.tick_params(axis="both", rotation=0)
    if max(map(len, labels)) > 4:
        _slant_labels(axes)
    axes.set(title=f"Confusion ({unit})", xlabel="predicted class", ylabel="true class")


def _draw_histogram(axes: Axes, values: Array, weight: Array | None, *, bins: int | str = "auto") -> None:
    """Draw how often values occur, with their mean and standard deviation."""
    mean = np.average(values, weights=weight)
    deviation = np.average((values - mean) ** 2, weights=weight) ** 0.5
    edges = np.histogram_bin_edges(values, bins)  # seaborn does not find them for weighted values
    sns.histplot(x=values, weights=weight, bins=edges.tolist(), color=BLUE, edgecolor="white", alpha=1, ax=axes)
    axes.axvline(mean, color=ORANGE, label=f"mean {mean:.4g} ± {deviation:.4g}")
    axes.legend(frameon=False)


def _count(weight: Array | None, rows: str = "rows") -> str:
    return rows if weight is None else f"{rows}, by weight"


def _sizes(weight: Array | None, order: Array | None = None) -> Any:
    """Return the areas of points, in square points."""
    if weight is None:
        return POINT_SIZE
    sizes = POINT_SIZE * weight / weight.mean()
    return sizes if order is None else sizes[order]


def _slant_labels(axes: Axes) -> None:
    """Turn the labels below the axes by 45 degrees, so that long ones do not overlap."""
    for text in axes.get_xticklabels():
        text.set(rotation=45, ha="right", rotation_mode="anchor")
