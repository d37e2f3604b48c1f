"""The folds' figures are those of an independent computation, and do not depend on order, threads or neighbours."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from scipy import stats
from sklearn import metrics
from tests.support.settings import make_settings

from boostlab.comparison.rows import pair_rows
from boostlab.data.columns import profile_columns
from boostlab.data.folds import split_folds
from boostlab.data.table import Table, load_table
from boostlab.errors import TrainingError
from boostlab.evaluation.holdout import make_holdout, to_holdout
from boostlab.models.predictor import Predictor
from boostlab.training import cross_validation as module, side_by_side
from boostlab.training.cross_validation import CrossValidation, cross_validate, summarise
from boostlab.training.fit import fit_booster
from boostlab.training.settings import Train

SAMPLED = {"subsample": 0.5, "colsample_bytree": 0.5, "num_boost_round": 30, "early_stopping_rounds": 5}


def make(**changes: Any) -> tuple[Table, Train]:
    settings = make_settings(**{"folds": 5, **SAMPLED, **changes})
    return load_table(settings), settings


def test_figures_are_those_of_the_answers_to_each_fold() -> None:
    done = cross_validate(*make(dataset="breast_cancer"))

    assert len(done.folds) == 5
    losses = []
    for fold in done.folds:
        answers = fold.fit.predictor.answers(pd.concat(fold.split.test.batches(fold.fit.predictor.contract.names)))
        true = (fold.split.test.target == "malignant").to_numpy()
        losses.append(metrics.log_loss(true, answers / answers.sum(axis=1, keepdims=True)))
    recorded = done.metrics()
    assert next(iter(recorded)) == "cv_log_loss"
    assert recorded["cv_log_loss"] == pytest.approx(np.mean(losses))
    assert recorded["cv_log_loss_std"] == pytest.approx(np.std(losses, ddof=1))
    assert done.curves()["fold_log_loss"] == pytest.approx(losses)
    assert done.curves()["fold_3_valid_log_loss"] == done.folds[2].fit.curves["valid_log_loss"]
    assert {name for name in recorded if name.count("_") == 2} >= {"cv_roc_auc", "cv_log_loss"}


def test_the_interval_is_that_of_nadeau_and_bengio() -> None:
    values = np.array([3.0, 4.0, 6.0, 3.5, 5.0])
    score = summarise(values, ratio=0.25)
    variance = (1 / 5 + 0.25) * values.var(ddof=1)  # n_test / n_train of 5 folds

    assert (score.low, score.high) == pytest.approx(stats.t.interval(0.95, 4, loc=values.mean(), scale=variance**0.5))


def test_an_interval_ends_where_the_metric_does() -> None:
    score = summarise(np.array([0.0, 0.9, 0.1]), ratio=0.5, within=(0.0, 1.0))
    assert (score.low, score.high) == (0.0, 1.0)


@pytest.mark.parametrize("dataset", ["diabetes", "wine"])
def test_a_fold_does_not_depend_on_what_was_trained_before_or_beside_it(dataset: str) -> None:
    table, settings = make(dataset=dataset)
    splits = split_folds(table, settings)
    expected = [fold.fit.predictor.booster.save_raw() for fold in cross_validate(table, settings).folds]

    for place in (3, 0, 4, 2, 1):
        alone = fit_booster(splits[place], profile_columns(splits[place]), settings)
        assert alone.predictor.booster.save_raw() == expected[place]


def test_each_row_is_answered_by_a_model_that_does_not_know_it() -> None:
    table, settings = make(dataset="diabetes", repeats=2)
    done = cross_validate(table, settings)
    answered = done.out_of_fold

    assert answered is not None
    assert answered.part.rows.tolist() == list(range(len(table)))
    assert answered.part.target.tolist() == table.target.tolist()
    for fold in done.folds[:5]:  # of the first repeat
        assert (answered.answers[fold.split.test.rows] == fold.evaluation.answers).all()
        assert not {*fold.split.test.rows} & {*fold.split.train.rows, *fold.split.valid.rows}


DECIDED = {"dataset": "breast_cancer", "calibrate": "sigmoid", "threshold": "recall >= 0.98", "num_boost_round": 10}


def test_each_fold_is_judged_with_its_own_calibration_and_threshold() -> None:
    done = cross_validate(*make(**DECIDED))
    scores = []
    for fold in done.folds:
        contract = fold.fit.predictor.contract
        assert contract.calibration is not None and contract.threshold is not None
        true = (fold.split.test.target == "malignant").to_numpy()
        scores.append(metrics.f1_score(true, fold.evaluation.answers[:, 1] >= contract.threshold))
    thresholds = {fold.fit.predictor.contract.threshold for fold in done.folds}

    assert len(thresholds) == 5
    assert done.metrics()["cv_f1"] == pytest.approx(np.mean(scores))
    assert "cv_precision_at_recall:0.98" in done.metrics()
    answered = done.out_of_fold
    assert answered is not None and answered.chosen is not None
    for fold in done.folds:
        expected = fold.evaluation.answers[:, 1] >= (fold.fit.predictor.contract.threshold or 0)
        assert (answered.chosen[fold.split.test.rows] == expected).all()
        plain = replace(fold.fit.predictor.contract, calibration=None)
        raw = Predictor(fold.fit.predictor.booster, plain).answers(pd.concat(fold.split.test.batches(plain.names)))
        assert (done.raw[fold.split.test.rows] == raw).all()


def test_the_chosen_classes_of_the_folds_are_kept_with_their_rows() -> None:
    answered = cross_validate(*make(**DECIDED)).out_of_fold
    assert answered is not None
    kept = to_holdout(make_holdout(answered, is_of_model=False))

    assert kept.chosen is not None and answered.chosen is not None
    assert (kept.chosen == answered.chosen).all()
    assert (kept.chosen != (kept.answers[:, 1] >= (kept.threshold or 0))).any()  # not by the threshold of one fold
    pair = pair_rows(kept, kept)
    assert pair.predicted is not None and (pair.predicted[0] == kept.chosen).all()


def test_names_the_fold_whose_rows_are_too_few() -> None:
    with pytest.raises(TrainingError, match=r"^Fold \d of 5: calibrate = 'isotonic' needs at least 20 validation rows of each"):
        cross_validate(*make(dataset="breast_cancer", calibrate="isotonic", valid_size=0.05))


def test_weights_follow_their_rows(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=90), "w": draw.uniform(1, 9, 90).astype("float32"), "y": draw.normal(size=90)})
    frame.to_parquet(tmp_path / "t.parquet")
    answered = cross_validate(*make(dataset=str(tmp_path / "t.parquet"), target="y", sample_weight="w")).out_of_fold

    assert answered is not None and answered.part.weight is not None
    assert answered.part.weight.tolist() == frame["w"].tolist()


def test_a_fold_decides_about_columns_on_its_own_training_rows(tmp_path: Path) -> None:
    """A category that only one fold tests is unknown to that fold's model, unless the models become one."""
    frame = pd.DataFrame({"a": np.arange(60.0), "kind": ["x", "y", "z"] * 20, "y": np.random.default_rng(0).normal(size=60)})
    frame.loc[7, "kind"] = "rare"
    frame.to_parquet(tmp_path / "t.parquet")
    own = {"dataset": str(tmp_path / "t.parquet"), "target": "y", "early_stopping_rounds": 0, "num_boost_round": 2}

    for final, known in (("best", 4), ("folds", 5)):
        folds = cross_validate(*make(**own, final_model=final)).folds
        features = [fold.fit.predictor.contract.features for fold in folds]
        categories = [next(item for item in found if item.name == "kind").categories for found in features]
        with_row = [7 in fold.split.train.rows for fold in folds]
        assert sum("rare" in names for names in categories) == (sum(with_row) if final == "best" else known)


def test_without_folds_there_is_nothing_to_record() -> None:
    none = cross_validate(*make(folds=0))

    assert (none.metrics(), none.curves(), none.out_of_fold, none.describe(), none.tabulate()) == ({}, {}, None, "", None)
    assert none == CrossValidation()


def test_says_the_result_with_its_interval() -> None:
    done = cross_validate(*make(dataset="diabetes"))
    table = done.tabulate()

    assert done.describe().startswith("Over 5 folds the rmse is ") and "95 % interval" in done.describe()
    assert table is not None and list(table.index) == ["rmse", "mae", "r2"]
    assert (table["95 % interval: from"] < table["mean"]).all() and (table["mean"] < table["to"]).all()


def test_names_the_metrics_that_not_every_fold_defines(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=300), "a": draw.normal(size=300)})
    frame["y"] = np.where((frame.a > 0) & ~frame.index.isin(range(200, 250)), "yes", "no")
    frame.to_parquet(tmp_path / "t.parquet")
    own = {"dataset": str(tmp_path / "t.parquet"), "target": "y", "split": "time", "time": "day", "metric": "roc_auc"}
    done = cross_validate(*make(**own))

    assert done.undefined == ["roc_auc", "average_precision"] and "cv_roc_auc" not in done.metrics()
    assert done.describe().endswith(" Not every fold defines roc_auc, average_precision.")
    assert cross_validate(*make(dataset="diabetes")).undefined == []


def test_an_error_of_a_fold_is_the_error_of_all_and_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    fit = fit_booster

    def refuse_second(*arguments: Any, **options: Any) -> Any:
        started.append(1)
        if len(started) == 2:
            raise TrainingError("XGBoost refuses this training: no memory")
        return fit(*arguments, **options)

    monkeypatch.setattr(module, "fit_booster", refuse_second)
    monkeypatch.setattr(side_by_side, "share_cores", lambda *_: (1, 1))
    with pytest.raises(TrainingError, match="no memory"):
        cross_validate(*make())
    assert len(started) <= 3  # of five: the next one may have begun


class Waiting(xgb.callback.TrainingCallback):
    """Tells when boosting has begun."""

    began = threading.Event()

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        self.began.set()
        return False


def test_an_interrupt_ends_all_folds_and_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, before = fit_booster, signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(module, "fit_booster", lambda *args, **options: fit(*args, **options, callbacks=[Waiting()]))
    table, settings = make(num_boost_round=1_000_000, early_stopping_rounds=0)

    def interrupt() -> None:
        Waiting.began.wait()
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt, match="cross-validation was interrupted"):
        cross_validate(table, settings)
    sender.join()
    assert signal.getsignal(signal.SIGINT) is before
