"""Names of metrics: which direction is better, which values are possible, the unit, and the part of the table."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from boostlab.errors import LabError, suggest
from boostlab.evaluation.losses import LOSSES

HIGHER_IS_BETTER = (
    *("r2", "accuracy", "balanced_accuracy", "f1", "mcc", "roc_auc", "average_precision"),
    *("recall_at_precision", "precision_at_recall", "auc", "aucpr"),
)
XGBOOST = ("logloss", "mlogloss", "error", "merror")  # in older runs' curves
LOWER_IS_BETTER = (*LOSSES, "log_loss", "brier", "calibration_error", "cost", *XGBOOST)
PARTS = ("train", "valid", "test", "cv", "baseline")
UNITS = dict.fromkeys(("rmse", "mae", "pinball", "mphe", "width"), "unit of the target") | {
    "r2": "1 is perfect",
    "log_loss": "nats",
    "mcc": "−1 to 1",
    "cost": "cost of a row",
    "mape": "fraction of the target",
    **dict.fromkeys(("rmsle", "poisson_deviance", "gamma_deviance", "tweedie_deviance"), "0 is perfect"),
}


def is_higher_better(metric: str) -> bool:
    """Tell the direction of a metric of ours or of XGBoost, with or without a part's name before it.

    Raises
    ------
    LabError
        If the metric's direction is not known.

    Examples
    --------
    >>> is_higher_better("test_r2"), is_higher_better("valid_error:0.7")
    (True, False)
    """
    name = strip_part(metric).partition(":")[0]
    if name not in LOWER_IS_BETTER + HIGHER_IS_BETTER:
        raise LabError(
            f"Whether a higher or a lower {metric!r} is better is not known.{suggest(name, LOWER_IS_BETTER + HIGHER_IS_BETTER)} "
            f"Known are {', '.join(LOWER_IS_BETTER)} (lower) and {', '.join(HIGHER_IS_BETTER)} (higher), each after "
            f"{', '.join(part + '_' for part in PARTS)} or alone."
        )
    return name in HIGHER_IS_BETTER


def find_best_round(metric: str, values: Sequence[float]) -> int:
    """Return the first round, counted from 0, whose value of a metric no other round beats."""
    return values.index((max if is_higher_better(metric) else min)(values))


def find_range(metric: str) -> tuple[float, float]:
    """Return the least and the largest value that a metric can have.

    Examples
    --------
    >>> find_range("f1"), find_range("rmse"), find_range("r2")
    ((0.0, 1.0), (0.0, inf), (-inf, 1.0))
    """
    name = metric.partition(":")[0]
    least = {"r2": -inf, "mcc": -1.0}.get(name, 0.0)
    return least, 1.0 if name in (*HIGHER_IS_BETTER, "calibration_error", "coverage") else inf


def strip_part(metric: str) -> str:
    """Return a metric's name without the name of the part before it: ``rmse`` for ``test_rmse`` and for ``best_valid_rmse``."""
    part, _, name = metric.removeprefix("best_").partition("_")
    return name if part in PARTS else metric


def label_metric(metric: str) -> str:
    """Return a metric's name with its unit, if that is known.

    Examples
    --------
    >>> label_metric("best_valid_rmse"), label_metric("roc_auc")
    ('best_valid_rmse (unit of the target)', 'roc_auc')
    """
    unit = UNITS.get(strip_part(metric))
    return f"{metric} ({unit})" if unit else metric
