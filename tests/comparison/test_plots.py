from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from boostlab.comparison.paired import Difference
from boostlab.comparison.plots import plot_curves, plot_difference, plot_importances, plot_parallel, plot_parameters, plot_spread
from boostlab.display.figures import ORANGE

VARYING: dict[str, list[Any]] = {
    "eta": [0.001, 0.1, 0.3],
    "grow_policy": ["lossguide", "$x_{$", "depthwise"],
    "max_depth": [2, None, 4],
    "seed": [0, 1, 2],
}
VALUES = [1.0, 2.0, 4.0]
DIFFERENCE = Difference("rmse", 3.0, 2.0, -1.5, -0.5, 88, "better", "Made.", "")


def drawn(figure: Figure) -> str:
    """Draw a figure for real, and return all text on it."""
    figure.savefig(io.BytesIO(), format="png")
    return " ".join(text.get_text() for text in figure.findobj(lambda item: hasattr(item, "get_text")))  # type: ignore[attr-defined]


def test_spread_shows_each_run_and_the_mean_over_seeds() -> None:
    figure = plot_spread([("eta 0.1", [1.0, 3.0]), ("$", [2.0])], metric="test_rmse")

    words = drawn(figure)
    assert (
        "eta 0.1" in words
        and "n = 2" in words
        and "test_rmse (unit of the target)" in words
        and "mean ± standard deviation" in words
    )
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["one run", "mean ± standard deviation over seeds"]


def test_parallel_coordinates_take_numbers_gaps_and_words() -> None:
    words = drawn(plot_parallel(VARYING, VALUES, metric="test_rmse"))

    assert "lossguide" in words and "eta" in words


def test_parallel_coordinates_draw_the_best_run_last_thick_and_orange() -> None:
    (lines,) = plot_parallel(VARYING, VALUES, metric="test_rmse").axes[0].collections
    assert np.asarray(lines.get_linewidth()).tolist() == [1.5, 1.5, 4.0]
    assert to_hex(np.asarray(lines.get_edgecolor())[-1]).upper() == ORANGE


def test_each_hyperparameter_has_an_axis_of_its_kind() -> None:
    figure = plot_parameters(VARYING, VALUES, metric="test_r2")
    drawn(figure)

    assert [axes.get_title(loc="left") for axes in figure.axes] == ["eta", "grow_policy", "max_depth", "seed"]
    assert figure.axes[0].get_xscale() == "log"


def test_curves_mark_the_best_round_in_the_metrics_direction() -> None:
    words = drawn(plot_curves({"valid_auc": {"up": [0.5, 0.9, 0.8]}, "valid_rmse": {"down": [3.0, 1.0, 2.0]}}))

    assert "up: 0.9 at round 2" in words and "down: 1 at round 2" in words


def test_importances_stand_side_by_side() -> None:
    words = drawn(plot_importances({"one": {f"x{n}": 1 / 12 for n in range(12)}, "two": {"x0": 1.0}}))

    assert "largest 10 of 12" in words and "one" in words and "two" in words


def test_difference_says_which_side_is_better() -> None:
    assert "further left is better" in drawn(plot_difference(DIFFERENCE))


@pytest.mark.parametrize(
    "figure",
    [
        plot_spread([], metric="m"),
        plot_parallel({}, [1.0], metric="m"),
        plot_parallel({}, [1.0, 2.0], metric="m"),
        plot_parameters({}, [1.0], metric="m"),
        plot_curves({}),
        plot_importances({}),
        plot_difference(None),
    ],
)
def test_says_that_there_is_too_little_to_draw(figure: Figure) -> None:
    assert len(drawn(figure)) > 10


def test_parallel_coordinates_draw_some_of_many_runs_and_of_many_parameters() -> None:
    figure = plot_parallel({f"p{n}": [*range(1000)] for n in range(9)}, [*map(float, range(1000))], metric="test_rmse")
    (lines,) = figure.axes[0].collections
    segments: Any = lines.get_segments()  # type: ignore[attr-defined]
    assert len(segments) == 150 and segments[-1][0][0] == 0  # the best on top
    title = figure.axes[0].get_title(loc="left").replace("\n", " ")
    assert title.startswith("7 of 9 hyperparameters and metric of 150 of 1,000 runs")


def test_parallel_coordinates_place_what_a_run_lacks_apart() -> None:
    words = [text.get_text() for text in plot_parallel({"a": [2, None, 4]}, VALUES, metric="test_rmse").axes[0].texts]
    assert words[:3] == ["not set", "2", "4"]
