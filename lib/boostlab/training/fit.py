"""Fitting a booster on the split parts of a table: returns the model and its learning curves.

Rows reach XGBoost in batches, so that training holds no second copy of the table. This module writes no files and shows nothing.
"""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb

from boostlab.data.columns import Columns
from boostlab.data.splits import Part, Split
from boostlab.data.table import encode_labels, find_labels
from boostlab.errors import DataError, TrainingError
from boostlab.models.contract import Contract, Feature
from boostlab.models.predictor import Predictor, encode_rows, input_names, input_types, safe_names
from boostlab.signals import sigint_noted
from boostlab.training.settings import Hyperparameters

OBJECTIVES = {"regression": "reg:squarederror", "binary": "binary:logistic", "multiclass": "multi:softprob"}
METRICS = {"regression": "rmse", "binary": "logloss", "multiclass": "mlogloss"}
PREFIXES = {"regression": ("reg:", "count:poisson"), "binary": ("binary:logistic",), "multiclass": ("multi:softprob",)}
TREE_BOOSTERS = ("gbtree", "dart")


@dataclass(frozen=True)
class Fit:
    """The result of a training."""

    predictor: Predictor  #: the model, up to its best round
    curves: dict[str, list[float]]  #: ``train_<metric>`` and ``valid_<metric>``: one value per boosting round
    metric: str  #: the metric that early stopping watched
    best_iteration: int  #: the best round, counted from 0
    fit_time_s: float  #: wall time of the boosting, in seconds
    ending: str  #: why boosting ended, in a sentence: all rounds done, stopped early, or interrupted

    def rank_features(self) -> dict[str, float]:
        """Return the mean gain of each feature's splits: see :func:`rank_features`."""
        return rank_features(self.predictor)


def fit_booster(
    split: Split,
    columns: Columns,
    settings: Hyperparameters,
    *,
    callbacks: Sequence[xgb.callback.TrainingCallback] = (),
) -> Fit:
    """Train on the training part and watch the validation part; the test part is not used.

    An interrupt (SIGINT) ends the training after the current round; the model has the rounds so far. Objective and metric follow
    from the table's task unless `settings.xgb_params` names them.

    Parameters
    ----------
    columns : Columns
        Profiles of the columns; their features are the model's.
    callbacks : sequence of xgboost.callback.TrainingCallback
        Called after each round.

    Raises
    ------
    TrainingError
        If XGBoost does not know a parameter, refuses a value, or has no such device.
    """
    task, features = split.train.table.task, columns.features
    labels = find_labels(split.train.target) if task == "classification" else []
    kind = "regression" if task == "regression" else "binary" if len(labels) == 2 else "multiclass"
    params = settings.booster_params()
    wanted = {"objective": OBJECTIVES[kind], "eval_metric": METRICS[kind], **params}
    wanted["verbosity"] = max(1, int(params.get("verbosity", 1)))  # below 1, XGBoost does not name unused parameters
    if kind == "multiclass":
        wanted["num_class"] = len(labels)
    _check_choices(wanted, kind)
    try:
        train = _to_matrix(split.train, features, labels, wanted)
        _configure(wanted, train)
        valid = _to_matrix(split.valid, features, labels, wanted, like=train)
        patience = settings.early_stopping_rounds
        enough = [xgb.callback.EarlyStopping(rounds=patience)] if patience else []
        history: dict[str, dict[str, list[float]]] = {}
        started = time.perf_counter()
        with warnings.catch_warnings(record=True) as warned, sigint_noted() as stop:
            warnings.simplefilter("always")
            booster = xgb.train(
                wanted,
                train,
                num_boost_round=settings.num_boost_round,
                evals=[(train, "train"), (valid, "valid")],
                evals_result=history,
                verbose_eval=False,
                callbacks=[_Refuser(warned), *callbacks, *enough, _Stopper(stop)],  # after one that stops, no other is called
            )
        fit_time_s = time.perf_counter() - started
        for warning in warned:  # pass on the warnings that are not errors
            warnings.warn(warning.message, warning.category, stacklevel=2)
    except xgb.core.XGBoostError as error:
        raise TrainingError(f"XGBoost refuses this training: {_first_line(error)}") from None
    metric = _to_metric_name(list(history["valid"])[-1])
    best = booster.best_iteration if settings.early_stopping_rounds else booster.num_boosted_rounds() - 1
    contract = Contract(task, tuple(labels), features, str(wanted.get("device", "cpu")))
    curves = {f"{part}_{_to_metric_name(name)}": values for part, lines in history.items() for name, values in lines.items()}
    done = len(next(iter(curves.values())))
    ending = _describe_ending(done, best, by_hand=stop.is_set(), early=done < settings.num_boost_round)
    return Fit(Predictor(booster[: best + 1], contract), curves, metric, best, fit_time_s, ending)


def rank_features(predictor: Predictor) -> dict[str, float]:
    """Return the mean gain of each feature's splits, largest first; 0 for a feature without splits."""
    gain = predictor.booster.get_score(importance_type="gain")
    features = predictor.contract.features
    names = zip(input_names(features), safe_names(features), strict=True)
    scores = {name: float(_average(gain.get(safe, 0.0))) for name, safe in names}
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


class _Batches(xgb.DataIter):
    """A part's rows for XGBoost, which iterates over them several times."""

    def __init__(self, part: Part, features: Sequence[Feature], labels: Sequence[Any]) -> None:
        self._part, self._features = part, features
        self._target = encode_labels(part.target, labels) if labels else part.target.to_numpy(np.float32)
        self._description = {"feature_names": safe_names(features), "feature_types": input_types(features)}
        super().__init__()
        self.reset()

    def reset(self) -> None:
        self._position = 0
        self._frames = self._part.batches([feature.name for feature in self._features])

    def next(self, input_data: Callable[..., Any]) -> bool:
        frame = next(self._frames, None)
        if frame is None:
            return False
        try:
            data = encode_rows(frame, self._features)
        except ValueError as error:
            raise DataError(f"{self._part.table.name}: {error}") from None
        here = slice(self._position, self._position + len(frame))
        weight = None if self._part.weight is None else self._part.weight[here]
        input_data(data=data, label=self._target[here], weight=weight, **self._description)
        self._position = here.stop
        return True


def _to_matrix(
    part: Part, features: Sequence[Feature], labels: Sequence[Any], params: Mapping[str, Any], like: xgb.DMatrix | None = None
) -> xgb.DMatrix:
    """Return a part as XGBoost's matrix: binned for the hist method, as plain values for the others."""
    options = {"enable_categorical": True, "nthread": params.get("nthread") or None}
    if params.get("tree_method", "auto") in ("auto", "hist"):
        return xgb.QuantileDMatrix(_Batches(part, features, labels), ref=like, max_bin=params.get("max_bin"), **options)
    batches = _Batches(part, features, labels)
    matrix = np.concatenate([encode_rows(frame, features) for frame in part.batches([feature.name for feature in features])])
    return xgb.DMatrix(matrix, label=batches._target, weight=part.weight, **batches._description, **options)


def _check_choices(wanted: Mapping[str, Any], kind: str) -> None:
    """Refuse choices of XGBoost's that the predictor does not support."""
    if not str(wanted["objective"]).startswith(PREFIXES[kind]):
        raise TrainingError(
            f"xgb_params: the objective {wanted['objective']!r} does not fit this {kind} target. "
            f"Allowed: {', '.join(prefix + '…' if prefix.endswith(':') else prefix for prefix in PREFIXES[kind])}."
        )
    if wanted.get("disable_default_eval_metric") or not wanted["eval_metric"]:
        raise TrainingError("xgb_params: learning curves and early stopping need a metric. Leave eval_metric as it is.")
    if wanted.get("booster", "gbtree") not in TREE_BOOSTERS:
        raise TrainingError(f"xgb_params: no booster {wanted['booster']!r} here. Allowed: {', '.join(TREE_BOOSTERS)}.")


def _configure(wanted: Mapping[str, Any], train: xgb.DMatrix) -> None:
    """Let XGBoost read all parameters before it trains, and report a wrong type as a refusal."""
    try:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            xgb.Booster(dict(wanted), [train]).save_config()
    except (AttributeError, TypeError, ValueError) as error:
        if isinstance(error, xgb.core.XGBoostError):
            raise
        raise TrainingError(f"XGBoost refuses this training: {error}") from None


class _Refuser(xgb.callback.TrainingCallback):
    """Turns XGBoost's warnings into errors: an unused parameter, an absent device."""

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


class _Stopper(xgb.callback.TrainingCallback):
    """Ends the training after the round in which an interrupt arrived."""

    def __init__(self, requested: threading.Event) -> None:
        super().__init__()
        self._requested = requested

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        return self._requested.is_set()


def _describe_ending(done: int, best: int, *, by_hand: bool, early: bool) -> str:
    kept = f"The model is that of round {best + 1}."
    if by_hand:
        return f"Stopped by hand after round {done}: the rounds so far are kept. {kept}"
    return f"Stopped early after round {done}. {kept}" if early else f"All {done} rounds are done. {kept}"


def _to_metric_name(name: str) -> str:
    """Return a metric's name in MLflow's alphabet: ``error:0.7`` for XGBoost's ``error@0.7``."""
    return name.replace("@", ":")


def _average(value: float | list[float]) -> float:
    return sum(value) / len(value) if isinstance(value, list) else value


def _first_line(error: Exception) -> str:
    """Return XGBoost's message without time, source position and stack."""
    return re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", str(error).strip().splitlines()[0])
