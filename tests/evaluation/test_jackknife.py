from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from boostlab.errors import LabError
from boostlab.evaluation.jackknife import CLASSIFICATION, LABELS, MOST_UNITS, REGRESSION, score_without
from boostlab.evaluation.metrics import score_metric

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
    scores = score_without(true, answers, metric=metric)

    assert scores.shape == (2, 201)
    assert scores[:, 0] == pytest.approx([score_metric(metric, true, answer) for answer in answers])


CLASSES = [name for name in CLASSIFICATION if name != "cost"]


@pytest.mark.parametrize(
    ("metric", "count"), [*((name, count) for name in CLASSES for count in (2, 3, 7)), ("cost:1-10", 2), ("cost:1-0", 2)]
)
def test_scores_classes_as_the_evaluation_does(metric: str, count: int) -> None:
    true, answers = classes(300, count)
    (scores,) = score_without(true, [answers], metric=metric, labels=count)

    assert scores[0] == pytest.approx(score_metric(metric, true, answers))
    without_first = score_metric(metric, true[1:], answers[1:])
    assert len(scores) == 301 and np.isclose(scores[1:], without_first, rtol=1e-9).any()


@pytest.mark.parametrize("metric", [*NUMBERS, *CLASSES])
def test_a_row_that_counts_twice_is_as_two_rows(metric: str) -> None:
    twice = np.arange(60) < 20
    if metric in NUMBERS:
        true, answers, count = DRAW.gamma(2, size=60), DRAW.gamma(2, size=60), 0
    else:
        (true, answers), count = classes(60, 3), 3
    doubled = [np.concatenate([values, values[twice]]) for values in (true, answers)]

    (weighted,) = score_without(true, [answers], metric=metric, labels=count, weight=1.0 + twice)
    groups = np.append(np.arange(60), np.flatnonzero(twice))
    (plain,) = score_without(doubled[0], [doubled[1]], metric=metric, labels=count, groups=groups)

    assert sorted(weighted) == pytest.approx(sorted(plain))


@pytest.mark.parametrize("metric", LABELS)
def test_judges_the_classes_that_a_model_chose(metric: str) -> None:
    true, answers = classes(200, 2)
    name, predicted = "cost:1-10" if metric == "cost" else metric, (answers[:, 1] >= 0.2).astype(int)
    scores = score_without(true, [answers] * 2, metric=name, labels=2, predicted=[predicted, true])

    certain = np.eye(2)[predicted]
    assert scores[0, 0] == pytest.approx(score_metric(name, true, certain)) != score_metric(name, true, answers)
    assert scores[1] == pytest.approx(0.0 if metric == "cost" else 1.0)


@pytest.mark.parametrize("metric", ["f1:0.5", "cost", "cost:1", "cost:a-b"])
def test_refuses_a_name_without_the_numbers_of_its_formula(metric: str) -> None:
    with pytest.raises(LabError, match=f"No metric '{metric}'. A name holds the numbers of its formula"):
        score_without(np.array([0, 1]), [np.full((2, 2), 0.5)], metric=metric, labels=2)


def test_leaves_out_whole_groups() -> None:
    true, answer, groups = np.zeros(6), np.array([1.0, 2, 3, 4, 5, 6]), np.array(["x", "y", "x", "y", "z", "z"])
    (scores,) = score_without(true, [answer], metric="mae", groups=groups)

    assert scores[0] == 3.5
    assert sorted(scores[1:]) == [10 / 4, 15 / 4, 17 / 4]


def test_leaves_out_many_rows_in_random_sets_of_equal_size() -> None:
    count = 3 * MOST_UNITS
    (scores,) = score_without(np.zeros(count), [np.arange(float(count))], metric="mae")
    sums = count * scores[0] - (count - 3) * scores[1:]  # of the rows of each set, if each has three

    assert len(scores) == MOST_UNITS + 1
    assert sums.sum() == pytest.approx(count * scores[0])  # each row is in one set


def test_a_metric_that_the_rest_does_not_define_is_no_number() -> None:
    (scores,) = score_without(np.array([0, 1]), [np.array([[0.6, 0.4], [0.3, 0.7]])], metric="roc_auc", labels=2)

    assert scores[0] == 1.0 and np.isnan(scores[1:]).all()
