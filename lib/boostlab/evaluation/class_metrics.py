"""Metrics of a classification. Those of labels judge the classes that the model chose, the others its probabilities.

With two classes, F1, the areas and the rates at a floor are those of the second class. With more, F1 and the areas are the
unweighted mean over the classes, one against the rest; an area is that of the classes that the rows have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn import metrics

from boostlab.evaluation.losses import read_name
from boostlab.evaluation.reliability import measure_reliability

Array = np.ndarray[Any, Any]
Weight = Array | None
EXACT = 1e-12  # a rate that differs by less from a floor meets it: weights are summed in floating point


def score_classes(metric: str, true: Array, probabilities: Array, weight: Weight = None, *, predicted: Array) -> float:
    """Return one metric of a classification.

    Parameters
    ----------
    metric : str
        A name in `LABEL_SCORES` or `PROBABILITY_SCORES`, with the numbers of its formula, such as
        ``recall_at_precision:0.9`` or ``cost:1-10``.
    true, predicted : ndarray of shape (n_rows,)
        Positions of the true and of the chosen classes.
    probabilities : ndarray of shape (n_rows, n_classes)
    weight : ndarray of shape (n_rows,), optional

    Returns
    -------
    float
        NaN if the rows do not define the metric, such as the ROC AUC of a single class.
    """
    name, numbers = read_name(metric)
    if name in LABEL_SCORES:
        return float(LABEL_SCORES[name](true, predicted, weight, probabilities.shape[1], *numbers))
    likely = probabilities / probabilities.sum(axis=1, keepdims=True)  # float32 probabilities do not sum to 1 exactly
    return float(PROBABILITY_SCORES[name](true, likely, weight, *numbers))


def _accuracy(true: Array, predicted: Array, weight: Weight, _classes: int) -> float:
    return float(metrics.accuracy_score(true, predicted, sample_weight=weight))


def _balanced_accuracy(true: Array, predicted: Array, weight: Weight, _classes: int) -> float:
    present = np.unique(true if weight is None else true[weight > 0])
    return float(metrics.recall_score(true, predicted, labels=present, average="macro", sample_weight=weight, zero_division=0))


def _f1(true: Array, predicted: Array, weight: Weight, classes: int) -> float:
    average = "binary" if classes == 2 else "macro"
    return float(metrics.f1_score(true, predicted, average=average, sample_weight=weight, zero_division=0))


def _mcc(true: Array, predicted: Array, weight: Weight, _classes: int) -> float:
    """Return Matthews' correlation, of more classes Gorodkin's; 0 if all rows have, or all answers are, one class."""
    if (predicted == predicted[0]).all():  # scikit-learn warns if the rows have this class alone
        return 0.0
    return float(metrics.matthews_corrcoef(true, predicted, sample_weight=weight))


def _cost(true: Array, predicted: Array, weight: Weight, _classes: int, false_positive: float, false_negative: float) -> float:
    """Return the mean cost of a row."""
    cost = np.where(predicted > true, false_positive, 0) + np.where(predicted < true, false_negative, 0)
    return float(np.average(cost, weights=weight))


def _log_loss(true: Array, likely: Array, weight: Weight) -> float:
    """Return the log loss as scikit-learn defines it.

    Its own function checks and encodes all labels: for 100 rows, it takes 50 times as long.
    """
    smallest = np.finfo(likely.dtype).eps
    chosen = likely[np.arange(len(true)), true.astype(int)].clip(smallest, 1 - smallest)
    return float(np.average(-np.log(chosen, dtype=float), weights=weight))


def _brier(true: Array, likely: Array, weight: Weight) -> float:
    """Return the mean squared error of the second class's probability; of more than two classes the sum over all classes."""
    squares = ((likely - np.eye(likely.shape[1])[true.astype(int)]) ** 2).sum(axis=1)
    return float(np.average(squares, weights=weight)) / (2 if likely.shape[1] == 2 else 1)


def _calibration_error(true: Array, likely: Array, weight: Weight) -> float:
    return measure_reliability(true, likely, weight).value


def _roc_auc(true: Array, likely: Array, weight: Weight) -> float:
    areas = [
        metrics.roc_auc_score(is_class, score, sample_weight=weight)
        for is_class, score, share in _one_against_rest(true, likely, weight)
        if 0 < share < 1
    ]
    return float(np.mean(areas)) if areas else np.nan


def _average_precision(true: Array, likely: Array, weight: Weight) -> float:
    areas = [
        metrics.average_precision_score(is_class, score, sample_weight=weight)
        for is_class, score, share in _one_against_rest(true, likely, weight)
        if share > 0
    ]
    return float(np.mean(areas)) if areas else np.nan


def _recall_at_precision(true: Array, likely: Array, weight: Weight, floor: float) -> float:
    """Return the highest recall of a threshold whose precision is at least the floor; 0 if none reaches it."""
    if not ((true == 1) if weight is None else weight[true == 1]).any():
        return np.nan
    precision, recall, _ = metrics.precision_recall_curve(true == 1, likely[:, 1], sample_weight=weight)
    return float(recall[precision >= floor - EXACT].max())


def _precision_at_recall(true: Array, likely: Array, weight: Weight, floor: float) -> float:
    """Return the highest precision of a threshold whose recall is at least the floor."""
    if not ((true == 1) if weight is None else weight[true == 1]).any():
        return np.nan
    precision, recall, _ = metrics.precision_recall_curve(true == 1, likely[:, 1], sample_weight=weight)
    return float(precision[recall >= floor - EXACT].max())


def _one_against_rest(true: Array, likely: Array, weight: Weight) -> Iterator[tuple[Array, Array, float]]:
    """Yield which rows have a class, its probabilities and its share of the weight; of two classes those of the second."""
    for position in [1] if likely.shape[1] == 2 else range(likely.shape[1]):
        is_class = true == position
        yield is_class, likely[:, position], float(np.average(is_class, weights=weight))


LABEL_SCORES: dict[str, Callable[..., float]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "mcc": _mcc,
    "cost": _cost,
}
PROBABILITY_SCORES: dict[str, Callable[..., float]] = {
    "log_loss": _log_loss,
    "brier": _brier,
    "calibration_error": _calibration_error,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "recall_at_precision": _recall_at_precision,
    "precision_at_recall": _precision_at_recall,
}
