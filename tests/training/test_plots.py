from __future__ import annotations

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boostlab.training.plots import plot_classification, plot_importance, plot_learning_curves, plot_regression

CURVES = {"train_rmse": [3.0, 2.0, 1.0, 0.5], "valid_rmse": [3.0, 2.0, 2.5, 2.75]}


def learning_curves() -> Figure:
    return plot_learning_curves(CURVES, metric="rmse", best_iteration=1)


def importance(count: int = 3) -> Figure:
    return plot_importance({f"f{n}": float(n) for n in range(count)})


def regression() -> Figure:
    return plot_regression([1.0, 2.0, 3.0, 4.0], [0.5, 2.5, 2.5, 4.5], target="price")


def classification(count: int = 3) -> Figure:
    true = list(range(count)) * 4
    probabilities = np.random.default_rng(0).dirichlet(np.ones(count), len(true))
    return plot_classification(true, probabilities, labels=[f"class {n}" for n in range(count)])


def legend(axes: Axes) -> list[str]:
    return [str(text) for text in axes.get_legend_handles_labels()[1]]


@pytest.mark.parametrize("draw", [learning_curves, importance, regression, classification])
def test_draws_a_picture_off_the_global_canvas(draw: type[Figure]) -> None:
    picture = io.BytesIO()
    figure = draw()
    figure.savefig(picture, format="png", dpi=50)

    assert picture.getvalue().startswith(b"\x89PNG")
    assert plt.get_fignums() == []
    assert all(axes.get_title() and axes.get_xlabel() for axes in figure.axes if axes.get_label() != "<colorbar>")


def test_marks_the_best_round_counted_from_one() -> None:
    (axes,) = learning_curves().axes
    train, valid, line, point = axes.lines

    assert train.get_xydata().tolist() == [[1, 3.0], [2, 2.0], [3, 1.0], [4, 0.5]]  # type: ignore[union-attr]
    assert list(np.asarray(valid.get_ydata())) == CURVES["valid_rmse"]
    assert np.asarray(line.get_xdata()).tolist() == [2, 2]
    assert np.asarray(point.get_data()).ravel().tolist() == [2, 2.0]
    assert legend(axes) == ["train rmse", "valid rmse", "best round 2: 2"]


@pytest.mark.parametrize(
    ("count", "bars", "title"), [(3, 3, "Feature importance"), (25, 20, "Feature importance (largest 20 of 25)")]
)
def test_draws_the_largest_gains_with_the_largest_on_top(count: int, bars: int, title: str) -> None:
    (axes,) = importance(count).axes
    names = [text.get_text() for text in axes.get_yticklabels()]

    assert names == [f"f{n}" for n in range(count - bars, count)]
    assert [patch.get_width() for patch in axes.patches] == [float(n) for n in range(count - bars, count)]  # type: ignore[attr-defined]
    assert axes.get_title() == title


def test_draws_predictions_and_residuals() -> None:
    scatter, histogram = regression().axes

    assert np.asarray(scatter.lines[0].get_data()).tolist() == [[0.5, 4.5], [0.5, 4.5]]
    assert np.asarray(scatter.lines[1].get_data()).tolist() == [[1, 2, 3, 4], [0.5, 2.5, 2.5, 4.5]]
    assert (scatter.get_xlabel(), scatter.get_ylabel()) == ("true price", "predicted price")
    assert sum(patch.get_height() for patch in histogram.patches) == 4  # type: ignore[attr-defined]
    assert legend(histogram) == ["mean 0 ± 0.5"]


def test_draws_curves_of_the_second_of_two_classes() -> None:
    second = np.array([0.1, 0.2, 0.9, 0.6])
    figure = plot_classification([0, 0, 0, 1], np.column_stack([1 - second, second]), labels=["no", "yes"])
    roc, recall, confusion = figure.axes[:3]

    assert legend(roc) == ["yes (AUC 0.667)", "chance"]
    assert legend(recall) == ["yes (AP 0.500)"]
    assert [text.get_text() for text in confusion.texts] == ["2", "1", "0", "1"]
    assert np.asarray(confusion.images[0].get_array()) == pytest.approx(np.array([[2 / 3, 1 / 3], [0, 1]]))
    for ticks in (confusion.get_xticklabels(), confusion.get_yticklabels()):
        assert [text.get_text() for text in ticks] == ["no", "yes"]


def test_tells_the_curves_of_many_classes_apart() -> None:
    lines = classification(20).axes[0].lines[:-1]

    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 20


@pytest.mark.parametrize(("count", "numbers"), [(20, 400), (21, 0)])
def test_writes_counts_only_where_they_can_be_read(count: int, numbers: int) -> None:
    assert len(classification(count).axes[2].texts) == numbers
