"""The average of boosters answers with the mean of their margins, for each objective and kind of booster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from tests.support.settings import make_settings

from boostlab.training.averaging import LOG, LOGIT, average_boosters
from boostlab.training.objectives import OBJECTIVES

DRAW = np.random.default_rng(0)
ROWS = DRAW.normal(size=(400, 5)).astype(np.float32)
ROWS[DRAW.random(ROWS.shape) < 0.1] = np.nan
COUNTS = DRAW.poisson(3, 400).astype(np.float32)
TARGETS = {"binary:logistic": COUNTS > 3, "multi:softprob": COUNTS % 3, "reg:logistic": DRAW.random(400), "reg:gamma": COUNTS + 1}
MORE: dict[str, dict[str, Any]] = {"multi:softprob": {"num_class": 3}, "reg:quantileerror": {"quantile_alpha": [0.1, 0.5, 0.9]}}


def train(objective: str, **params: Any) -> list[xgb.Booster]:
    target = TARGETS.get(objective, COUNTS)
    own = {"objective": objective, "max_depth": 3, "nthread": 1} | MORE.get(objective, {}) | params
    parts = [(slice(start, start + 300), rounds) for start, rounds in ((0, 4), (50, 7), (100, 5))]
    return [xgb.train(own, xgb.DMatrix(ROWS[rows], label=target[rows]), rounds) for rows, rounds in parts]


def margins(booster: xgb.Booster) -> np.ndarray[Any, Any]:
    return np.asarray(booster.predict(xgb.DMatrix(ROWS), output_margin=True), float)


@pytest.mark.parametrize("params", [{}, {"booster": "dart", "rate_drop": 0.5}, {"num_parallel_tree": 3, "subsample": 0.5}])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_margin_is_the_mean_of_the_margins(objective: str, params: dict[str, Any]) -> None:
    boosters = train(objective, **params)
    average = average_boosters(boosters)

    expected = np.mean([margins(one) for one in boosters], axis=0)
    assert margins(average) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert average.num_boosted_rounds() == 16
    saved = xgb.Booster(model_file=average.save_raw("ubj"))
    assert (saved.predict(xgb.DMatrix(ROWS)) == average.predict(xgb.DMatrix(ROWS))).all()


def test_averages_vector_leaves() -> None:
    boosters = train("multi:softprob", multi_strategy="multi_output_tree")
    expected = np.mean([margins(one) for one in boosters], axis=0)

    assert margins(average_boosters(boosters)) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_one_booster_is_its_own_average() -> None:
    booster = train("count:poisson")[0]

    assert margins(average_boosters([booster])) == pytest.approx(margins(booster), rel=1e-6)


def test_knows_the_unit_of_each_objectives_base_score() -> None:
    """A base score of 0.5 is a margin of 0 for a probability, of log 0.5 for a mean, and else of 0.5."""
    for objective in OBJECTIVES:
        target = TARGETS.get(objective, COUNTS)
        params = make_settings(objective=objective, quantiles=[0.5] if objective == "reg:quantileerror" else []).booster_params()
        own = params | {"objective": objective, "base_score": 0.5, "max_depth": 1, "eta": 0.0} | MORE.get(objective, {})
        booster = xgb.train(own, xgb.DMatrix(ROWS, label=target), 1)
        expected = 0.0 if objective in LOGIT else np.log(0.5) if objective in LOG else 0.5
        assert margins(booster).ravel()[0] == pytest.approx(expected, abs=1e-6), objective


def test_keeps_names_that_json_escapes() -> None:
    names = ["Größe", 'say "x"', "a\\b", "line\nbreak", "plain"]
    matrix = xgb.DMatrix(ROWS, label=COUNTS, feature_names=names)
    boosters = [xgb.train({"nthread": 1}, matrix, rounds) for rounds in (2, 3)]
    average = average_boosters(boosters)
    loaded = xgb.Booster(model_file=average.save_raw("ubj"))

    assert average.feature_names == loaded.feature_names == names
    expected = np.mean([one.predict(matrix) for one in boosters], axis=0)
    assert loaded.predict(matrix) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_averages_a_booster_that_learned_one_probability_alone(value: float) -> None:
    params = {"objective": "reg:logistic", "nthread": 1}
    targets = np.full(400, value), DRAW.random(400)
    boosters = [xgb.train(params, xgb.DMatrix(ROWS, label=target), 2) for target in targets]

    expected = np.mean([margins(one) for one in boosters], axis=0)
    # float32 has few numbers near 1: there XGBoost's margin of the base score is exact to 0.1 only
    assert margins(average_boosters(boosters)) == pytest.approx(expected, abs=0.1 if value else 1e-5)
