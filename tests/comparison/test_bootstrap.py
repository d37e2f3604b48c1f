from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from boostlab.comparison.bootstrap import CLASSIFICATION, REGRESSION, score_draws
from boostlab.training.metrics import score_metric

DRAW = np.random.default_rng(3)


def classes(rows: int, count: int) -> tuple[Any, Any]:
    true = np.append(np.arange(count), DRAW.integers(0, count, rows - count))
    answers = DRAW.dirichlet(np.ones(count), rows) + 0.4 * np.eye(count)[true]
    return true, np.round(answers, 1) + 0.01  # many ties


NUMBERS = [name for name in REGRESSION if name != "pinball"] + ["pinball:0.2-0.9", "tweedie_deviance:1.2"]


@pytest.mark.parametrize("metric", NUMBERS)
@pytest.mark.parametrize("size", [9, 1e6])
def test_scores_a_regression_as_the_evaluation_does(metric: str, size: float) -> None:
    true = DRAW.normal(size, 1, 200)
    answers = [true + DRAW.standard_normal(200) for _ in range(2)]
    scores = score_draws(true, answers, metric=metric, draws=3)

    assert scores.shape == (2, 4)
    assert scores[:, 0] == pytest.approx([score_metric(metric, true, answer) for answer in answers])


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("metric", CLASSIFICATION)
def test_scores_classes_as_the_evaluation_does(metric: str, count: int) -> None:
    true, answers = classes(300, count)
    (score,) = score_draws(true, [answers], metric=metric, labels=count, draws=0)

    assert score == pytest.approx([score_metric(metric, true, answers)])


@pytest.mark.parametrize("metric", [*NUMBERS, *CLASSIFICATION])
def test_a_row_that_counts_twice_is_as_two_rows(metric: str) -> None:
    twice = np.arange(60) < 20
    if metric in NUMBERS:
        true, answers, count = DRAW.gamma(2, size=60), DRAW.gamma(2, size=60), 0
    else:
        (true, answers), count = classes(60, 3), 3
    doubled = [np.concatenate([values, values[twice]]) for values in (true, answers)]

    (weighted,) = score_draws(true, [answers], metric=metric, labels=count, draws=0, weight=1.0 + twice)
    (plain,) = score_draws(doubled[0], [doubled[1]], metric=metric, labels=count, draws=0)

    assert weighted == pytest.approx(plain)


def test_draws_are_those_of_the_seed_and_alike_for_all_models() -> None:
    true, answers = classes(50, 2)
    first, second = (score_draws(true, [answers, answers], metric="roc_auc", labels=2, draws=9, seed=1) for _ in range(2))
    other = score_draws(true, [answers], metric="roc_auc", labels=2, draws=9, seed=2)

    assert (first == second).all() and (first[0] == first[1]).all()
    assert (first[0, 1:] != other[0, 1:]).any()


def test_spreads_as_the_theory_of_a_mean_says() -> None:
    true, answer = np.zeros(400), DRAW.exponential(size=400)
    (scores,) = score_draws(true, [answer], metric="mae", draws=4000)

    assert scores[1:].std() == pytest.approx(answer.std() / 20, rel=0.05)


def test_a_metric_that_a_draw_does_not_define_is_no_number() -> None:
    (scores,) = score_draws(np.array([0, 1]), [np.array([[0.6, 0.4], [0.3, 0.7]])], metric="roc_auc", labels=2, draws=50)

    assert scores[0] == 1.0
    assert set(scores[1:][np.isfinite(scores[1:])]) == {1.0} and np.isnan(scores).any()
