from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tests.support.figures import CURVES, check_picture, legend, make_fit, make_table, title

from boostlab.display.figures import make_axes
from boostlab.training.plots import plot_learning_curves, plot_target


def learning_curves() -> Figure:
    return plot_learning_curves(make_fit(CURVES))


def target_quantity() -> Figure:
    return plot_target(make_table([1.0, 2.0, 2.5]))


def target_classes() -> Figure:
    return plot_target(make_table(["no", "yes", "yes"]))


@pytest.mark.parametrize("draw", [target_quantity, target_classes, learning_curves])
def test_draws_a_picture_without_a_global_figure(draw: Callable[[], Figure]) -> None:
    check_picture(draw())


def test_draws_the_classes_of_a_target_in_order() -> None:
    (axes,) = plot_target(make_table(["yes", "no", "yes", "$a_b$"])).axes

    assert [text.get_text() for text in axes.get_xticklabels()] == [r"\$a_b\$", "no", "yes"]
    assert [patch.get_height() for patch in axes.patches] == [1, 1, 2]  # type: ignore[attr-defined]


def test_draws_the_distribution_of_a_quantity_with_its_mean() -> None:
    (axes,) = target_quantity().axes

    assert sum(patch.get_height() for patch in axes.patches) == 3  # type: ignore[attr-defined]
    assert title(axes) == "3 rows with price 1.833 ± 0.624"


def test_marks_the_models_last_round_counted_from_one() -> None:
    (axes,) = learning_curves().axes
    train, valid, line, point = axes.lines

    assert train.get_xydata().tolist() == [[1, 3.0], [2, 2.0], [3, 1.0], [4, 0.5]]  # type: ignore[union-attr]
    assert list(np.asarray(valid.get_ydata())) == CURVES["valid_rmse"]
    assert np.asarray(line.get_xdata()).tolist() == [2, 2]
    assert np.asarray(point.get_data()).ravel().tolist() == [2, 2.0]
    assert legend(axes) == ["train", "valid", "the model's last round"]
    assert title(axes) == "Learning curves: the model has 2 rounds, valid rmse 2"


def test_counts_each_row_by_its_weight() -> None:
    weight = [1.0, 3.0, 1.0, 5.0]
    (quantity,) = plot_target(make_table([1.0, 2.0, 3.0, 4.0], weight)).axes
    (classes,) = plot_target(make_table(["b", "a", "b", "a"], weight)).axes

    assert title(quantity) == "4 rows with price 3.00 ± 1.10"
    assert sum(patch.get_height() for patch in quantity.patches) == pytest.approx(10)  # type: ignore[attr-defined]
    assert [patch.get_height() for patch in classes.patches] == [8, 2]  # type: ignore[attr-defined]
    assert {quantity.get_ylabel(), classes.get_ylabel()} == {"rows, by weight"}


PANELS: dict[str, Callable[[Axes], Figure]] = {
    "target": lambda axes: plot_target(make_table([1.0, 2.0]), axes=axes),
    "curves": lambda axes: plot_learning_curves(make_fit(CURVES), axes=axes),
}


@pytest.mark.parametrize("draw", PANELS.values(), ids=PANELS)
def test_draws_into_axes_of_any_figure(draw: Callable[[Axes], Figure]) -> None:
    axes = make_axes(4.0)
    assert draw(axes) is axes.figure
    assert title(axes) and axes.has_data()
