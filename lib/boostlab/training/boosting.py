"""The boosting rounds in this process, and what they leave: the booster, its curves, how long they took."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import xgboost as xgb

from boostlab.data.splits import Part
from boostlab.errors import TrainingError
from boostlab.evaluation.metric_names import is_higher_better
from boostlab.models.contract import Contract
from boostlab.training.callbacks import Refuser, Scorer, Stopper, Watch
from boostlab.training.matrices import make_matrix
from boostlab.training.settings import Train

REMEDY = "Keep the rows on disk, as -p memory external, lower max_bin, leave out columns, or raise the limit of the memory."
History = Mapping[str, Mapping[str, list[float]]]  #: by part and metric: one value per round


@dataclass(frozen=True)
class BoostingInputs:
    """What the boosting rounds need, wherever they run."""

    train: Part
    valid: Part | None  #: None: nothing is watched
    contract: Contract
    params: Mapping[str, Any]  #: of XGBoost
    settings: Train
    watch: Watch
    callbacks: Sequence[xgb.callback.TrainingCallback]  #: called in this process after each round


@dataclass(frozen=True)
class Boosting:
    """The result of the boosting rounds."""

    booster: xgb.Booster  #: with all rounds
    history: History
    duration_s: float  #: wall time, in seconds
    note: str = ""  #: where and how it ran, in sentences, if not in this process


def boost_here(inputs: BoostingInputs, *, is_checked: bool) -> Boosting:
    """Train in this process; `is_checked` says that an earlier training has checked the parameters."""
    contract, params, settings, watch = inputs.contract, inputs.params, inputs.settings, inputs.watch
    matrix = make_matrix(inputs.train, contract, params)
    if not is_checked:
        _configure(params, matrix)
    assert inputs.valid is not None
    matrices = {"train": matrix, "valid": make_matrix(inputs.valid, contract, params, like=matrix)}
    scorer = Scorer(matrices, contract, params.get("eval_metric"))
    patience, higher = settings.early_stopping_rounds, is_higher_better(contract.metric)
    enough = [xgb.callback.EarlyStopping(rounds=patience, data_name="valid", maximize=higher)] if patience else []
    history: dict[str, dict[str, list[float]]] = {}
    started = time.perf_counter()
    booster = xgb.train(
        dict(params),
        matrix,
        num_boost_round=settings.num_boost_round,
        evals=[(data, part) for part, data in matrices.items()],
        evals_result=history,
        verbose_eval=False,
        # after one that stops, no other is called
        callbacks=[Refuser(watch.warned), scorer, *inputs.callbacks, *enough, Stopper(watch.stop)],
    )
    return Boosting(booster, history, time.perf_counter() - started)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn an error of XGBoost into a TrainingError with its first line."""
    try:
        yield
    except xgb.core.XGBoostError as error:
        if "bad_alloc" in str(error):
            raise TrainingError(f"The memory does not suffice for this training. {REMEDY}") from None
        raise TrainingError(f"XGBoost refuses this training: {_first_line(error)}") from None


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


def _first_line(error: Exception) -> str:
    """Return XGBoost's message without time, source position and stack."""
    return re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", str(error).strip().splitlines()[0])
