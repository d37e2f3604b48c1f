"""The task of a target: what counts as classes, and which targets do not fit the requested task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.settings import make_settings

from boostlab.data.task import explain_task, find_task
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
        ([3, 4, 5, 6, 7, 8] * 5, "classification"),  # such as ratings of wine
        (list(range(10)) * 40, "classification"),  # digits
        ([3, 4, 5, 6, 7, 8] * 4, "regression"),
        ([18 + row * 47 // 60 for row in range(60)], "regression"),  # ages
        ([*[0] * 60, *[1] * 30, *[2] * 10, 3, 4], "regression"),  # counts, of which the largest are rare
        (list(range(20)) * 5, "classification"),
        (list(range(21)) * 5, "regression"),
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


def test_takes_up_to_fifty_whole_numbers_for_classes_on_request() -> None:
    for requested in ("classification", "regression"):
        assert find_task(pd.Series(range(50)), requested) == requested


@pytest.mark.parametrize(
    ("values", "given", "words"),
    [
        ([1, 2, 3] * 9, {}, "classification of 'y', because it has 3 different whole numbers, each in at least 9 rows. "),
        (
            [1, 2, 3] * 4,
            {},
            "regression of 'y', because it has 3 different whole numbers, and 3 is in 4 of 12 rows: classes have",
        ),
        (list(range(21)) * 9, {}, "regression of 'y', because it has 21 different whole numbers, more than 20. "),
        ([0, 1], {}, "classification of 'y', because it has 2 different whole numbers. To change it: -p task regression."),
        (list(range(30)), {}, "more than 20. To change it: -p task classification."),
        ([0.5, 1], {}, "regression of 'y', because it has fractions."),
        (["a", "b"], {}, "classification of 'y', because its values are no numbers."),
        ([True, False], {}, "classification of 'y', because its values are true or false."),
        ([0, 1], {"task": "regression"}, "regression of 'y', because task asks for it."),
        ([0, 1], {"objective": "count:poisson"}, "regression of 'y', because the objective is for it."),
        ([0, 1], {"quantiles": [0.5]}, "regression of 'y', because the objective is for it."),
    ],
)
def test_explains_the_task_and_how_to_change_it(values: list[object], given: dict[str, Any], words: str) -> None:
    explained = explain_task(pd.Series(values, name="y"), make_settings(**given))

    assert explained.startswith("Task: ") and words in explained
    assert explained.endswith((words, "To change it: -p task regression.", "To change it: -p task classification."))


@pytest.mark.parametrize("requested", ["auto", "regression"])
def test_says_that_text_reads_as_numbers(requested: Any) -> None:
    with pytest.raises(
        DataError, match=r"'price': it is text, though each value reads as a number: '0\.5', '1\.5', '2\.5'\. Reg"
    ):
        find_task(pd.Series([f"{n}.5" for n in range(60)], name="price"), requested)


def test_takes_few_texts_that_read_as_numbers_for_classes() -> None:
    assert find_task(pd.Series(["1", "2", "10"] * 20)) == "classification"


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
