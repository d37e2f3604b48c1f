"""Reliability: whether probabilities agree with how often they come true.

Of two classes it judges the probability of the second one, of more that of the most probable class, which is right or wrong
(C. Guo and others, On Calibration of Modern Neural Networks, 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BINS = 10  # of equal width
NORMAL = 1.959964  # 95 % of a normal distribution lie within so many standard errors
FOLDED = (2 / np.pi) ** 0.5  # mean of the absolute value of a standard normal variable


@dataclass(frozen=True)
class Reliability:
    """Bins of probabilities, from the lowest; each array has one value per bin with rows."""

    share: Array  #: of all rows, by weight
    predicted: Array  #: mean probability
    observed: Array  #: share of the rows in which it came true
    error: Array  #: standard error of the difference between both
    value: float  #: the expected calibration error: the mean absolute difference, by the share of the bins
    low: float  #: lower end of its 95 % interval
    high: float  #: its upper end


def measure_reliability(
    true: Array, probabilities: Array, weight: Array | None = None, groups: Array | None = None
) -> Reliability:
    """Return how well probabilities are calibrated, in ten bins.

    Parameters
    ----------
    true : ndarray of shape (n_rows,)
        Positions of the classes.
    probabilities : ndarray of shape (n_rows, n_classes)
    weight, groups : ndarray of shape (n_rows,), optional
        Rows with the same value in `groups` depend on each other.

    Notes
    -----
    Chance makes the value larger on average than the true one. The upper end of the interval therefore adds 1.96 standard errors,
    and the lower end subtracts as many and the most that chance adds on average: the interval holds at least its level.
    """
    chosen = np.ones(len(true), int) if probabilities.shape[1] == 2 else probabilities.argmax(axis=1)
    likely, right = probabilities[np.arange(len(true)), chosen], (true == chosen).astype(float)
    own = np.ones(len(true)) if weight is None else np.asarray(weight, float)
    place = find_bins(likely)
    total, squares = (np.bincount(place, weights=each, minlength=BINS) for each in (own, own**2))
    kept = total > 0
    total, squares = total[kept], squares[kept]
    predicted, observed = (np.bincount(place, weights=own * each, minlength=BINS)[kept] / total for each in (likely, right))
    share = total / total.sum()
    place = (np.cumsum(kept) - 1)[place]  # rows without a weight may have no bin: they count for nothing
    residual = own * (likely - right - (predicted - observed)[place]) / total[place]
    covariance = _sum_products(residual, place, groups, bins=len(total))
    alone = np.bincount(place, weights=residual**2, minlength=len(total))
    together = share**2 @ np.diag(covariance) / max(share**2 @ alone, np.finfo(float).tiny)  # how much more groups vary than rows
    rows = np.maximum(total**2 / squares / max(together, 1), 1)  # as many as weights and groups are worth
    smooth = (rows * observed + 1) / (rows + 2)
    variance = np.maximum(np.diag(covariance), smooth * (1 - smooth) / rows)  # in a bin of few rows the first may be 0
    np.fill_diagonal(covariance, variance)
    error = np.sqrt(variance)
    value = float(share @ np.abs(predicted - observed))
    spread = NORMAL * float(np.sqrt(share @ np.abs(covariance) @ share))
    low = value - spread - FOLDED * float(share @ error)
    return Reliability(share, predicted, observed, error, value, max(0.0, low), min(1.0, value + spread))


def find_bins(probability: Array) -> Array:
    """Return the bin of each probability, counted from 0."""
    return np.asarray(np.minimum((probability * BINS).astype(int), BINS - 1))


def _sum_products(residual: Array, place: Array, groups: Array | None, *, bins: int) -> Array:
    """Return the covariance of the bins' differences, from the sums of the residuals of each row or group in each bin."""
    if groups is None:
        return np.diag(np.bincount(place, weights=residual**2, minlength=bins))
    _, unit = np.unique(groups, return_inverse=True)
    sums = np.zeros((unit.max() + 1, bins))
    np.add.at(sums, (unit, place), residual)
    return np.asarray(sums.T @ sums)
