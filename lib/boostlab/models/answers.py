"""Answers: what a booster's output means. Calibrated probabilities, the chosen labels, quantiles in order.

Copied with the predictor into each logged model. It computes with numpy alone, row by row, so that a row has the same answer
alone and among others, in every way of serving.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .contract import Calibration, Contract

Array = np.ndarray[Any, Any]
LOWEST, HIGHEST = 2.0**-126, 1 - 2.0**-25  # probabilities whose log-odds are finite; float32 has none between HIGHEST and 1


def to_answers(raw: Array, contract: Contract) -> Array:
    """Return a booster's output as predictions, as ascending quantiles, or as the probability of each label.

    Returns
    -------
    ndarray of float64, shape (n_rows,), (n_rows, n_quantiles) or (n_rows, n_classes)
    """
    wide = raw.astype(np.float64)
    if not contract.labels:
        return np.sort(wide.reshape(-1, len(contract.quantiles))) if contract.answer_names else wide
    classes = len(contract.labels)  # a booster of two classes gives the probability of the second alone
    likely = np.column_stack([1 - wide, wide]) if classes == 2 and raw.ndim == 1 else wide.reshape(-1, classes)
    return calibrate(likely, contract.calibration) if contract.calibration else likely


def calibrate(probabilities: Array, calibration: Calibration) -> Array:
    """Return calibrated probabilities; of more than two classes each against the rest, divided by their sum.

    They are rounded to float32, the precision of a booster, so that processors whose logarithms differ in the last bit agree.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_rows, n_classes)

    Returns
    -------
    ndarray of float64, shape (n_rows, n_classes)
    """
    if len(calibration.maps) == 1:
        second = _map(probabilities[:, 1], calibration, 0)
        return np.column_stack([1 - second, second])
    likely = np.column_stack([_map(probabilities[:, place], calibration, place) for place in range(len(calibration.maps))])
    total = likely.sum(axis=1, keepdims=True)
    equal = np.full_like(likely, 1 / likely.shape[1])  # the answer where each map gives 0
    return _round(np.divide(likely, total, out=equal, where=total > 0))


def _map(probability: Array, calibration: Calibration, place: int) -> Array:
    first, second = calibration.maps[place]
    if calibration.method == "isotonic":
        return _round(np.interp(probability, first, second))
    return _round(1 / (1 + np.exp(-(first[0] * to_log_odds(probability) + second[0]))))


def to_log_odds(probability: Array) -> Array:
    """Return the logarithm of the odds, finite also for 0 and 1."""
    inside = np.clip(np.ascontiguousarray(probability), LOWEST, HIGHEST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _round(values: Array) -> Array:
    return values.astype(np.float32).astype(np.float64)


def choose_classes(probabilities: Array, threshold: float | None) -> Array:
    """Return the position of each row's class: the most probable one, or the second of two from a threshold upwards.

    Returns
    -------
    ndarray of int, shape (n_rows,)
    """
    return probabilities.argmax(axis=1) if threshold is None else (probabilities[:, 1] >= threshold).astype(int)


def choose_labels(probabilities: Array, contract: Contract) -> Array:
    """Return the label of each row, of the type that the target column had."""
    dtype = object if isinstance(contract.labels[0], str) else None
    return np.asarray(np.asarray(contract.labels, dtype=dtype)[choose_classes(probabilities, contract.threshold)])
