from __future__ import annotations

import numpy as np
from tests.support.figures import check_picture, legend, title
from tests.support.trials import R2, RMSE, SECONDS, make_trials

from boostlab.sweep.pareto import plot_pareto
from boostlab.sweep.trial import Trial

MADE = [
    Trial(number, {}, "complete", values)
    for number, values in enumerate([(1.0, 0.1, 3.0), (3.0, 0.9, 2.0), (2.0, 0.5, 1.0), (2.5, 0.4, 5.0), (3.0, 0.9, 4.0)])
]


def test_draws_the_front_as_a_line_and_the_others_grey() -> None:
    figure = plot_pareto(MADE, [RMSE, R2])
    check_picture(figure)
    (axes,) = figure.axes
    others, front = axes.lines
    assert np.asarray(front.get_xydata()).tolist() == [[1, 0.1], [2, 0.5], [3, 0.9], [3, 0.9]]
    assert front.get_linestyle() == "-" and np.asarray(others.get_xydata()).tolist() == [[2.5, 0.4]]
    assert title(axes) == "4 of 5 trials on the Pareto front"
    assert legend(axes) == ["dominated by another trial", "Pareto front"]
    assert [text.get_text() for text in axes.texts] == ["trial 0", "trial 4"]
    assert "lower is better" in axes.get_xlabel() and "higher is" in axes.get_ylabel()


def test_draws_each_pair_of_three_metrics_without_a_line() -> None:
    figure = plot_pareto(MADE, [RMSE, R2, SECONDS])
    check_picture(figure)
    pairs = [(axes.get_xlabel().split()[0].strip(","), axes.get_ylabel().split()[0].strip(",")) for axes in figure.axes]
    assert pairs == [("best_valid_rmse", "valid_r2"), ("best_valid_rmse", "fit_time_s"), ("valid_r2", "fit_time_s")]
    assert {axes.lines[-1].get_linestyle() for axes in figure.axes} == {"None"}
    assert title(figure.axes[0]) == "3 of 5 trials on the Pareto front"


def test_draws_the_first_three_of_four_metrics_and_says_so() -> None:
    trials = [Trial(number, {}, "complete", (1.0, 2.0, 3.0, float(number))) for number in range(2)]
    figure = plot_pareto(trials, [RMSE, R2, SECONDS, SECONDS])
    assert len(figure.axes) == 3 and title(figure.axes[0]).endswith("1 more metric is not drawn")


def test_says_why_there_is_no_front() -> None:
    assert "takes two metrics" in plot_pareto(MADE, [RMSE]).texts[0].get_text()
    assert "12 failed" in plot_pareto(make_trials(12, state="failed"), [RMSE, R2]).texts[0].get_text()
