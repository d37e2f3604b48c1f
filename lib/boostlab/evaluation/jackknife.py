"""Metrics of several models on the same rows, on all of them and without each row or group: the jackknife.

Which rows are in a sample is a column of counts. Thousands of samples are then a few matrix products.
The metrics are those of :mod:`boostlab.evaluation.metrics`; on all rows, both modules return the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from boostlab.evaluation.losses import LOSSES, explain_name, find_loss, read_name

Array = np.ndarray[Any, Any]
Score = Callable[[Array], Array]  # counts of shape (n_rows, n_samples) in, a value per sample out

BLOCK_CELLS = 400_000  # counts held at once: they fit into a processor's cache
TINY = 1e-12  # a product of shares below it is 0, up to rounding
MOST_UNITS = 400  # more rows or groups are left out several at a time


def score_without(
    true: Array,
    answers: Sequence[Array],
    *,
    metric: str,
    labels: int = 0,
    weight: Array | None = None,
    groups: Array | None = None,
    predicted: Sequence[Array] | None = None,
) -> Array:
    """Return a metric of several models on the same rows: on all rows, and without each row or group.

    Parameters
    ----------
    true : ndarray of shape (n_rows,)
        Numbers, or positions of classes.
    answers : sequence of ndarray of shape (n_rows,), (n_rows, n_quantiles) or (n_rows, n_classes)
        Predictions, quantiles or probabilities of each model.
    labels : int
        The number of classes.
    weight, groups : ndarray of shape (n_rows,), optional
        Rows with the same value in `groups` are left out together.
    predicted : sequence of ndarray of shape (n_rows,), optional
        The position of the class that each model chose; without it, the most probable one.

    Returns
    -------
    ndarray of shape (n_models, 1 + n_units)
        The first column is of all rows. A unit is a row or a group; more than 400 are left out in 400 random sets.
        NaN where the rest does not define the metric, such as the AUC of one class.
    """
    if not labels:
        scores = [_score_numbers(metric, true, answer.astype(float)) for answer in answers]
    else:
        members = true == np.arange(labels)[:, np.newaxis]
        chosen = predicted or [answer.argmax(axis=1) for answer in answers]
        scores = [_score_classes(metric, members, *each) for each in zip(answers, chosen, strict=True)]
    found = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for counts in _leave_out(np.arange(len(true)) if groups is None else groups):
            weighted = counts if weight is None else counts * weight[:, np.newaxis]
            found.append([score(weighted) for score in scores])
    return np.concatenate(found, axis=1)


def _leave_out(groups: Array) -> Iterator[Array]:
    """Yield counts of shape (n_rows, width): of all rows, then of the rows without each unit."""
    yield np.ones((len(groups), 1))
    distinct, units = np.unique(groups, return_inverse=True)
    count = min(len(distinct), MOST_UNITS)
    units = np.random.default_rng(0).permutation(len(distinct))[units] % count
    width = max(1, BLOCK_CELLS // len(units))
    for start in range(0, count, width):
        yield (units[:, np.newaxis] != np.arange(start, min(start + width, count))).astype(float)


def _mean(loss: Array) -> Score:
    return lambda counts: loss @ counts / counts.sum(axis=0)


def _score_numbers(metric: str, true: Array, answers: Array) -> Score:
    loss = find_loss(metric)
    if loss is None:
        return _r2(true, answers)
    mean = _mean(loss.rows(true, answers))
    return (lambda counts: np.sqrt(mean(counts))) if loss.is_root else mean


def _r2(true: Array, predicted: Array) -> Score:
    error = _mean((true - predicted) ** 2)
    centred = true - true.mean()  # avoids cancellation if the mean is large
    first, second = _mean(centred), _mean(centred**2)
    return lambda counts: 1 - error(counts) / (second(counts) - first(counts) ** 2)


def _score_classes(metric: str, members: Array, probabilities: Array, predicted: Array) -> Score:
    name, numbers = read_name(metric)
    try:
        if name in LABELS:
            return LABELS[name](members, predicted == np.arange(len(members))[:, np.newaxis], *numbers)
        return PROBABILITIES[name](members, probabilities / probabilities.sum(axis=1, keepdims=True), *numbers)
    except TypeError:
        raise explain_name(metric) from None


def _log_loss(members: Array, probabilities: Array) -> Score:
    tiny = np.finfo(probabilities.dtype).eps
    return _mean(-np.log(np.clip(probabilities.T[members.argmax(axis=0), np.arange(len(probabilities))], tiny, 1 - tiny)))


def _brier(members: Array, probabilities: Array) -> Score:
    return _mean(((probabilities - members.T) ** 2).sum(axis=1) / (2 if len(members) == 2 else 1))


def _accuracy(members: Array, chosen: Array) -> Score:
    return _mean((members & chosen).any(axis=0).astype(float))


def _balanced_accuracy(members: Array, chosen: Array) -> Score:
    hits, sizes = (members & chosen).astype(float), members.astype(float)
    return lambda counts: _mean_of_defined(hits @ counts / (sizes @ counts))


def _f1(members: Array, chosen: Array) -> Score:
    hits, sizes = (members & chosen).astype(float), members.astype(float) + chosen
    if len(members) == 2:  # of the second class
        return lambda counts: np.nan_to_num(2 * (hits[1] @ counts) / (sizes[1] @ counts))
    return lambda counts: _mean_of_defined(2 * (hits @ counts) / (sizes @ counts))


def _mcc(members: Array, chosen: Array) -> Score:
    """Return Gorodkin's correlation of classes, which is Matthews' of two (J. Gorodkin, 2004)."""
    hits = (members & chosen).any(axis=0).astype(float)

    def score(counts: Array) -> Array:
        total, true, found = counts.sum(axis=0), members @ counts, chosen @ counts
        spread = (total**2 - (true**2).sum(axis=0)) * (total**2 - (found**2).sum(axis=0))
        value = ((hits @ counts) * total - (true * found).sum(axis=0)) / np.sqrt(spread)
        return np.where(spread > TINY * total**4, value, 0.0)

    return score


def _cost(members: Array, chosen: Array, false_positive: float, false_negative: float) -> Score:
    return _mean(false_positive * (members[0] & chosen[1]) + false_negative * (members[1] & chosen[0]))


def _mean_area(area: Callable[[Array, Array], Score], members: Array, probabilities: Array) -> Score:
    """Return the mean area of the classes, each against the rest; of two classes that of the second."""
    ranked = [1] if len(members) == 2 else range(len(members))
    areas = [area(members[position], probabilities[:, position]) for position in ranked]
    return lambda counts: _mean_of_defined(np.array([find(counts) for find in areas]))


def _area(member: Array, score: Array) -> Score:
    """Return the area under the ROC curve as the Mann–Whitney statistic; ties count one half."""
    inside = np.flatnonzero(member)
    outside = np.flatnonzero(~member)[np.argsort(score[~member], kind="stable")]
    lower, upper = (np.searchsorted(score[outside], score[inside], side) for side in ("left", "right"))

    def area(counts: Array) -> Array:
        below = np.concatenate([np.zeros((1, counts.shape[1])), counts[outside].cumsum(axis=0)])
        outranked = below[lower] if (lower == upper).all() else (below[lower] + below[upper]) / 2
        won = np.einsum("ij,ij->j", counts[inside], outranked)
        return np.asarray(won / (counts[inside].sum(axis=0) * below[-1]))

    return area


def _precision_area(member: Array, score: Array) -> Score:
    """Return the average precision: the mean of the precisions, weighted by the gain in recall; equal scores are one step."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))

    def area(counts: Array) -> Array:
        ranked = counts[order]
        hits, found = (ranked * member[order, np.newaxis]).cumsum(axis=0)[ends], ranked.cumsum(axis=0)[ends]
        precision = hits / np.where(found, found, 1)
        return np.asarray(np.einsum("ij,ij->j", np.diff(hits, axis=0, prepend=0), precision) / hits[-1])

    return area


def _mean_of_defined(values: Array) -> Array:
    """Return the mean over the classes that the sample defines; NaN if it defines none."""
    defined = np.isfinite(values)
    return np.asarray(np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0))


REGRESSION = ("r2", *LOSSES)
LABELS: dict[str, Callable[..., Score]] = {  # of the true and the chosen classes, each of shape (n_classes, n_rows)
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "mcc": _mcc,
    "cost": _cost,
}
PROBABILITIES: dict[str, Callable[..., Score]] = {
    "log_loss": _log_loss,
    "brier": _brier,
    "roc_auc": partial(_mean_area, _area),
    "average_precision": partial(_mean_area, _precision_area),
}
CLASSIFICATION = (*PROBABILITIES, *LABELS)
