"""Metrics of several models on the same rows, on all of them and without each row or group: the jackknife.

Which rows are in a sample is a column of counts. Thousands of samples are then a few matrix products.
The metrics are those of :mod:`boostlab.evaluation.metrics`; on all rows, both modules return the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from boostlab.evaluation.losses import LOSSES, find_loss

Array = np.ndarray[Any, Any]
Score = Callable[[Array], Array]  # counts of shape (n_rows, n_samples) in, a value per sample out

BLOCK_CELLS = 400_000  # counts held at once: they fit into a processor's cache
MOST_UNITS = 400  # more rows or groups are left out several at a time


def score_without(
    true: Array,
    answers: Sequence[Array],
    *,
    metric: str,
    labels: int = 0,
    weight: Array | None = None,
    groups: Array | None = None,
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
        scores = [CLASSIFICATION[metric](members, answer / answer.sum(axis=1, keepdims=True)) for answer in answers]
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


def _log_loss(members: Array, probabilities: Array) -> Score:
    tiny = np.finfo(probabilities.dtype).eps
    return _mean(-np.log(np.clip(probabilities.T[members.argmax(axis=0), np.arange(len(probabilities))], tiny, 1 - tiny)))


def _accuracy(members: Array, probabilities: Array) -> Score:
    return _mean((members.argmax(axis=0) == probabilities.argmax(axis=1)).astype(float))


def _balanced_accuracy(members: Array, probabilities: Array) -> Score:
    hits, sizes = (members & _chosen(probabilities)).astype(float), members.astype(float)
    return lambda counts: _mean_of_defined(hits @ counts / (sizes @ counts))


def _f1(members: Array, probabilities: Array) -> Score:
    chosen = _chosen(probabilities)
    hits, sizes = (members & chosen).astype(float), members.astype(float) + chosen
    if len(members) == 2:  # of the second class
        return lambda counts: np.nan_to_num(2 * (hits[1] @ counts) / (sizes[1] @ counts))
    return lambda counts: _mean_of_defined(2 * (hits @ counts) / (sizes @ counts))


def _roc_auc(members: Array, probabilities: Array) -> Score:
    ranked = [1] if len(members) == 2 else range(len(members))
    areas = [_area(members[position], probabilities[:, position]) for position in ranked]
    return lambda counts: _mean_of_defined(np.array([area(counts) for area in areas]))


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


def _chosen(probabilities: Array) -> Array:
    return np.asarray(probabilities.argmax(axis=1) == np.arange(probabilities.shape[1])[:, np.newaxis])


def _mean_of_defined(values: Array) -> Array:
    """Return the mean over the classes that the sample defines; NaN if it defines none."""
    defined = np.isfinite(values)
    return np.asarray(np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0))


REGRESSION = ("r2", *LOSSES)
CLASSIFICATION: dict[str, Callable[[Array, Array], Score]] = {
    "log_loss": _log_loss,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "roc_auc": _roc_auc,
}
