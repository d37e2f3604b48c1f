"""Losses: their metrics are scikit-learn's, and no constant is better than the constant of a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from boostlab.errors import LabError
from boostlab.evaluation.losses import LOSSES, find_loss, name_metric

DRAW = np.random.default_rng(0)
TRUE, ANSWERS, WEIGHT = DRAW.gamma(2, 2, 301), DRAW.gamma(2, 2, 301), DRAW.gamma(1, 1, 301)
NAMES = ["rmse", "mae", "mape", "mphe", "mphe:2.5", "rmsle", "pinball:0.3", "poisson_deviance", "gamma_deviance"]
NAMES += ["tweedie_deviance:1.2", "tweedie_deviance:1.5"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rmse", metrics.root_mean_squared_error),
        ("mae", metrics.mean_absolute_error),
        ("mape", metrics.mean_absolute_percentage_error),
        ("rmsle", metrics.root_mean_squared_log_error),
        ("pinball:0.3", lambda *rows, **more: metrics.mean_pinball_loss(*rows, alpha=0.3, **more)),
        ("poisson_deviance", metrics.mean_poisson_deviance),
        ("gamma_deviance", metrics.mean_gamma_deviance),
        ("tweedie_deviance:1.2", lambda *rows, **more: metrics.mean_tweedie_deviance(*rows, power=1.2, **more)),
    ],
)
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_metrics_are_those_of_scikit_learn(name: str, expected: Callable[..., float], weight: Any) -> None:
    loss = find_loss(name)

    assert loss is not None
    assert loss.score(TRUE, ANSWERS, weight) == pytest.approx(expected(TRUE, ANSWERS, sample_weight=weight))


def test_the_pinball_loss_of_several_quantiles_is_their_mean() -> None:
    both = np.column_stack([ANSWERS, ANSWERS + 1])
    each = [metrics.mean_pinball_loss(TRUE, both[:, n], alpha=level) for n, level in enumerate((0.1, 0.9))]

    assert score("pinball:0.1-0.9", both) == pytest.approx(np.mean(each))


def score(name: str, answers: np.ndarray, weight: Any = None) -> float:
    loss = find_loss(name)
    assert loss is not None
    return loss.score(TRUE, answers, weight)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_no_other_constant_is_better(name: str, weight: Any) -> None:
    loss = find_loss(name)
    assert loss is not None
    best = loss.constant(TRUE, weight)
    around = [score(name, np.full(301, best + step), weight) for step in (-0.3, -0.01, 0.01, 0.3)]

    assert best.shape == ()
    assert score(name, np.full(301, best), weight) <= min(around)


def test_the_constant_of_several_quantiles_has_one_number_for_each() -> None:
    loss = find_loss("pinball:0.1-0.5-0.9")

    assert loss is not None
    assert loss.constant(np.arange(1.0, 11.0), None).tolist() == [1, 5, 9]


def test_a_constant_target_has_itself_as_constant() -> None:
    for name in NAMES:
        loss = find_loss(name)
        assert loss is not None and loss.constant(np.full(3, 2.0), None) == pytest.approx(2)


@pytest.mark.parametrize("name", ["poisson_deviance", "gamma_deviance", "tweedie_deviance:1.5"])
def test_a_deviance_is_not_defined_for_answers_that_are_not_positive(name: str) -> None:
    assert np.isnan(score(name, np.where(np.arange(301) == 7, -1.0, ANSWERS)))


@pytest.mark.parametrize("name", ["r2", "log_loss", "nonsense"])
def test_a_metric_that_is_no_mean_over_rows_has_no_loss(name: str) -> None:
    assert find_loss(name) is None


@pytest.mark.parametrize("name", ["pinball", "pinball:a", "rmse:2", "poisson_deviance:1.5"])
def test_refuses_a_name_without_its_numbers_or_with_others(name: str) -> None:
    with pytest.raises(LabError, match=rf"^No metric '{name}'\. A name holds the numbers of its formula and no others: "):
        find_loss(name)


def test_a_name_brings_back_its_numbers() -> None:
    name = name_metric("pinball", 0.5, 0.00001)

    assert (name, name_metric("mae")) == ("pinball:0.5-0.00001", "mae")
    assert score(name, np.column_stack([TRUE - 1, TRUE + 1])) == pytest.approx((0.5 + 0.99999) / 2)
    assert set(LOSSES) >= {name.partition(":")[0] for name in NAMES}
