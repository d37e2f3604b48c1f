"""Figures; one function, one figure. None draws on a global canvas, shows or saves itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn import metrics

from boostlab.display.figures import BLUE, GREY, ORANGE, choose_line, make_figure, make_grid

MOST_BARS = 20
MOST_COUNTS = 20  # classes: with more, the numbers in a confusion matrix can no longer be read


def plot_target(target: pd.Series, *, task: str) -> Figure:
    """Draw how often each value of the target occurs: a histogram of a quantity, bars for classes."""
    figure, axes = make_figure(3.2)
    if task == "regression":
        axes.hist(target.to_numpy(float), bins=min(60, max(10, round(len(target) ** 0.5))), color=BLUE, edgecolor="white")
        axes.axvline(target.mean(), color=ORANGE, label=f"mean {target.mean():.4g} ± {target.std():.4g}")
        axes.legend(frameon=False)
    else:
        counts = target.value_counts().sort_index()
        axes.bar([str(label) for label in counts.index], counts, color=BLUE)
        axes.tick_params(axis="x", rotation=45 if len(counts) > 6 else 0)
    axes.set(title=f"Target: {target.name}", xlabel=str(target.name), ylabel="rows")
    return figure


def plot_learning_curves(curves: Mapping[str, Sequence[float]], *, metric: str, best_iteration: int) -> Figure:
    """Draw the metric per boosting round on the training and validation parts, with the best round marked."""
    figure, axes = make_figure(4.0)
    for part, colour, style in (("train", BLUE, "--"), ("valid", ORANGE, "-")):
        values = curves[f"{part}_{metric}"]
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, linestyle=style, label=f"{part} {metric}")
    best = curves[f"valid_{metric}"][best_iteration]
    axes.axvline(best_iteration + 1, color=GREY, linewidth=1, linestyle=":")
    axes.plot(best_iteration + 1, best, "o", color=ORANGE, label=f"best round {best_iteration + 1}: {best:.4g}")
    axes.set(title="Learning curves", xlabel="boosting round", ylabel=metric)
    axes.legend(frameon=False)
    return figure


def plot_importance(gain: Mapping[str, float]) -> Figure:
    """Draw the features' mean gain as bars, largest on top, at most 20 of them."""
    shown = sorted(gain.items(), key=lambda item: item[1])[-MOST_BARS:]
    figure, axes = make_figure(1.4 + 0.26 * len(shown))
    axes.barh([name for name, _ in shown], [value for _, value in shown], color=BLUE)
    left_out = len(gain) - len(shown)
    title = f"Feature importance (largest {len(shown)} of {len(gain)})" if left_out else "Feature importance"
    axes.set(title=title, xlabel="mean gain of the splits that use it (loss)")
    return figure


def plot_regression(true: Sequence[float], predicted: Sequence[float], *, target: str) -> Figure:
    """Draw predicted against true values, and the residuals' distribution."""
    actual, answer = np.asarray(true, float), np.asarray(predicted, float)
    figure, grid = make_grid(1, 2, width_in=10.0, height_in=4.2)
    scatter, histogram = grid.flat
    limits = [min(actual.min(), answer.min()), max(actual.max(), answer.max())]
    scatter.plot(limits, limits, color=GREY, linewidth=1, linestyle="--", label="perfect")
    scatter.plot(actual, answer, "o", color=BLUE, alpha=0.5, markersize=4, markeredgewidth=0, label="test rows")
    scatter.set(title="Predicted against true", xlabel=f"true {target}", ylabel=f"predicted {target}")
    scatter.legend(frameon=False)
    residuals = actual - answer
    histogram.hist(residuals, bins="auto", color=BLUE, edgecolor="white")
    histogram.axvline(residuals.mean(), color=ORANGE, label=f"mean {residuals.mean():.3g} ± {residuals.std():.3g}")
    histogram.axvline(0, color=GREY, linewidth=1, linestyle="--")
    histogram.set(title="Residuals", xlabel=f"true − predicted {target}", ylabel="test rows")
    histogram.legend(frameon=False)
    return figure


def plot_classification(true: Sequence[int], probabilities: np.ndarray[Any, Any], *, labels: Sequence[Any]) -> Figure:
    """Draw ROC curves, precision–recall curves and the confusion matrix.

    Parameters
    ----------
    true : sequence of int, length n_rows
        Positions in `labels`.
    probabilities : ndarray of shape (n_rows, n_classes)
    """
    figure, grid = make_grid(1, 3, width_in=14.0, height_in=4.4)
    roc, recall, confusion = grid.flat
    shown = [1] if len(labels) == 2 else range(len(labels))
    for position in shown:
        line = choose_line(position - shown[0])
        is_class = np.asarray(true) == position
        false_rate, true_rate, _ = metrics.roc_curve(is_class, probabilities[:, position])
        area = metrics.auc(false_rate, true_rate)
        roc.plot(false_rate, true_rate, **line, label=f"{labels[position]} (AUC {area:.3f})")
        precision, found, _ = metrics.precision_recall_curve(is_class, probabilities[:, position], drop_intermediate=True)
        average = metrics.average_precision_score(is_class, probabilities[:, position])
        recall.plot(found, precision, **line, label=f"{labels[position]} (AP {average:.3f})")
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="chance")
    roc.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    recall.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(-0.05, 1.05))
    for axes in (roc, recall):
        axes.legend(frameon=False, fontsize="small", loc="lower right" if axes is roc else "lower left")
    _draw_confusion(confusion, metrics.confusion_matrix(true, probabilities.argmax(axis=1), labels=range(len(labels))), labels)
    return figure


def _draw_confusion(axes: Axes, counts: np.ndarray[Any, Any], labels: Sequence[Any]) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = np.arange(len(labels))
    rotation = 45 if max(len(str(label)) for label in labels) > 4 else 0
    axes.set_xticks(ticks, labels, rotation=rotation, ha="right" if rotation else "center")
    axes.set_yticks(ticks, labels)
    axes.set(title="Confusion (test rows)", xlabel="predicted class", ylabel="true class")
    for row, column in np.ndindex(*counts.shape) if len(labels) <= MOST_COUNTS else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize="small")
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(image, ax=axes, label="share of the true class")
