"""Figures of a classification's answers to the test part: ROC, precision and recall, confusion, and reliability.

Each function draws into `axes`, or into a new figure, and returns the figure. Rows count by their weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import (
    PrecisionRecallDisplay,
    RocCurveDisplay,
    auc,
    average_precision_score,
    confusion_matrix,
    precision_recall_curve,
    roc_curve,
)

from boostlab.data.table import encode_labels
from boostlab.display.figures import (
    BLUE,
    INK,
    ORANGE,
    REFERENCE,
    TYPE_PT,
    choose_line,
    finish_axes,
    make_axes,
    make_mosaic,
    name_ticks,
    shorten_label,
)
from boostlab.display.histogram import count_unit
from boostlab.display.numbers import format_number
from boostlab.evaluation.metrics import Evaluation
from boostlab.evaluation.reliability import BINS, NORMAL, find_bins
from boostlab.models.answers import choose_classes

Array = np.ndarray[Any, Any]
Curves = dict[int, tuple[Array, Array, float]]  # of a class, by its position: x, y, and the area under the curve
MOST_POINTS = 2_000  # of a curve, which is less than 1,000 pixels wide
MOST_CURVES = 10
MOST_COUNTS = 20  # classes: with more, the numbers in a confusion matrix do not fit
LABEL = 16  # characters of a class
DENSEST = 0.75  # text stands out from it on a light and on a dark page
SHARES = LinearSegmentedColormap.from_list("shares", [(BLUE, 0.0), (BLUE, DENSEST)])  # the page shines through


def plot_classification(evaluation: Evaluation) -> Figure:
    """Draw ROC, precision and recall, confusion and reliability.

    Of many classes, the curves are those of the ten with the lowest area under the ROC.
    """
    labels = evaluation.contract.labels
    if len(labels) == 2:
        figure, panels = make_mosaic(["rp", "cb"], height_in=6.6)
    else:
        height = 7.0 + max(4.0, 0.25 * min(len(labels), MOST_COUNTS))
        figure, panels = make_mosaic(["rrrppp", "ccccll", "bbbbbb"], height_in=height)
    curves = find_roc(evaluation)
    plot_roc(evaluation, curves=curves, axes=panels["r"], legend=False)
    plot_precision_recall(evaluation, classes=list(curves), axes=panels["p"], legend=False)
    plot_confusion(evaluation, axes=panels["c"])
    plot_reliability(evaluation, axes=panels["b"])
    if len(labels) > 2:
        title = f"The {len(curves)} lowest of {len(labels)} classes" if len(curves) < len(labels) else "Classes"
        _draw_legend(panels["l"], panels["r"], panels["p"], title=title)
    return figure


def find_roc(evaluation: Evaluation) -> Curves:
    """Return the ROC of the ten classes with the lowest area under it, of two classes that of the second one.

    Classes that all test rows have, or none, have no curve.
    """
    true, labels, answers = _encode(evaluation), evaluation.contract.labels, evaluation.answers
    curves: Curves = {}
    for position in range(len(labels))[1 if len(labels) == 2 else 0 :]:
        is_class = true == position
        if is_class.any() and not is_class.all():
            x, y, _ = roc_curve(is_class, answers[:, position], sample_weight=evaluation.part.weight)
            curves[position] = x, y, float(auc(x, y))
    lowest = sorted(curves, key=lambda position: curves[position][2])[:MOST_CURVES]
    return {position: curves[position] for position in sorted(lowest)}


def plot_roc(evaluation: Evaluation, *, curves: Curves | None = None, axes: Axes | None = None, legend: bool = True) -> Figure:
    """Draw the ROC of each class in `curves`, else of those of :func:`find_roc`."""
    axes, curves = axes or make_axes(4.4), find_roc(evaluation) if curves is None else curves
    for place, (position, (x, y, area)) in enumerate(curves.items()):
        style = _style(place, f"{_name(evaluation, position)} (AUC {area:.3f})")
        RocCurveDisplay(fpr=_thin(x), tpr=_thin(y)).plot(axes, curve_kwargs=style)
    axes.plot([0, 1], [0, 1], **REFERENCE, label="chance")
    return _finish(axes, "ROC", "false positive rate", "true positive rate", legend=legend)


def plot_precision_recall(
    evaluation: Evaluation, *, classes: Sequence[int] | None = None, axes: Axes | None = None, legend: bool = True
) -> Figure:
    """Draw precision by recall of the classes at these positions, else of those of :func:`find_roc`."""
    axes, true, weight = axes or make_axes(4.4), _encode(evaluation), evaluation.part.weight
    for place, position in enumerate(find_roc(evaluation) if classes is None else classes):
        is_class, answers = true == position, evaluation.answers[:, position]
        precision, recall, _ = precision_recall_curve(is_class, answers, sample_weight=weight, drop_intermediate=True)
        area = average_precision_score(is_class, answers, sample_weight=weight)
        style = _style(place, f"{_name(evaluation, position)} (AP {area:.3f})")
        PrecisionRecallDisplay(_thin(precision), _thin(recall)).plot(axes, curve_kwargs=style)
    return _finish(axes, "Precision and recall", "recall", "precision", legend=legend)


def plot_confusion(evaluation: Evaluation, *, axes: Axes | None = None) -> Figure:
    """Draw counts of true and predicted classes, coloured by their share of the true class."""
    axes, weight, labels = axes or make_axes(4.4), evaluation.part.weight, evaluation.contract.labels
    predicted, every = choose_classes(evaluation.answers, evaluation.contract.threshold), range(len(labels))
    counts = confusion_matrix(_encode(evaluation), predicted, labels=every, sample_weight=weight)
    total = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(total, total, 1)
    texts = [[format_number(count) if count else "" for count in row] for row in counts.tolist()]
    has_counts = len(labels) <= MOST_COUNTS
    shown: dict[str, Any] = {"annot": texts, "fmt": "", "annot_kws": {"size": TYPE_PT, "color": INK}} if has_counts else {}
    bare: dict[str, Any] = {"cbar": False, "xticklabels": False, "yticklabels": False}
    sns.heatmap(shares, mask=shares == 0, ax=axes, cmap=SHARES, vmin=0, vmax=1, rasterized=True, **bare, **shown)
    if has_counts:
        names = [_name(evaluation, position) for position in every]
        name_ticks(axes, names, shift=0.5)
        axes.set_yticks(np.arange(len(names)) + 0.5, names)
    else:  # as many labels as fit
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(12, integer=True))
            axis.set_tick_params(labelrotation=90 if axis is axes.xaxis else 0)
            axis.set_major_formatter(lambda place, _: _name(evaluation, int(place)) if 0 <= place < len(labels) else "")
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    right = np.trace(counts) / counts.sum()
    return finish_axes(axes, f"Confusion: {right:.1%} right", x="predicted class", y=count_unit(weight, "true class"))


def plot_reliability(evaluation: Evaluation, *, axes: Axes | None = None) -> Figure:
    """Draw how often probabilities come true, with 95 % intervals, and as bars the share of the rows in each bin."""
    axes, found, labels = axes or make_axes(4.4), evaluation.reliability, evaluation.contract.labels
    shares = np.zeros(BINS)
    shares[find_bins(found.predicted)] = found.share
    axes.stairs(shares, np.linspace(0, 1, BINS + 1), fill=True, color=ORANGE, alpha=0.3, label="share of rows")
    axes.plot([0, 1], [0, 1], **REFERENCE)
    ends = np.clip([found.observed - NORMAL * found.error, found.observed + NORMAL * found.error], 0, 1)
    axes.vlines(found.predicted, *ends, color=BLUE, linewidth=1.5)
    axes.plot(found.predicted, found.observed, color=BLUE, marker="o", label="came true")
    axes.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    of = _name(evaluation, 1) if len(labels) == 2 else "the most probable class"
    title = f"Calibration error {found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
    return finish_axes(axes, title, x=f"probability of {of}", y="share")


def _thin(values: Array) -> Array:
    """Return at most 2,000 points of a curve: one of 200,000 rows takes a long time to draw."""
    kept = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_POINTS)).round().astype(int))
    thinned: Array = values[kept]
    return thinned


def _style(place: int, label: str) -> dict[str, Any]:
    return {**choose_line(place), "label": label}


def _finish(axes: Axes, title: str, x: str, y: str, *, legend: bool) -> Figure:
    """Finish the axes of curves; the title names a single curve."""
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="auto")
    if (theirs := axes.get_legend()) is not None:  # that of the displays lies over the data
        theirs.remove()
    named = [str(line.get_label()) for line in axes.lines if line.get_label() != "chance"]
    if len(named) == 1:
        return finish_axes(axes, f"{title}: {named[0]}", x=x, y=y, labels=([], []))
    return finish_axes(axes, title, x=x, y=y, labels=None if legend else ([], []))


def _draw_legend(axes: Axes, roc: Axes, recall: Axes, *, title: str) -> None:
    """Fill axes with the legend that two others share: ``yes (AUC 0.9)`` and ``yes (AP 0.8)`` become one entry."""
    handles, texts = roc.get_legend_handles_labels()
    precisions = [text.rpartition(" (")[2] for text in recall.get_legend_handles_labels()[1]]
    for place, precision in enumerate(precisions):
        name, _, area = texts[place].rpartition(" (")
        texts[place] = f"{name}\n{area[:-1]}, {precision[:-1]}"
    small: dict[str, Any] = {"borderpad": 0, "borderaxespad": 0, "handlelength": 1.5, "labelspacing": 0.3}
    axes.legend(handles, texts, loc="upper left", frameon=False, fontsize=TYPE_PT, **small)
    axes.axis("off")
    finish_axes(axes, title, labels=([], []))


def _name(evaluation: Evaluation, position: int) -> str:
    return shorten_label(evaluation.contract.labels[position], LABEL)


def _encode(evaluation: Evaluation) -> Array:
    return encode_labels(evaluation.part.target, evaluation.contract.labels)
