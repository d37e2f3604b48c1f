"""Fitting a booster: frames and arrays in, a model and its curves out. No files, no store, no display."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xgboost as xgb

from boostlab.data import Part, Split, Task, encode_labels, find_labels
from boostlab.errors import TrainingError
from boostlab.predictor import Predictor

OBJECTIVES = {"regression": "reg:squarederror", "binary": "binary:logistic", "multiclass": "multi:softprob"}
METRICS = {"regression": "rmse", "binary": "logloss", "multiclass": "mlogloss"}
PREFIXES = {"regression": ("reg:", "count:poisson"), "binary": ("binary:logistic",), "multiclass": ("multi:softprob",)}
TREE_BOOSTERS = ("gbtree", "dart")


@dataclass(frozen=True)
class Fit:
    """What a training gave.

    Attributes
    ----------
    predictor : Predictor
        The model, cut to its best round.
    curves : dict of str to list of float
        ``train_<metric>`` and ``valid_<metric>``, a value per boosting round.
    metric : str
        The name of the metric that early stopping watched.
    best_iteration : int
        The best round, counted from 0.
    fit_time_s : float
        Seconds of wall time that boosting took.
    """

    predictor: Predictor
    curves: dict[str, list[float]]
    metric: str
    best_iteration: int
    fit_time_s: float


def fit_booster(
    split: Split,
    *,
    task: Task,
    params: Mapping[str, Any],
    num_boost_round: int,
    early_stopping_rounds: int,
    callbacks: Sequence[xgb.callback.TrainingCallback] = (),
) -> Fit:
    """Train on the training part, watching the validation part; the test part is not looked at.

    Parameters
    ----------
    params : mapping
        XGBoost's parameters by their native names. Objective and metric come from the task unless they are among them.
    early_stopping_rounds : int
        Stop after so many rounds without a better validation metric; 0: never.

    Raises
    ------
    TrainingError
        If XGBoost does not know a parameter, refuses a value, or has no such device.
    """
    labels = find_labels(split.train.target) if task == "classification" else []
    kind = "regression" if task == "regression" else "binary" if len(labels) == 2 else "multiclass"
    wanted = {"objective": OBJECTIVES[kind], "eval_metric": METRICS[kind], **params}
    if kind == "multiclass":
        wanted["num_class"] = len(labels)
    _check_choices(wanted, kind)
    try:
        train, valid = (_to_matrix(part, labels, params) for part in (split.train, split.valid))
        history: dict[str, dict[str, list[float]]] = {}
        started = time.perf_counter()
        with warnings.catch_warnings(record=True) as warned:
            booster = xgb.train(
                wanted,
                train,
                num_boost_round=num_boost_round,
                evals=[(train, "train"), (valid, "valid")],
                early_stopping_rounds=early_stopping_rounds or None,
                evals_result=history,
                verbose_eval=False,
                callbacks=[_Refuser(warned), *callbacks],
            )
        fit_time_s = time.perf_counter() - started
        for warning in warned:
            warnings.warn(warning.message, warning.category, stacklevel=2)
    except xgb.core.XGBoostError as error:
        raise TrainingError(f"XGBoost refuses this training: {_first_line(error)}") from None
    metric = list(history["valid"])[-1]
    best = booster.best_iteration if early_stopping_rounds else booster.num_boosted_rounds() - 1
    contract = {"task": task, "features": [str(name) for name in split.train.features.columns], "labels": labels}
    curves = {f"{part}_{name}": values for part, lines in history.items() for name, values in lines.items()}
    return Fit(Predictor(booster[: best + 1], contract), curves, metric, best, fit_time_s)


def rank_features(predictor: Predictor) -> dict[str, float]:
    """Return the mean gain of each feature's splits, largest first; a feature that no split uses has 0."""
    gain = predictor.booster.get_score(importance_type="gain")
    scores = {name: float(_number(gain.get(name, 0.0))) for name in predictor.contract["features"]}
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


def _to_matrix(part: Part, labels: Sequence[Any], params: Mapping[str, Any]) -> xgb.DMatrix:
    target = encode_labels(part.target, labels) if labels else part.target
    names = [str(name) for name in part.features.columns]
    return xgb.DMatrix(part.features, label=target, feature_names=names, nthread=params.get("nthread") or None)


def _check_choices(wanted: Mapping[str, Any], kind: str) -> None:
    """Refuse what XGBoost knows but this kit's models cannot answer with."""
    if not str(wanted["objective"]).startswith(PREFIXES[kind]):
        raise TrainingError(
            f"xgb_params: the objective {wanted['objective']!r} does not fit this {kind} target. "
            f"Allowed: {', '.join(prefix + '…' if prefix.endswith(':') else prefix for prefix in PREFIXES[kind])}."
        )
    if wanted.get("booster", "gbtree") not in TREE_BOOSTERS:
        raise TrainingError(f"xgb_params: no booster {wanted['booster']!r} here. Allowed: {', '.join(TREE_BOOSTERS)}.")


class _Refuser(xgb.callback.TrainingCallback):
    """Makes an error of what XGBoost merely warns about: a parameter that it does not use, a device that is not there."""

    def __init__(self, warned: list[warnings.WarningMessage]) -> None:
        super().__init__()
        self._warned = warned

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        for warning in self._warned if epoch == 0 else ():
            text = str(warning.message)
            if "are not used" in text:
                names = re.findall(r'"(\w+)"', text)
                raise TrainingError(f"XGBoost has no use for {', '.join(map(repr, names))} in this training. Leave it out.")
            if "No visible GPU" in text:
                raise TrainingError("device: XGBoost finds no GPU here. Set device to cpu.")
        return False


def _number(value: float | list[float]) -> float:
    return sum(value) / len(value) if isinstance(value, list) else value


def _first_line(error: Exception) -> str:
    """Return XGBoost's own words without the time, the source position and the stack that surround them."""
    return re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", str(error).strip().splitlines()[0])
