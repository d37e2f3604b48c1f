"""The model that a run keeps: that of the training, one trained again on all rows, or the folds' models as one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from statistics import median_low
from typing import TYPE_CHECKING, Any

import xgboost as xgb

from boostlab.data.columns import profile_columns
from boostlab.data.folds import use_all_rows
from boostlab.data.splits import Part
from boostlab.data.table import Table
from boostlab.models.contract import Contract
from boostlab.models.predictor import Predictor
from boostlab.training.averaging import average_boosters
from boostlab.training.boosting import BoostingInputs, refusals
from boostlab.training.callbacks import watched
from boostlab.training.choice import weigh_classes
from boostlab.training.cross_validation import CrossValidation
from boostlab.training.fit import Fit, make_contract, make_params, open_workers
from boostlab.training.matrices import make_matrix
from boostlab.training.settings import Train

if TYPE_CHECKING:
    from boostlab.tracking.run import Run

JUDGED = "The cross-validation judges it: the metrics of the test rows are those of the training's own model."


def make_final_model(
    fit: Fit, cross_validation: CrossValidation, table: Table, settings: Train, *, run: Run | None = None
) -> Fit:
    """Return the model that the run keeps, as `final_model` says.

    ``best`` is `fit`. ``all_rows`` is trained on all rows, with the median of the folds' rounds. ``folds`` is the average of the
    folds' models in the units of the trees: of the margins, for example of the log-odds of classes. Rows of `test_dataset` stay
    unknown to each. The latter two choose calibration and threshold on the rows of the cross-validation, as answered by models
    that do not know them.

    Parameters
    ----------
    run : Run, optional
        Workers of this machine keep their files in its folder.

    Raises
    ------
    TrainingError
        If XGBoost refuses the training.
    """
    if settings.final_model == "best":
        return fit
    final = _make_model(fit, cross_validation, table, settings, run)
    rows = cross_validation.out_of_fold
    if rows is None or not settings.has_decision:
        return final
    return final.decide_on(rows.part, cross_validation.raw, settings, rows="the rows of the cross-validation")


def _make_model(fit: Fit, cross_validation: CrossValidation, table: Table, settings: Train, run: Run | None) -> Fit:
    if settings.final_model == "folds":
        fits = [fold.fit for fold in cross_validation.folds]
        booster = average_boosters([one.predictor.booster for one in fits])
        ending = f"The model is the average of the {len(fits)} models of the folds. {JUDGED}"
        rounds = sum(one.best_iteration + 1 for one in fits)
        predictor = Predictor(booster, fits[0].predictor.contract)
        return replace(fit, predictor=predictor, curves={}, best_iteration=rounds - 1, ending=ending)
    return _train_on_all_rows(fit, cross_validation, table, settings, run)


def _train_on_all_rows(fit: Fit, cross_validation: CrossValidation, table: Table, settings: Train, run: Run | None) -> Fit:
    rounds = median_low(fold.fit.best_iteration + 1 for fold in cross_validation.folds)
    everything = use_all_rows(table)
    started = time.perf_counter()
    objective, contract = make_contract(everything.train, profile_columns(everything), settings)
    params = make_params(settings, objective, contract)
    learned = weigh_classes(everything.train, contract.labels, settings)
    with refusals():
        if settings.is_distributed:
            booster = _boost_on_workers(learned, contract, params, settings.model_copy(update={"num_boost_round": rounds}), run)
        else:
            booster = xgb.train(params, make_matrix(learned, contract, params), num_boost_round=rounds)
    ending = f"The model is trained on all {len(everything.train):,} rows for {rounds} rounds, the median of the folds. {JUDGED}"
    return Fit(Predictor(booster, contract), {}, fit.metric, rounds - 1, time.perf_counter() - started, ending, objective)


def _boost_on_workers(rows: Part, contract: Contract, params: Mapping[str, Any], settings: Train, run: Run | None) -> xgb.Booster:
    from boostlab.training.distributed import boost_on_workers  # loads Dask

    settings = settings.model_copy(update={"early_stopping_rounds": 0})
    with watched() as watch, open_workers(settings, run) as client:
        boosting = boost_on_workers(
            BoostingInputs(rows, None, contract, params, settings, watch, []), is_checked=True, client=client
        )
        if watch.stop.is_set():
            raise KeyboardInterrupt("the training on all rows was interrupted")
    return boosting.booster
