"""Axes of a sweep's figures."""

from __future__ import annotations

import pytest
from tests.support.trials import R2, RMSE, make_at

from boostlab.display.figures import make_axes
from boostlab.sweep.ranking import list_columns
from boostlab.sweep.scales import join_notes, scale_column, scale_values, show_metric

NEAR = [1.0 + number / 10 for number in range(20)]


def test_a_far_worse_value_is_beyond_the_axis_and_counted() -> None:
    axes = make_axes(2.0)
    scale = scale_values(axes, [*NEAR, 70.0], "minimize")
    assert scale.beyond == 1 and scale.high < 5 and axes.get_ylim()[1] < 5
    assert scale.clip([1.0, 70.0]).tolist() == [1.0, scale.high]
    assert join_notes("trial", scale) == "trial (1 far worse value drawn on the edge)"


def test_a_far_better_value_is_on_the_axis() -> None:
    assert scale_values(make_axes(2.0), [*NEAR, 70.0], "maximize").beyond == 0


def test_few_values_are_all_on_the_axis() -> None:
    assert scale_values(make_axes(2.0), [-1.0, 0.0, 1e9], "minimize").beyond == 0


def test_the_ends_of_an_interval_are_on_the_axis() -> None:
    axes = make_axes(2.0)
    scale_values(axes, [5.0, 6.0], "minimize", also=[2.0, 8.0])
    low, high = axes.get_ylim()
    assert low < 2 and high > 8


@pytest.mark.parametrize(("values", "scale"), [([1, 1000], "log"), ([1, 10], "linear"), ([-1, 1000], "linear")])
def test_a_parameter_has_the_scale_of_its_values(values: list[int], scale: str) -> None:
    (column,) = list_columns(make_at([{"a": value} for value in values]))
    axes = make_axes(2.0)
    scale_column(axes, column)
    scale_column(axes, column, side=True)
    assert axes.get_xscale() == axes.get_yscale() == scale


def test_a_metric_says_which_side_is_better() -> None:
    assert show_metric(RMSE) == "best_valid_rmse (unit of the target), lower is better"
    assert show_metric(R2, unit=False) == "valid_r2, higher is better"
