"""The figure of a metric over two parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.figures import check_picture
from tests.support.trials import IMPORTANCES, R2, RMSE, USUAL, make_at, make_trials, make_wide

from boostlab.display.pictures import draw_picture
from boostlab.sweep.contour import plot_contour
from boostlab.sweep.trial import Trial


def test_contour_is_a_surface_over_the_two_most_important_parameters() -> None:
    figure = plot_contour(USUAL, [RMSE], importances=IMPORTANCES)
    axes, bar = figure.axes
    draw_picture(figure)
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == ("eta", "max_depth", "log")
    assert type(axes.collections[0]).__name__ == "QuadContourSet"
    star = next(line for line in axes.lines if line.get_marker() == "*")
    best = min((trial for trial in USUAL if trial.state == "complete"), key=lambda trial: trial.values)
    assert np.asarray(star.get_xydata()).tolist() == [[best.point["eta"], best.point["max_depth"]]]
    ticks = [float(text.get_text()) for text in bar.get_yticklabels()]
    assert ticks == sorted(ticks, reverse=True)  # the best on top
    assert "coloured by rank" in bar.get_ylabel()


def test_the_surface_is_best_where_the_trials_are() -> None:
    random = np.random.default_rng(0)
    points = [{"a": a, "b": b} for a, b in random.uniform(-1, 1, (200, 2)).tolist()]
    trials = make_at(points, [-((point["a"] - 0.5) ** 2) - (point["b"] + 0.5) ** 2 for point in points])
    surface: Any = plot_contour(trials, [R2]).axes[0].collections[0]
    best = np.concatenate([path.vertices for path in surface.get_paths()[-1:]])
    assert np.abs(best.mean(axis=0) - [0.5, -0.5]).max() < 0.25


@pytest.mark.parametrize("trials", [USUAL[:4], make_wide()])
def test_contour_shows_trials_alone_where_no_surface_can_be(trials: list[Trial]) -> None:
    figure = plot_contour(trials, [RMSE], importances=IMPORTANCES)
    assert [type(item).__name__ for item in figure.axes[0].collections] == ["PathCollection"]


def test_contour_of_equal_values_has_no_colours() -> None:
    figure = plot_contour(make_trials(20, value=1.0), [RMSE])
    assert len(figure.axes) == 1
    check_picture(figure)


def test_contour_of_points_on_a_line() -> None:
    trials = make_at([{"a": float(n), "b": 2.0 * n} for n in range(20)])
    assert draw_picture(plot_contour(trials, [RMSE])).alt


def test_contour_takes_two_parameters() -> None:
    assert "Fewer than 2 parameters differ" in plot_contour(make_at([{"a": 1}, {"a": 2}]), [RMSE]).texts[0].get_text()
    apart = make_at([{"a": 1}, {"a": 2}, {"b": 1}, {"b": 2}])
    assert plot_contour(apart, [RMSE]).texts[0].get_text() == "a and b do not both differ in one set of trials."


def test_the_surface_leaves_places_far_from_all_trials_free() -> None:
    random = np.random.default_rng(0)
    points = [{"a": a + side, "b": b + side} for side in (5.0, 20.0) for a, b in random.random((50, 2)).tolist()]
    surface: Any = plot_contour(make_at(points), [RMSE]).axes[0].collections[0]
    covered = [any(path.contains_point((place, place)) for path in surface.get_paths()) for place in (5.5, 13.0, 20.5)]
    assert covered == [True, False, True]
