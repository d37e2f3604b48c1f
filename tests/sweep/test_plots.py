"""Figures of the course of a sweep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.support.figures import check_picture, legend, title
from tests.support.trials import R2, RMSE, SECONDS, make_trials

from boostlab.display.pictures import draw_picture
from boostlab.sweep.plots import plot_history, plot_reports, plot_timeline
from boostlab.sweep.trial import Trial

MADE = [
    Trial(0, {}, "complete", (5.0,), reason="champion", start_ms=1000, end_ms=3000, worker="a:0"),
    Trial(1, {}, "pruned", reports={1: 9.0, 2: 8.0}, start_ms=1000, end_ms=2000, worker="a:10"),
    Trial(2, {}, "complete", (3.0,), {1: 4.0, 2: 3.0}, (2.5, 3.5), start_ms=2000, end_ms=5000, worker="a:10"),
    Trial(3, {}, "failed", start_ms=3000, end_ms=4000, worker="a:2"),
    Trial(4, {}, "complete", (4.0,), start_ms=5000, end_ms=5000, worker="a:0"),
    Trial(5, {}, "running", reports={1: 6.0}, start_ms=4000, worker="a:2"),
]


def lines(figure: Figure) -> dict[str, Any]:
    """Return the points of each line of the first axes by its label."""
    return {str(line.get_label()): np.asarray(line.get_xydata()).tolist() for line in figure.axes[0].lines}


def message(figure: Figure) -> str:
    assert not figure.axes
    return figure.texts[0].get_text()


def test_history_shows_each_state_and_the_best_so_far() -> None:
    figure = plot_history(MADE, [RMSE])
    check_picture(figure)
    drawn = lines(figure)
    assert drawn["complete"] == [[0, 5], [2, 3], [4, 4]]
    assert drawn["pruned"] == [[1, 8]]
    assert drawn["best so far"] == [[0, 5], [2, 3], [5, 3]]
    assert drawn["its 95 % interval"] == [[2, 2.5], [2, 3.5]]
    assert drawn["failed"] == [[3, 0]]
    assert [point[1] for point in drawn["trial 0 (champion)"]] == [5, 5]
    assert title(figure.axes[0]) == "best_valid_rmse of 6 trials: the best is 3, in trial 2"
    assert figure.axes[0].get_ylabel().replace("\n", " ") == "best_valid_rmse (unit of the target), lower is better"


def test_history_follows_the_direction_of_each_metric() -> None:
    trials = [Trial(number, {}, "complete", (float(number), float(number), 1.0)) for number in range(3)]
    figure = plot_history(trials, [RMSE, R2, SECONDS])
    check_picture(figure)
    assert [title(axes).rpartition(" ")[2] for axes in figure.axes] == ["0", "2", "0"]


def test_history_leaves_values_that_are_far_worse_on_the_edge() -> None:
    trials = [*(Trial(number, {}, "complete", (0.5 + number / 100,)) for number in range(30)), Trial(30, {}, "complete", (-1e9,))]
    figure = plot_history(trials, [R2])
    assert "1 far worse value drawn on the edge" in figure.axes[0].get_xlabel()
    low, high = figure.axes[0].get_ylim()
    assert -1 < low < 0.5 and high < 1
    assert low <= lines(figure)["complete"][30][1]


def test_history_of_values_over_decades_is_logarithmic() -> None:
    trials = [Trial(number, {}, "complete", (10.0**number,)) for number in range(6)]
    assert plot_history(trials, [RMSE]).axes[0].get_yscale() == "log"


def test_history_of_close_values_has_ticks_that_differ() -> None:
    trials = [Trial(number, {}, "complete", (53.0 + number * 1e-6,)) for number in range(6)]
    figure = plot_history(trials, [RMSE])
    check_picture(figure)
    ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(set(ticks)) == len(ticks) and figure.axes[0].yaxis.get_offset_text().get_text() == ""


def test_history_of_pruned_trials_says_that_none_is_complete() -> None:
    figure = plot_history(MADE[1:2], [RMSE, R2])
    check_picture(figure)
    assert title(figure.axes[0]) == "best_valid_rmse: no trial is complete yet"
    assert legend(figure.axes[0]) == ["pruned"]


def test_reports_show_pruned_trials_and_the_best() -> None:
    figure = plot_reports(MADE, [RMSE])
    check_picture(figure)
    assert title(figure.axes[0]) == "Reports during 3 trials; 1 of all 6 were pruned"
    assert lines(figure)["the best: trial 2"] == [[1, 4], [2, 3]]
    assert {"pruned", "running", "complete"} <= set(legend(figure.axes[0]))
    pruned: Any = figure.axes[0].collections[0]
    assert pruned.get_segments()[0].tolist() == [[1, 9], [2, 8]]


def test_reports_draw_some_of_many_trials() -> None:
    figure = plot_reports(make_trials(1000), [RMSE])
    assert title(figure.axes[0]).startswith("Reports during 120 of 929 trials")
    drawn: Any = figure.axes[0].collections
    assert sum(len(item.get_segments()) for item in drawn) == 120


def test_reports_leave_out_what_is_not_a_number() -> None:
    trial = replace(MADE[2], reports={1: float("nan"), 2: 3.0, 3: float("inf")})
    assert lines(plot_reports([trial], [RMSE]))["the best: trial 2"] == [[2, 3]]


def test_timeline_has_a_line_per_worker_and_a_bar_per_trial() -> None:
    figure = plot_timeline(MADE)
    check_picture(figure)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a:0", "a:2", "a:10"]
    bars = {(round(bar.get_x(), 3), round(bar.get_width(), 3), round(bar.get_y() + 0.35)) for bar in axes.patches}  # type: ignore[attr-defined]
    assert bars == {(0, 2, 0), (0, 1, 2), (1, 3, 2), (2, 1, 1), (4, 0, 0), (3, 1, 1)}
    assert legend(axes) == ["complete (3)", "pruned (1)", "failed (1)", "running (1)"]
    assert title(axes) == "6 trials on 3 workers, busy for 67% of the time"
    assert axes.get_xlabel() == "time since the first start (s)"


def test_timeline_of_hours_is_in_hours() -> None:
    trials = [replace(MADE[0], number=number, end_ms=1000 + 3_600_000 * 5) for number in range(2)]
    assert plot_timeline(trials).axes[0].get_xlabel().endswith("(h)")


@pytest.mark.parametrize("trials", [[], [MADE[3]], [MADE[5]]])
def test_says_why_there_is_no_value(trials: list[Trial]) -> None:
    text = message(plot_history(trials, [RMSE]))
    assert text == ("There is no trial yet." if not trials else f"No trial has a value yet: 1 {trials[0].state}.")


def test_says_why_there_are_no_reports_and_no_bars() -> None:
    assert "No trial reported" in message(plot_reports(MADE[:1], [RMSE]))
    assert message(plot_timeline([replace(MADE[0], start_ms=0)])) == "No trial has started."
    assert message(plot_timeline([])) == "There is no trial yet."


@pytest.mark.parametrize("count", [1, 2, 3, 32, 1000])
@pytest.mark.parametrize("state", ["complete", "pruned", "failed", "running", None])
def test_draws_any_number_of_trials(count: int, state: Any) -> None:
    trials = make_trials(count, state=state)
    for figure in (plot_history(trials, [RMSE]), plot_reports(trials, [RMSE]), plot_timeline(trials)):
        picture = draw_picture(figure)
        assert picture.alt and max(len(picture.svg), len(picture.png)) < 100_000


@pytest.mark.parametrize("factor", [1e-300, 1e-9, 1e12, 1e300, -1e300])
def test_draws_values_of_any_size(factor: float) -> None:
    trials = make_trials(12, factor=factor)
    for figure in (plot_history(trials, [RMSE]), plot_reports(trials, [R2])):
        check_picture(figure)
