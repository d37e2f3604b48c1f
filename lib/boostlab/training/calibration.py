"""Calibration: a map that makes probabilities agree with how often they come true, fitted off the training and the test rows."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from boostlab.errors import TrainingError
from boostlab.models.answers import to_log_odds
from boostlab.models.contract import Calibration, Label

Array = np.ndarray[Any, Any]
Method = Literal["sigmoid", "isotonic"]
Map = tuple[tuple[float, ...], tuple[float, ...]]
FEWEST_ROWS: dict[Method, int] = {"sigmoid": 5, "isotonic": 20}  # of each class, and besides it


def fit_calibration(
    true: Array, raw: Array, weight: Array | None = None, *, method: Method, labels: tuple[Label, ...]
) -> Calibration:
    """Return the calibration of raw probabilities; of more than two classes a map for each, against the rest.

    Parameters
    ----------
    true : ndarray of shape (n_rows,)
        Positions in `labels`.
    raw : ndarray of shape (n_rows, n_classes)
        The booster's own probabilities.
    weight : ndarray of shape (n_rows,), optional
    method : str
        ``sigmoid`` fits two numbers on the log-odds (J. Platt, Probabilistic Outputs for Support Vector Machines, 1999), as
        scikit-learn does for models that have log-odds. ``isotonic`` fits any ascending map.

    Raises
    ------
    TrainingError
        If a class has too few rows.
    """
    own = np.ones(len(true)) if weight is None else np.asarray(weight, float)
    counts = np.bincount(true[own > 0], minlength=len(labels))
    rarest, fewest = int(counts.argmin()), FEWEST_ROWS[method]
    if counts[rarest] < fewest:
        raise TrainingError(
            f"calibrate = {method!r} needs at least {fewest} validation rows of each class, and {str(labels[rarest])!r} has "
            f"{counts[rarest]}. Raise valid_size"
            + (", or choose sigmoid, which needs fewer." if method == "isotonic" else ", or set calibrate to none.")
        )
    fit = _fit_sigmoid if method == "sigmoid" else _fit_isotonic
    places = [1] if len(labels) == 2 else range(len(labels))
    return Calibration(method, tuple(fit(true == place, raw[:, place], own) for place in places))


def _fit_sigmoid(is_class: Array, probability: Array, weight: Array) -> Map:
    """Return slope and intercept of a logistic regression, whose targets Platt draws a little towards each other."""
    inside, outside = weight[is_class].sum(), weight[~is_class].sum()
    target = np.where(is_class, (inside + 1) / (inside + 2), 1 / (outside + 2))
    odds = to_log_odds(probability)
    rows, labels = np.tile(odds, 2)[:, np.newaxis], np.repeat([1, 0], len(odds))
    weights = np.concatenate([weight * target, weight * (1 - target)])
    fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(rows, labels, weights)
    return (float(fitted.coef_[0, 0]),), (float(fitted.intercept_[0]),)


def _fit_isotonic(is_class: Array, probability: Array, weight: Array) -> Map:
    fitted = IsotonicRegression(y_min=0, y_max=1).fit(probability, is_class, weight)
    return tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist())
