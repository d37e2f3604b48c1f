from __future__ import annotations

import io
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boostlab.data.splits import Part
from boostlab.data.table import Roles, Table
from boostlab.models.contract import Contract, Label, Task
from boostlab.training.fit import Fit
from boostlab.training.metrics import Evaluation
from boostlab.training.plots import plot_importance, plot_learning_curves, plot_target, plot_test

CURVES = {"train_rmse": [3.0, 2.0, 1.0, 0.5], "valid_rmse": [3.0, 2.0, 2.5, 2.75]}


def make_table(target: list[Any], weight: list[float] | None = None) -> Table:
    task: Task = "classification" if isinstance(target[0], str) else "regression"
    columns = {"price": target} | ({"w": weight} if weight else {})
    roles = Roles(target="price", weight="w" if weight else "")
    return Table(pa.table(columns), roles, (), name="made", source="here", task=task)


def learning_curves() -> Figure:
    return plot_learning_curves(Fit(cast(Any, None), CURVES, "rmse", best_iteration=1, fit_time_s=1.0, ending=""))


def importance(count: int = 3) -> Figure:
    return plot_importance({f"f{n}": float(n) for n in range(count)})


def evaluate(
    target: list[Any],
    answers: np.ndarray,
    labels: tuple[Label, ...] = (),
    *,
    weight: list[float] | None = None,
    quantiles: tuple[float, ...] = (),
) -> Figure:
    table = make_table(target, weight)
    part = Part(table, np.arange(len(table)), table.target, None if weight is None else np.array(weight, np.float32))
    return plot_test(Evaluation(part, Contract(table.task, labels, (), quantiles=quantiles), answers, {}, {}))


def regression() -> Figure:
    return evaluate([1.0, 2.0, 3.0, 4.0], np.array([0.5, 2.5, 2.5, 4.5]))


def quantiles() -> Figure:
    answers = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 5.0], [2.0, 4.0, 6.0]])
    return evaluate([2.5, 0.5, 7.0], answers, quantiles=(0.1, 0.5, 0.9))


def quantile() -> Figure:
    return evaluate([2.5, 0.5, 7.0], np.array([2.0, 1.0, 4.0]), quantiles=(0.8,))


def classification(count: int = 3) -> Figure:
    labels = [f"class {n:02d}" for n in range(count)]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(count), count * 4)
    return evaluate(labels * 4, probabilities, tuple(labels))


def target_quantity() -> Figure:
    return plot_target(make_table([1.0, 2.0, 2.5]))


def target_classes() -> Figure:
    return plot_target(make_table(["no", "yes", "yes"]))


def legend(axes: Axes) -> list[str]:
    return [str(text) for text in axes.get_legend_handles_labels()[1]]


@pytest.mark.parametrize(
    "draw", [target_quantity, target_classes, learning_curves, importance, regression, quantiles, quantile, classification]
)
def test_draws_a_picture_without_a_global_figure(draw: type[Figure]) -> None:
    picture = io.BytesIO()
    figure = draw()
    figure.savefig(picture, format="png", dpi=50)

    assert picture.getvalue().startswith(b"\x89PNG")
    assert plt.get_fignums() == []
    assert all(axes.get_title() and axes.get_xlabel() for axes in figure.axes if axes.get_label() != "<colorbar>")


def test_draws_the_classes_of_a_target_in_order() -> None:
    (axes,) = plot_target(make_table(["yes", "no", "yes", "$a_b$"])).axes

    assert [text.get_text() for text in axes.get_xticklabels()] == [r"\$a_b\$", "no", "yes"]
    assert [patch.get_height() for patch in axes.patches] == [1, 1, 2]  # type: ignore[attr-defined]


def test_draws_the_distribution_of_a_quantity_with_its_mean() -> None:
    (axes,) = target_quantity().axes

    assert sum(patch.get_height() for patch in axes.patches) == 3  # type: ignore[attr-defined]
    assert legend(axes) == ["mean 1.833 ± 0.6236"]


def test_marks_the_models_last_round_counted_from_one() -> None:
    (axes,) = learning_curves().axes
    train, valid, line, point = axes.lines

    assert train.get_xydata().tolist() == [[1, 3.0], [2, 2.0], [3, 1.0], [4, 0.5]]  # type: ignore[union-attr]
    assert list(np.asarray(valid.get_ydata())) == CURVES["valid_rmse"]
    assert np.asarray(line.get_xdata()).tolist() == [2, 2]
    assert np.asarray(point.get_data()).ravel().tolist() == [2, 2.0]
    assert legend(axes) == ["train rmse", "valid rmse", "model of round 2: 2"]


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

    assert np.asarray(scatter.collections[0].get_offsets()).tolist() == [[0.5, 1], [2.5, 2], [2.5, 3], [4.5, 4]]
    assert (scatter.get_xlabel(), scatter.get_ylabel()) == ("predicted price", "true price")
    assert sum(patch.get_height() for patch in histogram.patches) == 4  # type: ignore[attr-defined]
    assert legend(histogram) == ["mean 0 ± 0.5"]


def test_draws_quantiles_in_the_order_of_the_median_and_their_calibration() -> None:
    band, calibration = quantiles().axes
    middle, true = band.lines[0], band.collections[1]

    assert np.asarray(middle.get_ydata()).tolist() == [1, 2, 4]
    assert np.asarray(true.get_offsets()).tolist() == [[0, 0.5], [1, 2.5], [2, 7]]
    assert legend(band) == ["quantiles 0.1 to 0.9", "quantile 0.5", "true"]
    points = calibration.lines[1].get_xydata()
    assert np.asarray(points) == pytest.approx(np.array([[0.1, 0], [0.5, 1 / 3], [0.9, 2 / 3]]))


def test_a_figure_counts_each_row_by_its_weight() -> None:
    weight = [1.0, 3.0, 1.0, 5.0]
    (quantity,) = plot_target(make_table([1.0, 2.0, 3.0, 4.0], weight)).axes
    (classes,) = plot_target(make_table(["b", "a", "b", "a"], weight)).axes
    scatter, residuals = evaluate([1.0, 2.0, 3.0, 4.0], np.array([0.0, 2.0, 3.0, 2.0]), weight=weight).axes

    assert legend(quantity) == ["mean 3 ± 1.095"]
    assert sum(patch.get_height() for patch in quantity.patches) == pytest.approx(10)  # type: ignore[attr-defined]
    assert [patch.get_height() for patch in classes.patches] == [8, 2]  # type: ignore[attr-defined]
    assert {quantity.get_ylabel(), classes.get_ylabel()} == {"rows, by weight"}
    sizes = scatter.collections[0].get_sizes()  # type: ignore[attr-defined]
    assert np.asarray(sizes) == pytest.approx(16 * np.array(weight) / 2.5)
    assert legend(residuals)[0].startswith("mean 1.1 ")  # (1 + 2 × 5) / 10


def test_curves_and_confusion_count_each_row_by_its_weight() -> None:
    second = np.array([0.1, 0.7, 0.9, 0.6])
    roc, recall, confusion = evaluate(
        ["no", "no", "yes", "yes"], np.column_stack([1 - second, second]), ("no", "yes"), weight=[1.0, 3.0, 1.0, 1.0]
    ).axes[:3]

    assert legend(roc)[0] == "yes (AUC 0.625)"  # of the pairs' weights, 1 + 4 of 8 are in order
    assert legend(recall) == ["yes (AP 0.700)"]  # (1 + 2 / 5) / 2
    assert [text.get_text() for text in confusion.texts] == ["1", "3", "0", "2"]
    assert confusion.get_title() == "Confusion (test rows, by weight)"


def test_draws_curves_of_the_second_of_two_classes() -> None:
    second = np.array([0.1, 0.2, 0.9, 0.6])
    figure = evaluate(["no", "no", "no", "yes"], np.column_stack([1 - second, second]), ("no", "yes"))
    roc, recall, confusion = figure.axes[:3]

    assert legend(roc) == ["yes (AUC 0.667)", "chance"]
    assert legend(recall) == ["yes (AP 0.500)"]
    assert [text.get_text() for text in confusion.texts] == ["2", "1", "0", "1"]
    assert np.asarray(confusion.collections[0].get_array()).ravel() == pytest.approx([2 / 3, 1 / 3, 0, 1])
    for ticks in (confusion.get_xticklabels(), confusion.get_yticklabels()):
        assert [text.get_text() for text in ticks] == ["no", "yes"]


def test_the_curves_of_many_classes_differ() -> None:
    lines = classification(10).axes[0].lines[:-1]

    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 10


@pytest.mark.parametrize(("count", "numbers"), [(20, 400), (21, 0)])
def test_writes_counts_of_at_most_twenty_classes(count: int, numbers: int) -> None:
    assert len(classification(count).axes[2].texts) == numbers


def test_of_many_classes_the_curves_of_the_lowest_are_drawn_and_as_many_labels_as_fit() -> None:
    draw = np.random.default_rng(0)
    labels = tuple(f"class {number:03d}" for number in range(200))
    codes = np.arange(600) % 200
    answers = draw.random((600, 200)) + np.eye(200)[codes] * np.linspace(0, 1, 200)
    roc, recall, confusion, *_ = evaluate(
        [labels[code] for code in codes], answers / answers.sum(axis=1, keepdims=True), labels
    ).axes
    for axes in (roc, recall):
        legend = axes.get_legend()
        assert legend is not None and len(legend.get_texts()) <= 11
    assert roc.get_title() == "ROC, the 10 lowest of 200 classes"
    assert len(confusion.get_xticklabels()) < 60
