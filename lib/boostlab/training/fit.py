"""Fitting a booster on the split parts of a table: returns the model and its learning curves.

This module writes no files and shows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb

from boostlab.data.columns import Columns
from boostlab.data.splits import Part, Split
from boostlab.data.table import encode_labels
from boostlab.errors import TrainingError
from boostlab.evaluation.metric_names import find_best_round
from boostlab.evaluation.metrics import answer_part
from boostlab.models.contract import Contract
from boostlab.models.predictor import Predictor
from boostlab.training.boosting import Boosting, BoostingInputs, boost_here, refusals
from boostlab.training.callbacks import RoundReports, Watch, watched
from boostlab.training.choice import (
    NATIVE_METRICS,
    check_targets,
    choose_metric,
    choose_objective,
    order_classes,
    weigh_classes,
)
from boostlab.training.decision import NO_DECISION, Decision, decide
from boostlab.training.objectives import Kind, ObjectiveName
from boostlab.training.settings import Train

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

    from boostlab.tracking.run import Run

FEW_ROUNDS = 50  # with a best round below it, trees are worth more when each adds less
Array = np.ndarray[Any, Any]
TREE_BOOSTERS = ("gbtree", "dart")


@dataclass(frozen=True)
class Fit:
    """The result of a training."""

    predictor: Predictor  #: the model, up to its last round
    curves: dict[str, list[float]]  #: ``train_<metric>`` and ``valid_<metric>``: one value per boosting round
    metric: str  #: the metric that early stopping watched
    best_iteration: int  #: the last round that the model keeps, counted from 0: the best one, or of DART the last
    fit_time_s: float  #: wall time of the boosting, in seconds
    ending: str  #: why boosting ended, in a sentence: all rounds done, stopped early, or interrupted
    objective: str = ""  #: what the booster minimised, as XGBoost names it
    decision: Decision = NO_DECISION  #: what the model does with the booster's probabilities

    def metrics(self) -> dict[str, float]:
        """Return the final metrics that the run records; ``best_valid_<metric>`` is the model's own, and ranks runs."""
        best_valid = self.curves[f"valid_{self.metric}"][self.best_iteration]
        return {"best_iteration": self.best_iteration, "fit_time_s": self.fit_time_s, f"best_valid_{self.metric}": best_valid}

    def tags(self) -> dict[str, str]:
        """Return the objective, the metric and the ending as tags of the run."""
        return {"boostlab.objective": self.objective, "boostlab.metric": self.metric, "boostlab.training": self.ending}

    def suggest_next(self, settings: Train) -> str:
        """Return in Markdown which value to try next and why, as far as the curves tell; empty otherwise."""
        train, valid = (self.curves[f"{part}_{self.metric}"] for part in ("train", "valid"))
        rounds, best = len(valid), find_best_round(self.metric, valid) + 1
        if rounds == settings.num_boost_round and best > 0.9 * rounds:
            return f"`num_boost_round` {2 * rounds} looks promising: the validation metric still improved in the last rounds."
        if rounds < settings.num_boost_round and best < FEW_ROUNDS:
            return f"`eta` {settings.eta / 2:g} looks promising: the best round was number {best}: small steps may go further."
        start, gap = abs(valid[0] - valid[best - 1]), abs(valid[best - 1] - train[best - 1])
        comparable = settings.class_weight == "none"  # else the rows of both parts count by other weights
        if settings.max_depth > 1 and gap > start and comparable:
            return f"`max_depth` {settings.max_depth - 1} looks promising: the model is much better on the rows that it knows."
        return ""

    def decide(self, split: Split, settings: Train) -> Fit:
        """Return the fit whose model calibrates and decides as the settings ask, chosen on the validation part.

        Raises
        ------
        TrainingError
            If that part has too few rows, or no threshold meets the floor.
        """
        if not settings.has_decision:
            return self
        return self.decide_on(split.valid, answer_part(self.predictor, split.valid), settings, rows="the validation rows")

    def decide_on(self, part: Part, raw: Array, settings: Train, *, rows: str) -> Fit:
        """Return the fit whose model decides as the settings ask, chosen on rows with the booster's own probabilities of them.

        `rows` says in words which ones they are.
        """
        true = encode_labels(part.target, self.predictor.contract.labels)
        contract, decision = decide(self.predictor.contract, true, raw, part.weight, settings=settings, rows=rows)
        return replace(self, predictor=Predictor(self.predictor.booster, contract), decision=decision)

    def describe(self) -> str:
        """Return why boosting ended, and what the model does with probabilities, in words."""
        return f"{self.ending} {self.decision.describe()}" if self.decision.tags() else self.ending

    def answer(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows behind the model's answers to them: ``prediction``, or a column for each quantile."""
        import pandas as pd

        answers: Any = self.predictor.predict(rows)
        named = dict(answers) if self.predictor.contract.answer_names else {"prediction": answers}
        return pd.concat([pd.DataFrame(named).set_index(rows.index), rows], axis="columns")


def fit_booster(
    split: Split,
    columns: Columns,
    settings: Train,
    *,
    callbacks: Sequence[xgb.callback.TrainingCallback] = (),
    watch: Watch | None = None,
    run: Run | None = None,
    workers: Client | None = None,
) -> Fit:
    """Train on the training part and watch the validation part; the test part is not used.

    An interrupt (SIGINT) ends the training after the current round; the model has the rounds so far. The objective follows from
    the table's task, and the metric from the objective, unless the settings name them.

    Parameters
    ----------
    columns : Columns
        Profiles of the columns; their features are the model's.
    callbacks : sequence of xgboost.callback.TrainingCallback
        Called after each round.
    watch : Watch, optional
        Given where several trainings run at once, after one with the same parameters.
    run : Run, optional
        If it is a trial of a sweep that prunes, it reports the best validation metric so far, with the round as the step.
    workers : distributed.Client, optional
        The connection of :func:`open_workers`, if several trainings share it; by default a distributed training has its own.

    Raises
    ------
    TrainingError
        If objective, metric or a decision do not fit the target's kind, or XGBoost does not know a parameter, refuses a value, or
        has no such device.
    DataError
        If the target has a value that the objective or the metric does not take.
    """
    objective, contract = make_contract(split.train, columns, settings)
    check_targets(split, objective, contract.metric)
    params = make_params(settings, objective, contract)
    reports = [RoundReports(run)] if run is not None else []
    with nullcontext(watch) if watch else watched() as noted, refusals():
        boost: Callable[..., Boosting] = partial(boost_here, is_checked=watch is not None)
        if settings.is_distributed:
            from boostlab.training.distributed import boost_on_workers  # loads Dask

            boost = partial(boost_on_workers, is_checked=watch is not None, client=workers, run=run)
        train = weigh_classes(split.train, contract.labels, settings)
        boosting = boost(BoostingInputs(train, split.valid, contract, params, settings, noted, [*callbacks, *reports]))
    done, is_dart = boosting.booster.num_boosted_rounds(), params.get("booster") == "dart"
    curves = {f"{part}_{contract.metric}": lines[contract.metric] for part, lines in boosting.history.items()}
    values = curves[f"valid_{contract.metric}"]
    best = done - 1
    if settings.early_stopping_rounds and not is_dart:
        best = find_best_round(contract.metric, values)
    by_hand = noted.stop.is_set()
    ending = _describe_ending(done, best, by_hand=by_hand, early=done < settings.num_boost_round, is_dart=is_dart)
    ending = f"{ending} {boosting.note}".strip()
    return Fit(
        Predictor(boosting.booster[: best + 1], contract), curves, contract.metric, best, boosting.duration_s, ending, objective
    )


@contextmanager
def open_workers(settings: Train, run: Run | None) -> Iterator[Client | None]:
    """Yield the connection that several distributed trainings share; None if they run in this process.

    Raises
    ------
    LabError
        If the scheduler cannot be reached, or has no worker.
    """
    if not settings.is_distributed:
        yield None
        return
    from boostlab.training.distributed import connect_workers  # loads Dask

    with connect_workers(settings, run) as client:
        yield client


def make_contract(train: Part, columns: Columns, settings: Train) -> tuple[ObjectiveName, Contract]:
    """Return the objective, and the contract of a model that learns from a part."""
    task = train.table.task
    if task == "regression" and settings.requested_decisions:
        name, value = next(iter(settings.requested_decisions.items()))
        raise TrainingError(f"{name} = {value!r} is for classification, and the target is a quantity. Leave it out.")
    labels = order_classes(train.target, settings) if task == "classification" else []
    kind: Kind = "regression" if task == "regression" else "binary" if len(labels) == 2 else "multiclass"
    objective = choose_objective(settings, kind)
    metric, quantiles = choose_metric(settings, objective), tuple(sorted(settings.quantiles))
    return objective, Contract(task, tuple(labels), columns.features, settings.device, metric, quantiles)


def make_params(settings: Train, objective: ObjectiveName, contract: Contract) -> dict[str, Any]:
    """Return the parameters of XGBoost; `eval_metric` is absent if XGBoost does not have the metric."""
    params = settings.booster_params() | {"objective": objective}
    booster = params.get("booster", "gbtree")
    if booster not in TREE_BOOSTERS:
        raise TrainingError(f"xgb_params: no booster {booster!r} here. Allowed: {', '.join(TREE_BOOSTERS)}.")
    params["verbosity"] = max(1, int(params.get("verbosity", 1)))  # below 1, XGBoost does not name unused parameters
    if objective == "multi:softprob":
        params["num_class"] = len(contract.labels)
    if contract.quantiles:
        params["quantile_alpha"] = list(contract.quantiles)
    native = NATIVE_METRICS.get((objective.partition(":")[0], contract.metric.partition(":")[0]))
    return params | ({"eval_metric": native} if native else {"disable_default_eval_metric": 1})


def _describe_ending(done: int, best: int, *, by_hand: bool, early: bool, is_dart: bool) -> str:
    kept = f"The model is that of round {best + 1}."
    if is_dart:
        kept = (
            "The model keeps all rounds: DART rescales earlier trees in each round, so a model cut to its best round is another."
        )
    if by_hand:
        return f"Stopped by hand after round {done}: the rounds so far are kept. {kept}"
    return f"Stopped early after round {done}. {kept}" if early else f"All {done} rounds are done. {kept}"
