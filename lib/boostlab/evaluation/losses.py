"""Losses of a regression's rows. A metric is their weighted mean, or the root of it.

A metric's name holds all that its formula needs: ``tweedie_deviance:1.5``, ``pinball:0.1-0.5-0.9``. Figures of one name are
comparable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from boostlab.errors import LabError

Array = np.ndarray[Any, Any]
Rows = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Loss:
    """The loss of each row, and the constant answer that makes the metric smallest."""

    formula: Rows  #: target and answers in, a loss per row out, shape (n_rows,)
    constant: Callable[[Array, Array | None], Array]  #: target and weights in, the constant out
    is_root: bool = False  #: whether the metric is the root of the mean

    def rows(self, true: Array, answers: Array) -> Array:
        """Return the loss of each row, of shape (n_rows,); NaN or infinite where the formula is not defined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.formula(true, answers)

    def score(self, true: Array, answers: Array, weight: Array | None = None) -> float:
        """Return the metric of answers, of shape (n_rows,) or (n_rows, n_quantiles)."""
        mean = float(np.average(self.rows(true, answers), weights=weight))
        return mean**0.5 if self.is_root else mean


def find_loss(metric: str) -> Loss | None:
    """Return the loss of a metric; None for a metric that is no mean over rows, such as R².

    Raises
    ------
    LabError
        If the name lacks the numbers that the formula needs, or has others.

    Examples
    --------
    >>> find_loss("pinball:0.9").score(np.array([10.0, 10.0]), np.array([8.0, 11.0]))
    0.95
    """
    name, numbers = read_name(metric)
    if name not in LOSSES:
        return None
    try:
        return LOSSES[name](*numbers)
    except TypeError:
        raise explain_name(metric) from None


def read_name(metric: str) -> tuple[str, list[float]]:
    """Return a metric's name and the numbers of its formula, the inverse of :func:`name_metric`.

    Raises
    ------
    LabError
        If these are no numbers.

    Examples
    --------
    >>> read_name("pinball:0.1-0.9")
    ('pinball', [0.1, 0.9])
    """
    name, _, argument = metric.partition(":")
    try:
        return name, list(map(float, argument.split("-"))) if argument else []
    except ValueError:
        raise explain_name(metric) from None


def explain_name(metric: str) -> LabError:
    """Return the error for a name with other numbers than its formula has."""
    return LabError(
        f"No metric {metric!r}. A name holds the numbers of its formula and no others: rmse, mphe:2, tweedie_deviance:1.5, "
        "pinball:0.1-0.9. Write it as the run does."
    )


def name_metric(name: str, *numbers: float) -> str:
    """Return a metric's name with the numbers that its formula needs.

    Examples
    --------
    >>> name_metric("pinball", 0.1, 0.00001)
    'pinball:0.1-0.00001'
    """
    return f"{name}:{'-'.join(map(format_number, numbers))}" if numbers else name


def format_number(number: float) -> str:
    """Return a number without an exponent."""
    return np.format_float_positional(number, trim="-")


def _mean(target: Array, weight: Array | None) -> Array:
    return np.asarray(np.average(target, weights=weight))


def _quantiles(*levels: float) -> Callable[[Array, Array | None], Array]:
    wanted = levels[0] if len(levels) == 1 else levels

    def find(target: Array, weight: Array | None) -> Array:
        return np.asarray(np.quantile(target, wanted, weights=weight, method="inverted_cdf"))

    return find


def _squared() -> Loss:
    return Loss(lambda true, answers: (true - answers) ** 2, _mean, is_root=True)


def _absolute() -> Loss:
    return Loss(lambda true, answers: np.abs(true - answers), _quantiles(0.5))


def _relative() -> Loss:
    def find(target: Array, weight: Array | None) -> Array:
        return _quantiles(0.5)(target, (1 if weight is None else weight) / np.abs(target))

    return Loss(lambda true, answers: np.abs((true - answers) / true), find)


def _squared_log() -> Loss:
    def rows(true: Array, answers: Array) -> Array:
        logarithm = np.log1p(np.maximum(answers, -1 + 1e-6))  # XGBoost's own bound of the logarithm
        return np.asarray((np.log1p(true) - logarithm) ** 2)

    return Loss(rows, lambda target, weight: np.expm1(np.average(np.log1p(target), weights=weight)), is_root=True)


def _pseudo_huber(slope: float = 1.0) -> Loss:
    def rows(true: Array, answers: Array) -> Array:
        return np.asarray(slope**2 * (np.hypot(1, (true - answers) / slope) - 1))

    def find(target: Array, weight: Array | None) -> Array:
        bounds = float(target.min()), float(target.max())
        if bounds[0] == bounds[1]:
            return np.asarray(bounds[0])
        from scipy.optimize import minimize_scalar

        best = minimize_scalar(lambda value: np.average(rows(target, value), weights=weight), bounds=bounds, method="bounded")
        return np.asarray(best.x)

    return Loss(rows, find)


def _pinball(first: float, *others: float) -> Loss:
    """Return the pinball loss, averaged over the quantiles (R. Koenker, Quantile Regression, 2005)."""
    levels = np.array([first, *others])

    def rows(true: Array, answers: Array) -> Array:
        error = true[:, np.newaxis] - answers.reshape(len(true), -1)
        return np.asarray(np.maximum(levels * error, (levels - 1) * error).mean(axis=1))

    return Loss(rows, _quantiles(first, *others))


def _deviance(power: float = 1.5) -> Loss:
    """Return the deviance of the Tweedie distribution of a power: 1 is Poisson's, 2 is gamma's; positive answers only.

    B. Jørgensen, The Theory of Dispersion Models, 1997.
    """

    def rows(true: Array, answers: Array) -> Array:
        if power == 1:
            from scipy.special import xlogy

            deviance = xlogy(true, true / answers) - true + answers
        elif power == 2:
            deviance = true / answers - np.log(true / answers) - 1
        else:
            first, second = 1 - power, 2 - power
            deviance = true**second / (first * second) - true * answers**first / first + answers**second / second
        return np.where(answers > 0, 2 * deviance, np.nan)

    return Loss(rows, _mean)


LOSSES: dict[str, Callable[..., Loss]] = {
    "rmse": _squared,
    "mae": _absolute,
    "mape": _relative,
    "mphe": _pseudo_huber,
    "rmsle": _squared_log,
    "pinball": _pinball,
    "poisson_deviance": lambda: _deviance(1),
    "gamma_deviance": lambda: _deviance(2),
    "tweedie_deviance": _deviance,
}
