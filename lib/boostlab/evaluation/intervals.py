"""Intervals of a model's metrics on the test part: how far chance in the choice of these rows may have moved them."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Any

import numpy as np
from scipy import stats

from boostlab.data.chance import space_evenly
from boostlab.evaluation.jackknife import CLASSIFICATION, REGRESSION, score_without
from boostlab.evaluation.losses import read_name

Array = np.ndarray[Any, Any]
Interval = tuple[float, float]
ALPHA = 0.05
OF_TWO_CLASSES = ("balanced_accuracy", "f1", "mcc")
MOST_ROWS = 10_000  # that are looked at
FEWEST_UNITS = 10  # rows or groups
MOST_SHIFT = 10.0  # on the scale without ends: a wider interval says nothing


def estimate_intervals(
    scores: Mapping[str, float],
    ranges: Mapping[str, Interval],
    true: Array,
    answers: Array,
    *,
    labels: int = 0,
    weight: Array | None = None,
    groups: Array | None = None,
    predicted: Array | None = None,
    quantiles: tuple[float, ...] = (),
) -> dict[str, Interval]:
    """Return the 95 % interval of each metric whose error the rows tell.

    Parameters
    ----------
    scores : mapping of str to float
        The metrics of all rows, as :func:`boostlab.evaluation.metrics.score_metric` returns them.
    ranges : mapping of str to tuple of float
        The least and the largest value that each metric can have.
    true, answers, weight, groups, predicted
        As :func:`boostlab.evaluation.jackknife.score_without` takes them, of one model.
    quantiles : tuple of float
        The quantiles of the answers, for the metrics ``coverage`` and ``width``.

    Returns
    -------
    dict of str to tuple of float
        The lower and the upper end. A metric has none if fewer than ten rows or groups have a weight, if all rows agree (the
        error of an accuracy of 1 is not 0), if all rows of one of two classes are right, or all are wrong (for metrics that
        average over the classes), or if it has no such form (the recall at a precision).

    Notes
    -----
    The interval is that of Student's t with the standard error of the jackknife, on a scale without ends: the logarithm of a
    metric with one end, the logit of one with two. Where few rows carry the variance, the degrees of freedom are fewer, by the
    kurtosis of what the rows contribute. Of more than 10,000 rows, as many are looked at, and the error is scaled.
    """
    known = np.arange(len(true)) if weight is None else np.flatnonzero(weight)  # a row without weight tells nothing
    chosen = known[space_evenly(len(known), MOST_ROWS)]
    scale = 1.0 if groups is not None else (len(chosen) / len(known)) ** 0.5  # fewer rows of a group tell no less of it
    rows = {
        name: None if values is None else values[chosen]
        for name, values in (("weight", weight), ("groups", groups), ("predicted", predicted))
    }
    untold = OF_TWO_CLASSES if labels == 2 and _is_one_sided(true[chosen], rows["predicted"]) else ()
    found: dict[str, Interval] = {}
    for name, value in scores.items():
        if name in untold:
            continue
        measured = _measure(name, true[chosen], answers[chosen], labels, quantiles)
        if measured is None:
            continue
        metric, target, answered = measured
        chosen_classes = None if rows["predicted"] is None else [rows["predicted"]]
        shared: dict[str, Any] = {"weight": rows["weight"], "groups": rows["groups"], "predicted": chosen_classes}
        left_out = score_without(target, [answered], metric=metric, labels=labels, **shared)[0, 1:]
        if interval := _enclose(value, left_out, scale, ranges[name]):
            found[name] = interval
    return found


def _is_one_sided(true: Array, predicted: Array | None) -> bool:
    """Tell whether all rows of a class are right, or all are wrong: they do not tell how often this class is right."""
    if predicted is None:
        return False
    right = [(predicted == true)[true == label] for label in (0, 1)]
    return any(each.all() or not each.any() for each in right)


def _measure(
    name: str, true: Array, answers: Array, labels: int, quantiles: tuple[float, ...]
) -> tuple[str, Array, Array] | None:
    """Return the metric to repeat, with its target and answers; None if it cannot be repeated."""
    kind = name.partition(":")[0]
    if kind in ("coverage", "width"):  # means of values of at least 0, as the mean error of zeros is
        first, last = (answers[:, quantiles.index(level)] for level in read_name(name)[1])
        values = ((first <= true) & (true <= last)).astype(float) if kind == "coverage" else np.maximum(last - first, 0.0)
        return "mae", values, np.zeros(len(true))
    return (name, true, answers) if kind in (CLASSIFICATION if labels else REGRESSION) else None


def _enclose(value: float, left_out: Array, scale: float, within: Interval) -> Interval | None:
    """Return the interval of a value; None if the rows do not tell its error."""
    units = len(left_out)
    if units < FEWEST_UNITS or not np.isfinite(left_out).all() or not left_out.std() or not within[0] < value < within[1]:
        return None
    variance = left_out.var()
    peaks = float(((left_out - left_out.mean()) ** 4).mean()) / variance**2  # 3 of a normal distribution
    freedom = max(1.0, min(1.0, 2 / max(peaks - 1, 1e-9)) * (units - 1))  # few rows that carry the variance tell it badly
    error = scale * float(np.sqrt((units - 1) * variance)) * float(stats.t.isf(ALPHA / 2, freedom))
    least, most = within
    both = most - least if np.isfinite(most - least) else 1.0
    below, above = (side if np.isfinite(side) else both for side in (value - least, most - value))
    shift = error * both / (below * above)
    if shift > MOST_SHIFT:
        return None
    if np.isinf(most):
        ends = [least + below * exp(move) for move in (-shift, shift)]
    elif np.isinf(least):
        ends = [most - above * exp(-move) for move in (-shift, shift)]
    else:
        ends = [least + both / (1 + above / below * exp(-move)) for move in (-shift, shift)]
    return ends[0], ends[1]
