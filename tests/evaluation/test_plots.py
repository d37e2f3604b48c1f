from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from tests.support.colours import contrast, luminance
from tests.support.figures import check_picture, legend, make_evaluation, title

from boostlab.display import pictures
from boostlab.display.figures import make_axes
from boostlab.evaluation import class_plots, plots
from boostlab.evaluation.plots import plot_test
from boostlab.models.contract import Label


def evaluate(target: list[Any], answers: np.ndarray, labels: tuple[Label, ...] = (), **options: Any) -> Figure:
    return plot_test(make_evaluation(target, answers, labels, **options))


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


@pytest.mark.parametrize("draw", [regression, quantiles, quantile, classification])
def test_draws_a_picture_without_a_global_figure(draw: Callable[[], Figure]) -> None:
    check_picture(draw())


def test_draws_predictions_and_residuals() -> None:
    scatter, histogram = regression().axes

    assert np.asarray(scatter.collections[0].get_offsets()).tolist() == [[0.5, 1], [2.5, 2], [2.5, 3], [4.5, 4]]
    assert (scatter.get_xlabel(), scatter.get_ylabel()) == ("predicted price", "true price")
    assert sum(patch.get_height() for patch in histogram.patches) == 4  # type: ignore[attr-defined]
    assert title(histogram) == "Residuals 0.000 ± 0.500"
    assert legend(histogram) == ["mean", "no error"]


def test_draws_quantiles_in_the_order_of_the_median_and_their_calibration() -> None:
    band, calibration = quantiles().axes
    middle, true = band.lines[0], band.collections[1]

    assert np.asarray(middle.get_ydata()).tolist() == [1, 2, 4]
    assert np.asarray(true.get_offsets()).tolist() == [[0, 0.5], [1, 2.5], [2, 7]]
    assert legend(band) == ["0.1 to 0.9", "quantile 0.5", "true"]
    points = calibration.lines[1].get_xydata()
    assert np.asarray(points) == pytest.approx(np.array([[0.1, 0], [0.5, 1 / 3], [0.9, 2 / 3]]))


def test_a_figure_counts_each_row_by_its_weight() -> None:
    weight = [1.0, 3.0, 1.0, 5.0]
    scatter, residuals = evaluate([1.0, 2.0, 3.0, 4.0], np.array([0.0, 2.0, 3.0, 2.0]), weight=weight).axes

    sizes = scatter.collections[0].get_sizes()  # type: ignore[attr-defined]
    assert np.asarray(sizes) == pytest.approx(16 * np.array(weight) / 2.5)
    assert title(residuals).startswith("Residuals 1.100 ")  # (1 + 2 × 5) / 10


def test_curves_and_confusion_count_each_row_by_its_weight() -> None:
    second = np.array([0.1, 0.7, 0.9, 0.6])
    roc, recall, confusion = evaluate(
        ["no", "no", "yes", "yes"], np.column_stack([1 - second, second]), ("no", "yes"), weight=[1.0, 3.0, 1.0, 1.0]
    ).axes[:3]

    assert legend(roc)[0] == "yes (AUC 0.625)"  # of the pairs' weights, 1 + 4 of 8 are in order
    assert legend(recall) == ["yes (AP 0.700)"]  # (1 + 2 / 5) / 2
    assert [text.get_text() for text in confusion.texts] == ["1", "3", "2"]
    assert confusion.get_ylabel() == "true class, by weight"


def test_draws_curves_of_the_second_of_two_classes() -> None:
    second = np.array([0.1, 0.2, 0.9, 0.6])
    figure = evaluate(["no", "no", "no", "yes"], np.column_stack([1 - second, second]), ("no", "yes"))
    roc, recall, confusion = figure.axes[:3]

    assert legend(roc) == ["yes (AUC 0.667)", "chance"]
    assert legend(recall) == ["yes (AP 0.500)"]
    assert [text.get_text() for text in confusion.texts] == ["2", "1", "1"]
    assert np.ma.getdata(np.ma.asarray(confusion.collections[0].get_array())).ravel() == pytest.approx([2 / 3, 1 / 3, 0, 1])
    for ticks in (confusion.get_xticklabels(), confusion.get_yticklabels()):
        assert [text.get_text() for text in ticks] == ["no", "yes"]


def test_draws_how_often_probabilities_come_true_and_how_many_rows_have_them() -> None:
    second = np.array([0.12, 0.14, 0.93, 0.95])
    answers = np.column_stack([1 - second, second])
    evaluation = make_evaluation(["no", "yes", "yes", "yes"], answers, ("no", "yes"))
    axes = class_plots.plot_reliability(evaluation).axes[0]
    bars: Any = axes.patches[0]

    assert np.asarray(axes.lines[1].get_xydata()) == pytest.approx(np.array([[0.13, 0.5], [0.94, 1.0]]))
    assert bars.get_data()[0].tolist() == [0, 0.5, 0, 0, 0, 0, 0, 0, 0, 0.5]
    error = evaluation.reliability
    assert title(axes).replace("\n", " ") == f"Calibration error {error.value:.3f} ({error.low:.3f} to {error.high:.3f})"
    assert error.value == pytest.approx((0.37 + 0.06) / 2)
    assert axes.get_xlabel() == "probability of yes" and legend(axes) == ["share of rows", "came true"]


def test_confusion_counts_the_classes_that_the_threshold_gives() -> None:
    second = np.array([0.1, 0.4, 0.6, 0.9])
    made = make_evaluation(["no", "no", "yes", "yes"], np.column_stack([1 - second, second]), ("no", "yes"))
    low = replace(made, contract=replace(made.contract, threshold=0.3))

    assert [text.get_text() for text in class_plots.plot_confusion(made).axes[0].texts] == ["2", "2"]
    assert [text.get_text() for text in class_plots.plot_confusion(low).axes[0].texts] == ["1", "1", "2"]


def test_the_curves_of_many_classes_differ() -> None:
    lines = classification(10).axes[0].lines[:-1]

    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 10


@pytest.mark.parametrize(("count", "written"), [(20, True), (21, False)])
def test_writes_counts_of_at_most_twenty_classes(count: int, written: bool) -> None:
    assert bool(classification(count).axes[2].texts) == written


def test_the_curves_of_many_classes_share_one_legend_beside_the_confusion() -> None:
    roc, recall, _, shared, _ = classification(3).axes
    entry = shared.get_legend()

    assert roc.get_legend() is None and recall.get_legend() is None and entry is not None
    texts = [text.get_text() for text in entry.get_texts()]
    areas = [
        (one.split(" (")[1][:-1], other.split(" (")[1][:-1]) for one, other in zip(legend(roc), legend(recall), strict=False)
    ]
    assert texts == [*(f"class {n:02d}\n{roc}, {recall}" for n, (roc, recall) in enumerate(areas)), "chance"]


def test_of_many_classes_the_curves_of_the_lowest_are_drawn_and_as_many_labels_as_fit() -> None:
    draw = np.random.default_rng(0)
    labels = tuple(f"class {number:03d}" for number in range(200))
    codes = np.arange(600) % 200
    answers = draw.random((600, 200)) + np.eye(200)[codes] * np.linspace(0, 1, 200)
    roc, recall, confusion, shared, _ = evaluate(
        [labels[code] for code in codes], answers / answers.sum(axis=1, keepdims=True), labels
    ).axes

    assert len(legend(roc)) == len(legend(recall)) + 1 == 11
    assert title(shared) == "The 10 lowest\nof 200 classes"
    assert len(confusion.get_xticklabels()) < 60


def test_a_class_that_no_test_row_has_or_all_have_has_no_curve() -> None:
    answers = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    roc, recall, *_ = evaluate(["a", "b"], answers, ("a", "b", "c")).axes
    assert [text[:2] for text in legend(roc)] == ["a ", "b ", "ch"] and len(legend(recall)) == 2

    roc, recall, *_ = evaluate(["no", "no"], np.array([[0.6, 0.4], [0.7, 0.3]]), ("no", "yes")).axes
    assert (legend(roc), legend(recall)) == (["chance"], [])


@pytest.mark.parametrize("share", np.linspace(0.02, 1, 50))
@pytest.mark.parametrize(("ground", "ink"), [("#fff", "#222"), ("#111", "#ddd"), ("#fff", "#000")])  # of a page, and of the PNG
def test_a_count_stands_out_from_its_cell(share: float, ground: str, ink: str) -> None:
    assert f"color: {ink}" in pictures.STYLE or ink == "#000"
    *colour, alpha = class_plots.SHARES(share)
    cell = alpha * np.array(colour) + (1 - alpha) * np.array(to_rgb(ground))
    assert contrast(luminance(cell), luminance(ink)) >= 4.5


BINARY = make_evaluation(["no", "yes"], np.array([[0.6, 0.4], [0.3, 0.7]]), ("no", "yes"))
Draw = Callable[[Axes], Figure]
PANELS: dict[str, Draw] = {
    "predictions": lambda axes: plots.plot_predictions(make_evaluation([1.0, 2.0], np.array([1.5, 2.0])), axes=axes),
    "residuals": lambda axes: plots.plot_residuals(make_evaluation([1.0, 2.0], np.array([1.5, 2.0])), axes=axes),
    "roc": lambda axes: class_plots.plot_roc(BINARY, axes=axes),
    "recall": lambda axes: class_plots.plot_precision_recall(BINARY, axes=axes),
    "confusion": lambda axes: class_plots.plot_confusion(BINARY, axes=axes),
    "reliability": lambda axes: class_plots.plot_reliability(BINARY, axes=axes),
}


@pytest.mark.parametrize("draw", PANELS.values(), ids=PANELS)
def test_draws_into_axes_of_any_figure(draw: Draw) -> None:
    axes = make_axes(4.0)
    assert draw(axes) is axes.figure
    assert title(axes) and axes.has_data()
