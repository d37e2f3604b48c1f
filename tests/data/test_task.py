"""The task of a target: what counts as classes, and which targets do not fit the requested task."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from boostlab.data.task import find_task
from boostlab.errors import DataError
from boostlab.models.contract import Task


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([1.5, 2.5], "regression"),
        ([1, 2, 1], "classification"),
        ([1.0, 2.0, 1.0], "classification"),
        (["a", "b"], "classification"),
        ([True, False], "classification"),
        (list(range(60)), "regression"),
    ],
)
def test_finds_the_task(values: list[object], task: str) -> None:
    assert find_task(pd.Series(values, name="y")) == task


def test_names_the_first_rows_of_text_in_a_numeric_target() -> None:
    target = pd.Series([*(f"{n}.5" for n in range(100)), "about 5", "7..2"], name="price")
    for find in (find_task, lambda target: find_task(target, "regression")):
        with pytest.raises(DataError, match=r"not a number in 2 rows \(first: 101, 102\): 'about 5', '7..2'"):
            find(target)


def test_refuses_an_infinite_target() -> None:
    with pytest.raises(DataError, match="infinite in row 2"):
        find_task(pd.Series([1.0, np.inf, 3.0], name="y"))


@pytest.mark.parametrize(("values", "task"), [(list(range(50)), "classification"), (list(range(51)), "regression")])
def test_takes_up_to_fifty_whole_numbers_for_classes(values: list[object], task: Task) -> None:
    assert find_task(pd.Series(values)) == task
    assert find_task(pd.Series(values), "regression") == "regression"


@pytest.mark.parametrize(
    ("values", "requested", "words"),
    [
        (["low", "high"], "regression", "not a number in 2 rows (first: 1, 2): 'low', 'high'. Regression takes numbers"),
        ([True, False], "regression", "not a number in 2 rows (first: 1, 2): True, False. Regression takes numbers"),
        ([0.5, 1.5], "classification", "2 different numbers, such as 0.5, 1.5. Classes are text"),
        (list(range(51)), "classification", "51 different numbers, such as 0, 1, 2. Classes are text"),
    ],
)
def test_refuses_a_task_that_does_not_fit(values: list[object], requested: Task, words: str) -> None:
    with pytest.raises(DataError) as caught:
        find_task(pd.Series(values, name="y"), requested)

    assert "The target 'y' is" in str(caught.value) or "does not fit the target 'y'" in str(caught.value)
    assert words in str(caught.value)


def test_refuses_regression_of_dates_with_their_rows() -> None:
    with pytest.raises(DataError, match=r"not a number in 2 rows \(first: 1, 2\): "):
        find_task(pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"]), name="y"), "regression")
