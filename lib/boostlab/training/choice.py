"""The choice of objective and metric, and which targets they do not take."""

from __future__ import annotations

from itertools import product

import numpy as np

from boostlab.data.splits import Split
from boostlab.data.task import SHOWN_ROWS, format_rows
from boostlab.errors import DataError, TrainingError
from boostlab.evaluation.losses import name_metric
from boostlab.training.objectives import DEFAULTS, METRIC_DOMAINS, OBJECTIVES, Kind, ObjectiveName
from boostlab.training.settings import Hyperparameters

# XGBoost's names of metrics that it computes as boostlab does; all others are computed here, after each round.
NATIVE_METRICS = {  # by family of objectives and metric
    **{(family, name): name for family in ("reg", "count") for name in ("rmse", "mae", "mape", "mphe")},
    ("reg", "gamma_deviance"): "gamma-deviance",
    ("reg", "pinball"): "quantile",
    ("binary", "log_loss"): "logloss",
    ("multi", "log_loss"): "mlogloss",
    ("binary", "roc_auc"): "auc",
}


def choose_objective(settings: Hyperparameters, kind: Kind) -> ObjectiveName:
    """Return the requested objective, or the default of a kind of target.

    Raises
    ------
    TrainingError
        If the requested objective does not fit.
    """
    name = settings.requested_objective
    if name == "auto":
        return DEFAULTS[kind]
    fitting = [other for other, found in OBJECTIVES.items() if found.task == "regression"]
    fitting = fitting if kind == "regression" else [DEFAULTS[kind]]
    if name not in fitting:
        raise TrainingError(f"objective {name} does not fit this {kind} target. Allowed: auto, {', '.join(fitting)}.")
    return name


def choose_metric(settings: Hyperparameters, objective: ObjectiveName) -> str:
    """Return the requested metric or the objective's own, with the numbers that its formula needs.

    Raises
    ------
    TrainingError
        If the requested metric does not fit the objective.
    """
    fitting = OBJECTIVES[objective].metrics
    name = fitting[0] if settings.metric == "auto" else settings.metric
    if name not in fitting:
        raise TrainingError(f"metric {name} does not fit objective {objective}. Allowed: auto, {', '.join(fitting)}.")
    slope = settings.xgb_params.get("huber_slope", 1.0)
    numbers = {
        "pinball": sorted(settings.quantiles),
        "tweedie_deviance": [settings.xgb_params.get("tweedie_variance_power", 1.5)],
        "mphe": [] if slope == 1 else [slope],
    }
    return name_metric(name, *numbers.get(name, []))


def check_targets(split: Split, objective: ObjectiveName, metric: str) -> None:
    """Refuse a target with values that the objective or the metric does not take.

    Raises
    ------
    DataError
        With the first such values and rows.
    """
    name = metric.partition(":")[0]
    domains = {f"objective {objective}": OBJECTIVES[objective].domain, f"metric {name}": METRIC_DOMAINS.get(name)}
    tables = {id(part.table): part.table for part in (split.train, split.valid, split.test)}.values()
    for (subject, domain), table in product(domains.items(), tables):
        if domain is None:
            continue
        target = table.target
        wrong = np.flatnonzero(~domain.contains(target.to_numpy(float)))
        if len(wrong):
            values = ", ".join(f"{value:g}" for value in target.iloc[wrong].unique()[:SHOWN_ROWS])
            raise DataError(
                f"The target {target.name!r} of {table.name!r} is {values} in {format_rows(wrong)}. The {subject} takes numbers "
                f"of {domain.words}: correct or drop those rows, or choose another."
            )
