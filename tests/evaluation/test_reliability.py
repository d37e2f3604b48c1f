from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from boostlab.evaluation.reliability import BINS, find_bins, measure_reliability

Array = np.ndarray


def two(second: Array) -> Array:
    return np.column_stack([1 - second, second])


def test_bins_are_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    likely = np.append(draw.random(500), [0.0, 1.0])
    true = (draw.random(502) < likely**2).astype(int)
    found = measure_reliability(true, two(likely))
    observed, predicted = calibration_curve(true, likely, n_bins=BINS)

    assert found.observed == pytest.approx(observed) and found.predicted == pytest.approx(predicted)
    assert found.share == pytest.approx(np.bincount(find_bins(likely)) / 502)
    assert found.value == pytest.approx(found.share @ np.abs(observed - predicted))


def test_of_many_classes_the_most_probable_one_is_right_or_wrong() -> None:
    likely = np.array([[0.6, 0.3, 0.1], [0.1, 0.65, 0.25], [0.1, 0.2, 0.7]])
    found = measure_reliability(np.array([0, 2, 2]), likely)

    assert found.observed == pytest.approx([0.5, 1.0]) and found.predicted == pytest.approx([0.625, 0.7])
    assert found.value == pytest.approx(2 / 3 * 0.125 + 1 / 3 * 0.3)


def test_a_row_of_weight_two_counts_as_two_rows_and_one_of_weight_zero_not() -> None:
    draw = np.random.default_rng(0)
    likely, weight = draw.random(60), draw.integers(0, 3, 60)
    true, twice = (draw.random(60) < likely).astype(int), np.repeat(np.arange(60), weight)
    weighed, plain = (
        measure_reliability(true, two(likely), weight.astype(float)),
        measure_reliability(true[twice], two(likely[twice])),
    )

    assert weighed.value == pytest.approx(plain.value) and weighed.observed == pytest.approx(plain.observed)
    assert weighed.high > plain.high  # it is worth fewer rows


@pytest.mark.parametrize("true", [0, 1])
def test_a_single_row_or_class_has_a_wide_interval(true: int) -> None:
    found = measure_reliability(np.array([true]), two(np.array([0.5])))

    assert found.value == 0.5 and found.low == 0 and found.high == 1


TRUTHS: dict[str, Callable[[Array], Array]] = {
    "calibrated": lambda likely: likely,
    "too high": lambda likely: likely / 2,
    "overconfident": lambda likely: likely * 0.6 + 0.2,
}


@pytest.mark.parametrize("rows", [60, 400])
@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("truth", TRUTHS)
def test_the_interval_holds_what_it_promises(truth: str, groups: bool, rows: int) -> None:
    """With groups, each row stands four times in the table: intervals of independent rows would be half as wide."""
    draw, find = np.random.default_rng(1), TRUTHS[truth]
    many = draw.beta(0.7, 2, 400_000)
    place, gap = find_bins(many), many - find(many)
    exact = sum(abs(gap[place == each].mean()) * (place == each).mean() for each in range(BINS))
    held = 0
    for _ in range(400):
        likely = draw.beta(0.7, 2, rows)
        true = (draw.random(rows) < find(likely)).astype(int)
        units = np.arange(rows)
        if groups:
            likely, true, units = (np.repeat(values, 4) for values in (likely, true, units))
        found = measure_reliability(true, two(likely), groups=units if groups else None)
        held += found.low <= exact <= found.high
    assert held / 400 >= 0.94  # 95 %, and what 400 samples leave open


def test_copies_of_rows_in_one_group_are_no_more_evidence() -> None:
    draw = np.random.default_rng(0)
    second = draw.random(30) ** 3
    true = (draw.random(30) < second).astype(int)
    likely = np.column_stack([1 - second, second])
    alone = measure_reliability(true, likely)
    copies = measure_reliability(np.repeat(true, 4), np.repeat(likely, 4, axis=0), groups=np.repeat(np.arange(30), 4))

    assert (copies.value, copies.low, copies.high) == pytest.approx((alone.value, alone.low, alone.high))
    np.testing.assert_allclose(copies.error, alone.error)
