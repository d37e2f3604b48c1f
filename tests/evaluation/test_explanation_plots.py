"""Figures of explanations: what is drawn, in which order and with which colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from tests.support.figures import check_picture, legend, make_explanation, title

from boostlab.display.figures import GREEN, make_axes
from boostlab.evaluation import explanation_plots as plots
from boostlab.evaluation.metrics import find_errors

CASES: dict[str, dict[str, Any]] = {
    "regression": {},
    "two classes": {"labels": ("no", "yes")},
    "classes": {"labels": ("a", "b", "c")},
    "quantiles": {"quantiles": (0.1, 0.5, 0.9)},
    "one column": {"columns": 1},
    "many columns": {"columns": 30},
    "refused": {"refusal": "contributions: none."},
}


@pytest.mark.parametrize("case", CASES)
def test_draws_pictures_without_a_global_figure(case: str) -> None:
    explanation = make_explanation(**CASES[case])
    check_picture(plots.plot_importance(explanation))
    check_picture(plots.plot_explanations(explanation))


def test_importances_are_shares_of_their_sums_with_intervals() -> None:
    explanation = make_explanation(columns=30)
    (axes,) = plots.plot_importance(explanation).axes
    bars = {bar.get_label(): bar for bar in axes.containers}
    assert list(bars) == ["mean |contribution|", "loss if permuted", "gain in training"] == legend(axes)
    whole = explanation.importance
    for name, column in (("mean |contribution|", "contribution"), ("gain in training", "gain")):
        drawn = np.asarray(bars[name].lines[0].get_xdata())  # type: ignore[attr-defined]
        np.testing.assert_allclose(drawn, (whole[column] / whole[column].sum())[:20][::-1])
    (lines,) = bars["mean |contribution|"].lines[2]  # type: ignore[attr-defined]
    widths = [np.ptp(segment[:, 0]) for segment in lines.get_segments()]
    np.testing.assert_allclose(widths, (2 * 1.96 * whole.contribution_error / whole.contribution.sum())[:20][::-1])
    assert title(axes) == "Importance in 90 of 100 rows: 20 of 30 columns"


def test_a_swarm_has_each_row_at_its_contribution_in_the_colour_of_its_value() -> None:
    explanation = make_explanation()
    (axes,) = plots.plot_swarms(explanation).axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[::-1] == [name.replace("$", r"\$") for name in explanation.rank_columns()]
    assert legend(axes) == [] and [text.get_text() for text in axes.get_legend().get_texts()] == [  # type: ignore[union-attr]
        *("low value", "high value", "missing", "without order"),
    ]
    known, missing = axes.collections[2 * names.index("size") : 2 * names.index("size") + 2]
    gaps = explanation.frame["size"].isna().to_numpy()
    assert np.asarray(missing.get_offsets())[:, 0].tolist() == explanation.contributions[gaps, 0, 0].tolist()
    assert to_hex(np.asarray(missing.get_facecolor())[0]).upper() == GREEN
    points = np.asarray(known.get_offsets())
    assert points[:, 0].tolist() == explanation.contributions[~gaps, 0, 0].tolist()
    assert np.abs(points[:, 1] - names.index("size")).max() < 0.5
    values = explanation.frame["size"][~gaps].to_numpy(float)
    assert np.asarray(known.get_array()).argmax() == values.argmax()


def test_dependence_has_categories_by_name_and_missing_values_apart() -> None:
    explanation = make_explanation()
    (axes,) = plots.plot_dependence(explanation, "city $x_{$").axes
    known, missing = axes.collections
    assert len(axes.get_xticks()) == plots.MOST_CATEGORIES and legend(axes) == ["missing"]
    assert set(np.asarray(missing.get_offsets())[:, 0]) == {-1.0} and np.nanmin(np.asarray(known.get_offsets())[:, 0]) > -0.5
    (dates,) = plots.plot_dependence(explanation, "sold").axes
    name_date: Any = dates.xaxis.get_major_formatter()
    assert name_date(18_262.0, 0) == "2020-01"


@pytest.mark.parametrize("case", ["regression", "classes", "many columns"])
def test_the_steps_of_a_row_lead_from_the_bias_to_the_margin(case: str) -> None:
    explanation = make_explanation(**CASES[case])
    rows = plots.choose_rows(explanation)
    (axes,) = plots.plot_steps(explanation, rows).axes
    start = 0
    for row, line in zip(rows.values(), axes.lines[::2], strict=True):
        output = int(explanation.answers[row].argmax()) if case == "classes" else 0
        *contributions, bias = explanation.contributions[row, output]
        count = min(len(contributions), plots.MOST_STEPS + (len(contributions) > plots.MOST_STEPS))
        bars: Any = axes.patches[start : start + count]
        start += count
        assert np.asarray(line.get_xdata())[0] == pytest.approx(bias)
        assert sum(bar.get_width() for bar in bars) == pytest.approx(sum(contributions))
        assert bars[0].get_x() == pytest.approx(bias) and abs(bars[0].get_width()) == pytest.approx(np.abs(contributions).max())
        assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(bias + sum(contributions))
    losses = find_errors(explanation.true, explanation.answers, explanation.contract)
    assert losses[rows["largest error"]] == losses.max()
    assert abs(losses[rows["typical error"]] - np.median(losses)) == np.abs(losses - np.median(losses)).min()


@pytest.mark.parametrize(("more", "text"), [(0, ""), (1, "1 other"), (2, "2 others")])
def test_the_columns_beyond_the_largest_are_one_step(more: int, text: str) -> None:
    explanation = make_explanation(columns=plots.MOST_STEPS + more)
    (axes,) = plots.plot_steps(explanation, {"first": 0}).axes

    assert [label.get_text() for label in axes.get_yticklabels() if "other" in label.get_text()] == [text] * bool(more)


def test_several_outputs_are_named() -> None:
    classes, quantiles = (make_explanation(**CASES[case]) for case in ("classes", "quantiles"))
    label = "abc"[int(np.bincount(classes.true).argmax())]
    assert title(plots.plot_swarms(classes).axes[0]) == f"Contributions to {label} in 90 of 100 rows"
    assert title(plots.plot_swarms(quantiles).axes[0]) == "Contributions to quantile 0.5 in 90 of 100 rows"


def test_draws_into_given_axes() -> None:
    explanation = make_explanation()
    draws: tuple[Callable[[Axes], Figure], ...] = (
        lambda axes: plots.plot_importance(explanation, axes=axes),
        lambda axes: plots.plot_swarms(explanation, axes=axes),
        lambda axes: plots.plot_dependence(explanation, "size", axes=axes),
        lambda axes: plots.plot_steps(explanation, {"first": 0}, axes=axes),
    )
    for draw in draws:
        axes = make_axes(3.0)
        assert draw(axes) is axes.figure


def test_low_and_high_values_differ_for_people_with_colour_blindness() -> None:
    low, high = (np.array(to_rgba(plots.VALUES(end))[:3]) for end in (0.0, 1.0))
    assert low[2] - low[0] > 0.5 and high[0] - high[2] > 0.5  # blue against orange, which all forms of it can tell apart
