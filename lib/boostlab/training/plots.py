"""Figures of a training: the target, the learning curves, the features' gain and the answers to the test part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator
from sklearn.metrics import (
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
    average_precision_score,
    confusion_matrix,
    roc_auc_score,
)

from boostlab.data.table import Table, encode_labels
from boostlab.display.figures import BLUE, GREY, ORANGE, choose_line, make_figure, make_grid, shorten_label
from boostlab.training.metrics import Evaluation

if TYPE_CHECKING:
    from boostlab.training.fit import Fit

MOST_BARS = 20
MOST_COUNTS = 20  # classes: with more, the numbers in a confusion matrix are too small to read


def plot_target(table: Table) -> Figure:
    """Draw how often each value of the target occurs: a histogram of a quantity, bars for classes."""
    figure, axes = make_figure(3.2)
    target, name = table.target, shorten_label(table.target.name)
    if table.task == "regression":
        bins = min(60, max(10, round(len(target) ** 0.5)))
        sns.histplot(x=target.to_numpy(float), bins=bins, color=BLUE, edgecolor="white", alpha=1, ax=axes)
        axes.axvline(target.mean(), color=ORANGE, label=f"mean {target.mean():.4g} ± {target.std():.4g}")
        axes.legend(frameon=False)
    else:
        labels = [shorten_label(label) for label in sorted(target.unique().tolist())]
        sns.countplot(x=target.map(shorten_label), order=labels, color=BLUE, saturation=1, ax=axes)
        if len(labels) > 6:
            _slant_labels(axes)
    axes.set(title=f"Target: {name}", xlabel=name, ylabel="rows")
    return figure


def plot_learning_curves(fit: Fit) -> Figure:
    """Draw the metric per boosting round on the training and validation parts, with the best round marked."""
    figure, axes = make_figure(4.0)
    for part, colour, style in (("train", BLUE, "--"), ("valid", ORANGE, "-")):
        values = fit.curves[f"{part}_{fit.metric}"]
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, linestyle=style, label=f"{part} {fit.metric}")
    best = fit.curves[f"valid_{fit.metric}"][fit.best_iteration]
    axes.axvline(fit.best_iteration + 1, color=GREY, linewidth=1, linestyle=":")
    axes.plot(fit.best_iteration + 1, best, "o", color=ORANGE, label=f"best round {fit.best_iteration + 1}: {best:.4g}")
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
    return _plot_regression(evaluation) if evaluation.contract.task == "regression" else _plot_classification(evaluation)


def _plot_regression(evaluation: Evaluation) -> Figure:
    target = evaluation.part.target
    name, true, predicted = shorten_label(target.name), target.to_numpy(float), evaluation.answers
    figure, grid = make_grid(1, 2, width_in=10.0, height_in=4.2)
    scatter, histogram = grid.flat
    PredictionErrorDisplay.from_predictions(
        true,
        predicted,
        kind="actual_vs_predicted",
        subsample=None,
        ax=scatter,
        scatter_kwargs={"color": BLUE, "alpha": 0.5, "s": 16, "linewidths": 0, "label": "test rows"},
        line_kwargs={"color": GREY, "linewidth": 1, "label": "perfect"},
    )
    for axis in (scatter.xaxis, scatter.yaxis):
        axis.set_major_locator(AutoLocator())  # round numbers, unlike the display's own ticks
    scatter.set(title="Predicted against true", xlabel=f"predicted {name}", ylabel=f"true {name}")
    residuals = true - predicted
    sns.histplot(x=residuals, color=BLUE, edgecolor="white", alpha=1, ax=histogram)
    histogram.axvline(residuals.mean(), color=ORANGE, label=f"mean {residuals.mean():.3g} ± {residuals.std():.3g}")
    histogram.axvline(0, color=GREY, linewidth=1, linestyle="--")
    histogram.set(title="Residuals", xlabel=f"true − predicted {name}", ylabel="test rows")
    for axes in (scatter, histogram):
        axes.legend(frameon=False)
    return figure


def _plot_classification(evaluation: Evaluation) -> Figure:
    labels, probabilities = evaluation.contract.labels, evaluation.answers
    true = encode_labels(evaluation.part.target, labels)
    figure, grid = make_grid(1, 3, width_in=14.0, height_in=4.4)
    roc, recall, confusion = grid.flat
    shown = [1] if len(labels) == 2 else range(len(labels))
    for position in shown:
        is_class, scores, label = true == position, probabilities[:, position], shorten_label(labels[position], 20)
        line: dict[str, Any] = choose_line(position - shown[0])
        area, precision = roc_auc_score(is_class, scores), average_precision_score(is_class, scores)
        RocCurveDisplay.from_predictions(is_class, scores, ax=roc, curve_kwargs={**line, "label": f"{label} (AUC {area:.3f})"})
        line["label"] = f"{label} (AP {precision:.3f})"
        PrecisionRecallDisplay.from_predictions(is_class, scores, ax=recall, drop_intermediate=True, curve_kwargs=line)
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="chance")
    roc.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    recall.set(title="Precision and recall", xlabel="recall", ylabel="precision", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    for axes, place in ((roc, "lower right"), (recall, "lower left")):
        axes.legend(frameon=False, fontsize="small", loc=place)
    counts = confusion_matrix(true, probabilities.argmax(axis=1), labels=range(len(labels)))
    _draw_confusion(confusion, counts, [shorten_label(label, 20) for label in labels])
    return figure


def _draw_confusion(axes: Axes, counts: np.ndarray[Any, Any], labels: list[str]) -> None:
    """Draw counts of true and predicted classes, coloured by their share of the true class."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    sns.heatmap(
        shares,
        annot=counts if len(labels) <= MOST_COUNTS else None,
        fmt="d",
        annot_kws={"fontsize": "small"},
        cmap="Blues",
        vmin=0,
        vmax=1,
        square=True,
        xticklabels=labels,
        yticklabels=labels,
        cbar_kws={"label": "share of the true class"},
        ax=axes,
    )
    axes.tick_params(axis="both", rotation=0)
    if max(map(len, labels)) > 4:
        _slant_labels(axes)
    axes.set(title="Confusion (test rows)", xlabel="predicted class", ylabel="true class")


def _slant_labels(axes: Axes) -> None:
    """Turn the labels below the axes by 45 degrees, so that long ones do not overlap."""
    for text in axes.get_xticklabels():
        text.set(rotation=45, ha="right", rotation_mode="anchor")
