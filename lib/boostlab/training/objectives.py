"""The objectives that a model can learn, and the metrics that fit each.

This module is read before a kernel starts and therefore imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from boostlab.models.contract import Task

ObjectiveName = Literal[
    "reg:squarederror",
    "reg:absoluteerror",
    "reg:pseudohubererror",
    "reg:squaredlogerror",
    "reg:quantileerror",
    "reg:logistic",
    "count:poisson",
    "reg:gamma",
    "reg:tweedie",
    "binary:logistic",
    "multi:softprob",
]
MetricName = Literal[
    "rmse",
    "mae",
    "r2",
    "mape",
    "mphe",
    "rmsle",
    "pinball",
    "poisson_deviance",
    "gamma_deviance",
    "tweedie_deviance",
    "log_loss",
    "brier",
    "roc_auc",
    "average_precision",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "mcc",
]
Kind = Literal["regression", "binary", "multiclass"]
Array = Any  # numpy's, which is not imported here
POINT: tuple[MetricName, ...] = ("rmse", "mae", "r2", "mape")
POSITIVE: tuple[MetricName, ...] = (*POINT, "rmsle")
CLASSES: tuple[MetricName, ...] = (
    *("log_loss", "brier", "roc_auc", "average_precision"),
    *("accuracy", "balanced_accuracy", "f1", "mcc"),
)
DEFAULTS: dict[Kind, ObjectiveName] = {
    "regression": "reg:squarederror",
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
}


@dataclass(frozen=True)
class Domain:
    """The numbers that a target may hold."""

    words: str
    contains: Callable[[Array], Array]


@dataclass(frozen=True)
class Objective:
    """What a booster minimises."""

    task: Task
    metrics: tuple[MetricName, ...]  #: the metrics that fit, the default first
    domain: Domain | None = None  #: None: every number


NOT_NEGATIVE = Domain("0 or more", lambda target: target >= 0)
OBJECTIVES: dict[ObjectiveName, Objective] = {
    "reg:squarederror": Objective("regression", POINT),
    "reg:absoluteerror": Objective("regression", ("mae", "rmse", "r2", "mape")),
    "reg:pseudohubererror": Objective("regression", ("mphe", *POINT)),
    "reg:squaredlogerror": Objective("regression", ("rmsle", *POINT), Domain("more than -1", lambda target: target > -1)),
    "reg:quantileerror": Objective("regression", ("pinball",)),
    "reg:logistic": Objective("regression", POSITIVE, Domain("0 to 1", lambda target: (target >= 0) & (target <= 1))),
    "count:poisson": Objective("regression", ("poisson_deviance", *POSITIVE), NOT_NEGATIVE),
    "reg:gamma": Objective("regression", ("gamma_deviance", *POSITIVE), Domain("more than 0", lambda target: target > 0)),
    "reg:tweedie": Objective("regression", ("tweedie_deviance", *POSITIVE), NOT_NEGATIVE),
    "binary:logistic": Objective("classification", CLASSES),
    "multi:softprob": Objective("classification", CLASSES),
}
METRIC_DOMAINS: dict[str, Domain] = {
    "mape": Domain("other than 0, by which it divides", lambda target: target != 0),
    "rmsle": Domain("more than -1", lambda target: target > -1),
}
