"""Figures of the parameters of a sweep."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.support.figures import check_picture, title
from tests.support.trials import IMPORTANCES, R2, RMSE, USUAL, make_at, make_trials, make_wide

from boostlab.display.pictures import draw_picture
from boostlab.sweep.contour import plot_contour
from boostlab.sweep.point_plots import plot_importance, plot_parallel, plot_slices
from boostlab.sweep.trial import Trial

PLOTS: list[Callable[..., Figure]] = [plot_slices, plot_contour, plot_parallel]


def test_importances_are_sorted_shares_with_a_sentence_on_their_meaning() -> None:
    figure = plot_importance({"eta": 1.0, "max_depth": 3.0, "seed": 0.0}, metric="rmse")
    check_picture(figure)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["max_depth", "eta", "seed"]
    assert [bar.get_width() for bar in axes.patches] == [75, 25, 0]  # type: ignore[attr-defined]
    assert [text.get_text().strip() for text in axes.texts] == ["75 %", "25 %", "0 %"]
    assert title(axes) == "What decides rmse? max_depth has a share of 75 %"
    assert "A share says how much of the differences in rmse" in axes.get_xlabel()


def test_importances_of_many_parameters_name_the_rest() -> None:
    figure = plot_importance({f"p{n}": 1.0 for n in range(25)}, metric="rmse")
    assert len(figure.axes[0].patches) == 20
    assert "the other 5 have 20 %" in title(figure.axes[0]).replace("\n", " ")


@pytest.mark.parametrize("shares", [{}, {"eta": 0.0}])
def test_says_that_no_importance_is_known(shares: dict[str, float]) -> None:
    assert "do not tell yet" in plot_importance(shares, metric="rmse").texts[0].get_text()


def test_slices_have_the_most_important_parameters_first_each_on_its_scale() -> None:
    figure = plot_slices(USUAL, [RMSE], importances={"max_leaves": 1.0, "eta": 0.5}, log=["max_depth"])
    check_ticks = [axes.get_xscale() for axes in figure.axes]
    assert [title(axes) for axes in figure.axes] == ["max_leaves", "eta", "max_depth", "grow_policy", "subsample"]
    assert check_ticks == ["linear", "log", "log", "linear", "linear"]
    assert [text.get_text() for text in figure.axes[3].get_xticklabels()] == ["depthwise", "lossguide"]


def test_a_slice_shows_the_trials_that_have_the_parameter_and_the_best() -> None:
    figure = plot_slices(make_at([{"a": 1.0, "b": 5}, {"a": 2.0}, {"a": 3.0, "b": 7}], [3.0, 1.0, 2.0]), [RMSE])
    first, second = figure.axes
    assert np.asarray(first.lines[0].get_xydata()).tolist() == [[1, 3], [2, 1], [3, 2]]
    assert np.asarray(first.lines[1].get_xydata()).tolist() == [[2, 1]]
    assert np.asarray(second.lines[0].get_xydata()).tolist() == [[5, 3], [7, 2]]
    assert len(second.lines[1].get_xdata()) == 0  # type: ignore[arg-type]


def test_slices_are_of_eight_of_twenty_parameters() -> None:
    figure = plot_slices(make_wide(), [RMSE])
    assert len(figure.axes) == 8
    assert len({title(axes) for axes in figure.axes}) == 8  # long names that begin alike can be told apart


def test_a_truth_value_is_a_category() -> None:
    (axes,) = plot_slices(make_at([{"a": True}, {"a": False}]), [RMSE]).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["False", "True"]


def test_parallel_coordinates_place_what_a_trial_lacks_apart() -> None:
    figure = plot_parallel(make_at([{"a": 1.0, "b": 10}, {"a": 2.0}, {"a": 3.0, "b": 20}]), [RMSE])
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["1", "2", "3", "not set", "10", "20", "0", "1", "2"]
    rows = [np.asarray(line)[:, 0].tolist() for line in figure.axes[0].collections[0].get_segments()]  # type: ignore[attr-defined]
    assert rows[-1] == [0, pytest.approx(0.2), 0] and rows[1] == [0.5, 0, 0.5]


def test_parallel_coordinates_draw_the_best_of_the_metrics_direction_on_top() -> None:
    figure = plot_parallel(make_at([{"a": 1.0}, {"a": 2.0}]), [R2])
    assert figure.axes[0].collections[0].get_segments()[-1][0][0] == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize(
    ("trials", "text"),
    [
        ([], "There is no trial yet."),
        (make_trials(12, state="failed"), "No trial has a value yet: 12 failed."),
        (make_trials(1000, state="pruned"), "No trial has a value yet: 1,000 pruned."),
        (make_at([{"a": 1}]), "Only one trial is complete"),
        (make_at([{"a": 1}, {"a": 1}]), "between the 2 complete trials."),
    ],
)
def test_says_why_there_is_no_figure(plot: Callable[..., Figure], trials: list[Trial], text: str) -> None:
    figure = plot(trials, [RMSE])
    assert not figure.axes and text in figure.texts[0].get_text()


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("trials", [make_trials(2), make_trials(3), make_trials(32), make_trials(1000), make_wide(1000)])
def test_is_small_with_any_number_of_trials(plot: Callable[..., Figure], trials: list[Trial]) -> None:
    picture = draw_picture(plot(trials, [RMSE], importances=IMPORTANCES))
    assert max(len(picture.svg), len(picture.png)) < 100_000


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("factor", [1e-300, 1e12, 1e300, -1e300])
def test_draws_values_and_points_of_any_size(plot: Callable[..., Figure], factor: float) -> None:
    points = [{"a": factor * (n + 1), "b": -factor * n, "c": 5e-324 * n} for n in range(20)]
    assert draw_picture(plot(make_at(points, [factor * (n % 7) for n in range(20)]), [RMSE])).alt
