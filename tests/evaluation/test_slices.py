"""Slices: what was planted is found, chance is not, and each figure is that of an independent computation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from scipy import stats
from sklearn.metrics import log_loss
from tests.support.figures import check_picture, legend, title
from tests.support.settings import make_settings

from boostlab.data.columns import profile_columns
from boostlab.data.splits import Split, split_table
from boostlab.data.table import load_table
from boostlab.display.figures import make_axes
from boostlab.evaluation.metrics import Evaluation, evaluate_test
from boostlab.evaluation.slice_plots import plot_slices
from boostlab.evaluation.slice_search import Condition, name_path
from boostlab.evaluation.slices import Slice, Slices, find_slices
from boostlab.training.fit import Fit, fit_booster

ROWS = 1500


def make_homes(seed: int = 0, *, rows: int = ROWS, planted: bool = True) -> pd.DataFrame:
    """Return prices that are hard to predict for huts, and for large houses."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "area": draw.normal(100, 30, rows),
            "kind": draw.choice(["flat", "house", "hut"], rows, p=[0.6, 0.33, 0.07]),
            "sold": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 900, rows), unit="D"),
            "new": draw.random(rows) < 0.3,
            "rooms": np.where(draw.random(rows) < 0.1, np.nan, draw.integers(1, 4, rows)),
        }
    )
    hard = (frame["kind"] == "hut") | ((frame["kind"] == "house") & (frame["area"] > 120))
    frame["price"] = frame["area"] * 3 + draw.normal(0, 10, rows) * np.where(hard & planted, 6, 1)
    return frame


def evaluate(folder: Path, frame: pd.DataFrame, **options: Any) -> tuple[Evaluation, Fit, Split]:
    frame.to_parquet(folder / "t.parquet")
    own = {"dataset": str(folder / "t.parquet"), "target": "price", "test_size": 0.4, "num_boost_round": 30, "max_depth": 3}
    settings = make_settings(**own | options)
    split = split_table(load_table(settings), settings)
    fit = fit_booster(split, profile_columns(split), settings)
    return evaluate_test(fit.predictor, split), fit, split


def slice_up(folder: Path, frame: pd.DataFrame, **options: Any) -> tuple[Slices, Evaluation, pd.DataFrame]:
    """Return the slices, the evaluation, and the test rows."""
    evaluation, fit, split = evaluate(folder, frame, **options)
    return find_slices(evaluation, fit.predictor, split.valid), evaluation, frame.iloc[split.test.rows]


def find(slices: Slices, name: str) -> Slice:
    (found,) = [one for one in slices.slices if one.name == name]
    return found


def test_finds_the_slices_that_are_hard_to_predict(tmp_path: Path) -> None:
    slices, *_ = slice_up(tmp_path, make_homes(rows=4000))
    worse = [one.name for one in slices.slices if one.is_worse]

    assert "kind = hut" in worse
    assert any("area > 1" in name and "kind " in name for name in worse), worse
    assert not any(name.startswith(("sold", "new", "rooms")) and " and kind" not in name for name in worse)
    assert slices.findings[0].startswith("The error is larger where ") and len(slices.findings) <= 3


def test_each_figure_is_that_of_the_rows_of_the_slice(tmp_path: Path) -> None:
    slices, evaluation, rows = slice_up(tmp_path, make_homes())
    errors = (rows["price"].to_numpy() - evaluation.answers) ** 2
    is_hut = (rows["kind"] == "hut").to_numpy()
    found = find(slices, "kind = hut")

    assert slices.metric == "rmse" and slices.value == pytest.approx(evaluation.scores["rmse"])
    assert found.rows == is_hut.sum()
    assert found.value == pytest.approx(errors[is_hut].mean() ** 0.5)
    assert found.rest == pytest.approx(errors[~is_hut].mean() ** 0.5)
    low, high = stats.t.interval(0.95, is_hut.sum() - 1, errors[is_hut].mean(), stats.sem(errors[is_hut]))
    assert (found.low, found.high) == pytest.approx((max(low, 0) ** 0.5, high**0.5))
    sides = [errors[is_hut], errors[~is_hut]]
    variances = [max(side.var(ddof=1), errors.var(ddof=1)) for side in sides]  # of each side at least that of all rows
    facts = zip([side.mean() for side in sides], np.sqrt(variances), map(len, sides), strict=True)
    plain = stats.ttest_ind_from_stats(*[one for fact in facts for one in fact], equal_var=False, alternative="greater").pvalue
    assert found.p == pytest.approx(plain * (len(slices.slices) - slices.slices.index(found)), rel=1e-6)


def test_a_few_rows_without_a_rare_class_make_no_slice_of_the_others(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=1200), "kind": np.where(np.arange(1200) % 20, "flat", "hut")})
    frame["price"] = np.where((frame["kind"] == "flat") & (draw.random(1200) < 0.05), "high", "low")
    slices, *_ = slice_up(tmp_path, frame, num_boost_round=1, duplicates="apart")
    others = find(slices, "kind = flat")

    assert others.value > 2 * others.rest and not others.is_worse


def test_names_slices_by_values_of_each_type(tmp_path: Path) -> None:
    slices, _, rows = slice_up(tmp_path, make_homes())
    names = {one.name: one.rows for one in slices.slices}

    assert names["rooms is missing"] == rows["rooms"].isna().sum()
    assert {"rooms = 1", "rooms = 2", "rooms = 3", "new = true", "new = false", "kind = flat"} <= set(names)
    quarters = [count for name, count in names.items() if name.startswith("sold ") and "kind" not in name and "area" not in name]
    assert len(quarters) == 4 and sum(quarters) == len(rows) and max(quarters) - min(quarters) < 8
    assert any(name.startswith("sold ≤ 2024-") for name in names)


def test_classes_are_judged_by_the_log_loss(tmp_path: Path) -> None:
    frame = make_homes()
    frame["price"] = np.where(frame["price"] > 300, "dear", "cheap")
    slices, evaluation, rows = slice_up(tmp_path, frame, metric="roc_auc")
    is_house = (rows["kind"] == "house").to_numpy()

    assert slices.metric == "log_loss"
    expected = log_loss(rows["price"][is_house] == "dear", evaluation.answers[is_house, 1])
    assert find(slices, "kind = house").value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "metric"),
    [({"metric": "r2"}, "rmse"), ({"objective": "reg:absoluteerror"}, "mae"), ({"quantiles": [0.1, 0.9]}, "pinball:0.1-0.9")],
)
def test_the_metric_is_a_mean_over_rows(tmp_path: Path, options: dict[str, Any], metric: str) -> None:
    slices, evaluation, _ = slice_up(tmp_path, make_homes(), **options)

    assert slices.metric == metric
    assert slices.value == pytest.approx(evaluation.scores[metric])


def test_rows_of_one_group_count_together(tmp_path: Path) -> None:
    """Rows of a few groups are a few cases, however many rows they are."""
    frame = make_homes().assign(who=np.arange(ROWS))
    alone, *_ = slice_up(tmp_path, frame, group="who")
    frame["who"] = np.where(frame["kind"] == "hut", frame["who"] % 12, frame["who"])
    grouped, *_ = slice_up(tmp_path, frame, group="who")

    assert "kind = hut" in [one.name for one in alone.slices]
    assert "kind = hut" not in [one.name for one in grouped.slices]
    assert find(grouped, "kind = flat").rows > 200


def test_equal_rows_count_together(tmp_path: Path) -> None:
    frame = make_homes()
    frame["kind"] = np.where((frame["kind"] == "hut") & (frame.index > 200), "flat", frame["kind"])  # few huts …
    copies = pd.concat([frame, *[frame[frame["kind"] == "hut"]] * 20], ignore_index=True)  # … and many copies of them
    slices, *_ = slice_up(tmp_path, copies)

    assert "kind = hut" not in [one.name for one in slices.slices]


def test_weights_count(tmp_path: Path) -> None:
    frame = make_homes().assign(w=np.random.default_rng(1).uniform(0.5, 2, ROWS))
    slices, evaluation, rows = slice_up(tmp_path, frame, sample_weight="w")
    errors, is_flat = (rows["price"].to_numpy() - evaluation.answers) ** 2, (rows["kind"] == "flat").to_numpy()

    expected = np.average(errors[is_flat], weights=rows["w"][is_flat]) ** 0.5
    assert find(slices, "kind = flat").value == pytest.approx(expected, rel=1e-5)
    assert slices.value == pytest.approx(evaluation.scores["rmse"], rel=1e-5)


def test_a_sure_but_small_difference_is_not_called_worse() -> None:
    small = Slice("a = 1", 100_000, 2.1, 2.08, 2.12, 2.0, 1e-9)
    assert not small.is_worse and Slices((small,), "rmse", 2.0).findings == []
    assert Slice("a = 1", 100_000, 2.3, 2.28, 2.32, 2.0, 1e-9).is_worse


def test_few_rows_have_no_slices_and_no_figure(tmp_path: Path) -> None:
    slices, *_ = slice_up(tmp_path, make_homes()[:60])

    assert slices.slices == () and slices.findings == [] and slices.tabulate().rows == []
    assert plot_slices(slices) is None
    assert json.loads(slices.to_json())["slices"] == []


@pytest.mark.slow
def test_chance_alone_makes_few_slices_worse(tmp_path: Path) -> None:
    found = [bool(slice_up(tmp_path, make_homes(seed, planted=False))[0].findings) for seed in range(40)]

    assert sum(found) <= 5  # of 40; with a rate of 5 %, more than 5 have a probability of 1 %


def test_draws_the_slices_with_their_intervals() -> None:
    slices = Slices(
        (Slice("kind = $x_{$", 30, 5.0, 4.0, 6.0, 2.0, 0.001), Slice("a ≤ 1", 50, 2.0, 1.0, 3.0, 2.5, 1.0)), "rmse", 2.2
    )
    axes: Axes = make_axes(3.0)
    figure = plot_slices(slices, axes=axes)

    assert figure is axes.figure
    check_picture(axes.figure)
    assert title(axes) == "Slices: a larger error on 1 of 2"
    assert legend(axes) == ["all rows", "slice", "larger error"]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "a ≤ 1 (50)",
        r"kind = \$x\_{\$ (30)",
    ] or axes.get_yticklabels()


def test_shows_the_rows_with_the_largest_errors(tmp_path: Path) -> None:
    evaluation, _, split = evaluate(tmp_path, make_homes())
    table = evaluation.tabulate_worst(4)
    errors = np.abs(evaluation.answers - split.test.target.to_numpy())
    worst = np.argsort(-errors)[:4]

    shown = pd.DataFrame(list(table.rows), columns=list(table.columns))
    assert shown["row"].tolist() == (split.test.rows[worst] + 1).tolist()
    assert shown["error"].tolist() == pytest.approx(errors[worst].tolist())
    whole = make_homes()
    assert shown["area"].tolist() == whole["area"].iloc[split.test.rows[worst]].tolist()
    assert shown["true"].tolist() == whole["price"].iloc[split.test.rows[worst]].tolist()


def test_the_name_of_a_slice_says_each_limit_once() -> None:
    path = Condition("x", "≤", "2", True), Condition("kind", "≠", "hut"), Condition("kind", "≠", "flat"), Condition("x", "≤", "1")
    assert name_path(path) == "x ≤ 1 and kind ≠ hut and ≠ flat"
    assert name_path((Condition("x", ">", "1"), Condition("x", "≤", "2"))) == "x > 1 and ≤ 2"
