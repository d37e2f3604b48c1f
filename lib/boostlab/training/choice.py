"""The choice of objective and metric, and which targets they do not take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from boostlab.data.splits import Part, Split
from boostlab.data.table import encode_labels, find_labels
from boostlab.data.task import SHOWN_ROWS, format_rows
from boostlab.errors import DataError, TrainingError, suggest
from boostlab.evaluation.losses import name_metric
from boostlab.models.contract import Label
from boostlab.training.objectives import DEFAULTS, METRIC_DOMAINS, NOT_NEGATIVE, OBJECTIVES, Kind, ObjectiveName
from boostlab.training.settings import Hyperparameters, Train

if TYPE_CHECKING:
    import pandas as pd

SHOWN_CLASSES = 10
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


def order_classes(target: pd.Series, settings: Train) -> list[Label]:
    """Return the classes of a target, the positive one of two last: `positive_label`, else the last in sorted order.

    Raises
    ------
    TrainingError
        If a decision is requested that these classes do not have.
    """
    labels, name = find_labels(target), str(target.name)
    shown = ", ".join(map(str, labels[:SHOWN_CLASSES])) + (" …" if len(labels) > SHOWN_CLASSES else "")
    for parameter in ("positive_label", "threshold"):
        if len(labels) > 2 and parameter in settings.requested_decisions:
            given = settings.requested_decisions[parameter]
            raise TrainingError(
                f"{parameter} = {given!r} is for two classes, and {name!r} has {len(labels)}: {shown}. Leave it empty."
            )
    wanted = settings.positive_label
    positive = [label for label in labels if _names(wanted, label)]
    if wanted and not positive:
        raise TrainingError(
            f"positive_label = {wanted!r} is no class of {name!r}.{suggest(wanted, list(map(str, labels)))} It has: {shown}."
        )
    return sorted(labels, key=positive.__contains__)


def _names(text: str, label: Label) -> bool:
    """Tell whether a text stands for a class: true for True, 1 for 1.0."""
    if isinstance(label, str | bool):
        return text == label or (isinstance(label, bool) and text.lower() == str(label).lower())
    try:
        return float(text) == label
    except ValueError:
        return False


def weigh_classes(part: Part, labels: Sequence[Label], settings: Train) -> Part:
    """Return a part to learn from: with `class_weight` balanced, each class has the same weight there, and the mean weight stays.

    The weight of a row is then its own times that of its class.
    """
    if settings.class_weight == "none":
        return part
    codes = encode_labels(part.target, labels)
    own = np.ones(len(part), np.float32) if part.weight is None else part.weight
    counts = np.bincount(codes, weights=own, minlength=len(labels))
    by_class = counts.sum() / len(labels) / np.where(counts, counts, 1)
    return replace(part, weight=(own * by_class[codes]).astype(np.float32))


def check_targets(split: Split, objective: ObjectiveName, metric: str) -> None:
    """Refuse a target with values that the objective or the metric does not take.

    Raises
    ------
    DataError
        With the first such values and rows, or if an objective that learns the logarithm of a mean has no row above 0 to learn.
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
    learned = split.train.target if split.train.weight is None else split.train.target[split.train.weight > 0]
    if OBJECTIVES[objective].domain is NOT_NEGATIVE and not learned.any():
        raise DataError(
            f"The target {learned.name!r} is 0 in all {len(learned)} rows of the training part. The objective {objective} learns "
            "the logarithm of a mean, which 0 does not have: change the split, or choose another objective."
        )
