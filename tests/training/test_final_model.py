"""The model that a run keeps: on all rows, or the folds' models as one, with the same contract as any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from tests.support.settings import make_settings

from boostlab.data.columns import profile_columns
from boostlab.data.splits import split_table
from boostlab.data.table import Table, load_table
from boostlab.training.cross_validation import CrossValidation, cross_validate
from boostlab.training.final_model import JUDGED, make_final_model
from boostlab.training.fit import Fit, fit_booster


def train(**changes: Any) -> tuple[Table, Fit, CrossValidation, Fit]:
    """Return the table, the training's model, the folds, and the final model."""
    settings = make_settings(**{"folds": 3, "num_boost_round": 40, "early_stopping_rounds": 5, "max_depth": 3} | changes)
    table = load_table(settings)
    split = split_table(table, settings)
    fit = fit_booster(split, profile_columns(split), settings)
    folds = cross_validate(table, settings)
    return table, fit, folds, make_final_model(fit, folds, table, settings)


def rows_of(table: Table) -> pd.DataFrame:
    return pd.concat(table.batches(list(table.features), np.arange(len(table))), ignore_index=True)


def test_best_is_the_model_of_the_training() -> None:
    _, fit, _, final = train(dataset="diabetes")
    assert final is fit


def test_all_rows_is_trained_on_all_rows_for_the_median_of_the_rounds() -> None:
    table, _, folds, final = train(dataset="diabetes", final_model="all_rows")
    rounds = sorted(fold.fit.best_iteration + 1 for fold in folds.folds)[1]
    frame = rows_of(table)
    params = {"objective": "reg:squarederror", "eta": 0.1, "max_depth": 3, "nthread": 1}
    by_hand = xgb.train(params, xgb.QuantileDMatrix(frame.to_numpy(np.float32), label=table.target), rounds)

    assert final.predictor.booster.num_boosted_rounds() == rounds
    assert final.predictor.answers(frame) == pytest.approx(by_hand.predict(xgb.DMatrix(frame.to_numpy(np.float32))), rel=1e-5)
    assert final.ending == f"The model is trained on all 442 rows for {rounds} rounds, the median of the folds. {JUDGED}"


def test_folds_is_the_average_of_the_folds_models() -> None:
    table, _, folds, final = train(dataset="diabetes", final_model="folds")
    frame = rows_of(table)
    expected = np.mean([fold.fit.predictor.answers(frame) for fold in folds.folds], axis=0)

    assert final.predictor.answers(frame) == pytest.approx(expected, rel=1e-5)
    assert final.ending == f"The model is the average of the 3 models of the folds. {JUDGED}"


@pytest.mark.parametrize("dataset", ["breast_cancer", "wine"])
def test_the_average_of_classifiers_is_that_of_their_log_odds(dataset: str) -> None:
    table, _, folds, final = train(dataset=dataset, final_model="folds")
    frame = rows_of(table)
    logs = np.mean([np.log(fold.fit.predictor.answers(frame)) for fold in folds.folds], axis=0)
    expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)

    assert final.predictor.answers(frame) == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_rows_of_a_test_table_stay_unknown(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=100), "y": draw.normal(size=100)})
    frame[:80].to_parquet(tmp_path / "t.parquet")
    frame[80:].to_parquet(tmp_path / "test.parquet")
    own = {"dataset": str(tmp_path / "t.parquet"), "target": "y", "test_dataset": str(tmp_path / "test.parquet")}
    *_, final = train(**own, final_model="all_rows")

    assert "on all 80 rows" in final.ending


def test_the_average_is_explained_by_the_average_of_the_contributions() -> None:
    table, _, folds, final = train(dataset="wine", final_model="folds")
    frame = rows_of(table).head(50)
    expected = np.mean([fold.fit.predictor.contributions(frame) for fold in folds.folds], axis=0)
    found = final.predictor.contributions(frame)

    np.testing.assert_allclose(found[:, :, :-1], expected[:, :, :-1], atol=1e-5)
    odds = np.exp(found.sum(axis=2))
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), final.predictor.answers(frame), rtol=1e-4)
