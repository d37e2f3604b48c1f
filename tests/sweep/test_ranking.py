"""What the trials of a study say together."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.trials import R2, RMSE, make_at

from boostlab.sweep.ranking import (
    find_best,
    find_front,
    find_median_s,
    list_columns,
    list_complete,
    rank_trials,
    spans_decades,
    trace_best,
)
from boostlab.sweep.trial import Trial


def test_complete_trials_have_a_finite_value_of_each_metric_and_are_in_order() -> None:
    trials = [
        Trial(3, {}, "complete", (1.0, 2.0)),
        Trial(0, {}, "complete", (1.0,)),
        Trial(1, {}, "complete", (float("nan"), 1.0)),
        Trial(2, {}, "pruned", (1.0, 2.0)),
        Trial(4, {}, "complete"),
        Trial(1, {}, "complete", (5.0, 6.0)),
    ]
    assert [trial.number for trial in list_complete(trials, [RMSE, R2])] == [1, 3]


def test_the_best_of_equal_trials_is_the_first() -> None:
    trials = make_at([{}, {}, {}], [2.0, 1.0, 1.0])
    best = find_best(trials, [RMSE])
    assert best is not None and best.number == 1
    assert find_best([], [RMSE]) is None


def test_traces_each_improvement_in_the_direction_of_the_metric() -> None:
    trials = make_at([{}] * 4, [2.0, 3.0, 1.0, 3.0])
    assert trace_best(trials, [RMSE]) == {0: 2.0, 2: 1.0}
    assert trace_best(trials, [R2]) == {0: 2.0, 1: 3.0}


def test_the_front_keeps_equal_rows_and_those_that_are_better_in_one() -> None:
    costs = np.array([[1.0, 3.0], [3.0, 1.0], [1.0, 3.0], [1.0, 4.0], [4.0, 4.0]])
    assert find_front(costs).tolist() == [True, True, True, False, False]


def test_ranks_front_by_front_until_there_are_enough() -> None:
    trials = [Trial(n, {}, "complete", (float(n), -float(n))) for n in range(5)]
    assert [(rank, trial.number) for rank, trial in rank_trials(trials, [RMSE, R2], how_many=2)] == [(1, 0), (2, 1)]


def test_a_parameter_differs_if_its_values_do_or_some_trials_lack_it() -> None:
    trials = make_at([{"same": 1, "a": 1, "sometimes": 5}, {"same": 1, "a": 2}])
    assert [column.name for column in list_columns(trials)] == ["a", "sometimes"]
    assert [column.name for column in list_columns(trials, importances={"sometimes": 1.0})] == ["sometimes", "a"]


@pytest.mark.parametrize(
    ("values", "is_number"),
    [([1, 2.5], True), ([True, False], False), (["1", "2"], False), ([None, 3], False), ([[1], [2]], False)],
)
def test_numbers_and_categories(values: list[object], is_number: bool) -> None:
    (column,) = list_columns(make_at([{"a": value} for value in values]))
    assert column.is_number is is_number


@pytest.mark.parametrize(
    ("values", "named", "expected"),
    [
        ([1.0, 101.0], False, True),
        ([1.0, 100.0], False, False),
        ([1.0, 2.0], True, True),
        ([0.0, 1.0], True, False),
        ([], True, False),
    ],
)
def test_values_over_two_decades_or_named_are_logarithmic(values: list[float], named: bool, expected: bool) -> None:
    assert spans_decades(values, named=named) is expected


def test_the_median_duration_leaves_failed_and_running_trials_out() -> None:
    trials = [
        Trial(0, {}, "complete", start_ms=1000, end_ms=3000),
        Trial(1, {}, "pruned", start_ms=1000, end_ms=2000),
        Trial(2, {}, "failed", start_ms=1000, end_ms=1001),
        Trial(3, {}, "running", start_ms=1000),
    ]
    assert find_median_s(trials) == 1.5
    assert find_median_s(trials[2:]) is None
