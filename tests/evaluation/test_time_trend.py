"""Errors along time: the figures are those of an independent computation, growth is found, and chance is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import log_loss, root_mean_squared_error
from tests.support.figures import check_picture, legend, title
from tests.support.settings import make_settings

from boostlab.data.columns import profile_columns
from boostlab.data.splits import split_table
from boostlab.data.table import load_table
from boostlab.evaluation.metrics import Evaluation, evaluate_test
from boostlab.evaluation.time_trend import BLOCKS, TimeTrend, find_trends, judge_growth
from boostlab.training.fit import fit_booster

ROWS = 2000


def make_rows(*, growth: float = 0.0, rows: int = ROWS) -> pd.DataFrame:
    draw, place = np.random.default_rng(0), np.arange(rows)
    days = pd.date_range("2023-01-01", periods=rows, freq="12h")
    frame = pd.DataFrame({"day": days, "x": draw.normal(size=rows)})
    noise = 1 + growth * np.maximum(0, place / rows - 0.6)
    return frame.assign(y=3 * frame["x"] + noise * draw.normal(size=rows)).sample(frac=1, random_state=0)


def evaluate(folder: Path, frame: pd.DataFrame, **options: Any) -> Evaluation:
    frame.to_parquet(folder / "t.parquet", index=False)
    own = {"time": "day", "split": "time", "test_size": 0.3, "num_boost_round": 20, "max_depth": 3}
    settings = make_settings(dataset=str(folder / "t.parquet"), target="y", **own | options)
    split = split_table(load_table(settings), settings)
    return evaluate_test(fit_booster(split, profile_columns(split), settings).predictor, split)


def find(evaluation: Evaluation) -> TimeTrend:
    found = find_trends(evaluation).trend
    assert found is not None
    return found


def test_an_error_that_grows_is_a_finding_with_the_metric_of_both_ends(tmp_path: Path) -> None:
    frame = make_rows(growth=8)
    evaluation = evaluate(tmp_path, frame)
    rows = frame.iloc[evaluation.part.rows].assign(answer=evaluation.answers).sort_values("day")
    early, late = (root_mean_squared_error(side["y"], side["answer"]) for side in (rows.head(150), rows.tail(150)))

    assert find_trends(evaluation).findings == [
        f"The error grows along 'day': rmse {late:.4g} on the last quarter of the test rows, {early:.4g} on the first."
    ]
    trend = find(evaluation)
    assert (trend.times == rows["day"].to_numpy()).all()
    assert trend.errors == pytest.approx((rows["y"] - rows["answer"]).to_numpy())
    window = trend.errors[:60]
    low, high = stats.norm.interval(0.95, window.mean(), stats.sem(window))
    running = trend.running
    assert (running.mean[0], running.low[0], running.high[0]) == pytest.approx((window.mean(), low, high))
    assert running.times[0] == trend.times[30] and len(running.mean) == 60


def test_a_steady_error_is_no_finding(tmp_path: Path) -> None:
    trends = find_trends(evaluate(tmp_path, make_rows()))

    assert trends.findings == [] and trends.trend is not None and trends.trend.p > 0.05


def test_a_sure_growth_that_does_not_matter_is_no_finding(tmp_path: Path) -> None:
    trend = find(evaluate(tmp_path, make_rows(growth=0.2, rows=20_000), test_size=0.4))

    assert trend.p < 0.05 and not trend.grows and trend.late < 1.1 * trend.early


def test_of_classes_the_log_loss_is_followed(tmp_path: Path) -> None:
    draw, frame = np.random.default_rng(1), make_rows().sort_values("day")
    flipped = draw.random(ROWS) < np.where(np.arange(ROWS) > 0.85 * ROWS, 0.4, 0.05)
    frame["y"] = np.where((frame["x"] > 0) ^ flipped, "yes", "no")
    evaluation = evaluate(tmp_path, frame)
    rows, answers = frame["y"].iloc[evaluation.part.rows], evaluation.answers

    (finding,) = find_trends(evaluation).findings
    late = log_loss(rows.tail(150) == "yes", answers[-150:, 1] / answers[-150:].sum(axis=1))
    assert finding.startswith(f"The error grows along 'day': log_loss {late:.4g} on the last quarter")


def test_rows_of_one_group_count_together() -> None:
    """Late groups that happen to be hard look like growth if rows count for themselves."""
    together, apart = 0, 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        groups = np.repeat(np.arange(30), 30)
        times = draw.random(30)[groups] + 0.1 * draw.random(900)
        losses = draw.exponential(size=30)[groups] + 0.1 * draw.random(900)
        x, y = (pd.Series(values).rank().to_numpy() for values in (times, losses))
        together += judge_growth(x, y, np.ones(900), groups) < 0.05
        apart += judge_growth(x, y, np.ones(900), np.arange(900)) < 0.05

    assert together <= 8 < 15 <= apart


def test_errors_that_are_alike_for_a_while_are_no_growth() -> None:
    """A day's error resembles that of the day before (correlation 0.7)."""
    alarms = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        noise = draw.normal(size=500)
        state = np.zeros(500)
        for day in range(1, 500):
            state[day] = 0.7 * state[day - 1] + noise[day]
        ranks = np.arange(1.0, 501)
        blocks = [(ranks * count / 501).astype(int) for count in BLOCKS]
        losses = pd.Series(np.exp(state)).rank().to_numpy()
        alarms += max(judge_growth(ranks, losses, np.ones(500), block) for block in blocks) < 0.05

    assert alarms <= 11  # of 5 %, more have a probability of 1 %


def test_groups_are_read_in_the_order_of_their_rows(tmp_path: Path) -> None:
    frame = make_rows(growth=8).assign(shop=lambda rows: rows["day"].dt.day_of_year % 50)
    trend = find(evaluate(tmp_path, frame, split="random", group="shop"))
    ordered = frame.iloc[trend.evaluation.part.rows].sort_values("day")
    by_hand = judge_growth(
        ordered["day"].rank().to_numpy(),
        pd.Series(trend.errors**2).rank().to_numpy(),
        np.ones(len(ordered)),
        ordered["shop"].to_numpy(),
    )

    assert trend.p == pytest.approx(by_hand)


def test_too_few_groups_tell_nothing(tmp_path: Path) -> None:
    frame = make_rows(growth=8).assign(shop=lambda rows: rows["day"].dt.year)
    assert find(evaluate(tmp_path, frame, split="random", group="shop", test_size=0.34, valid_size=0.33)).p == 1.0


@pytest.mark.parametrize("options", [{"time": "", "split": "random"}, {"test_size": 0.01}])
def test_without_times_or_rows_there_is_nothing_to_show(tmp_path: Path, options: dict[str, Any]) -> None:
    trends = find_trends(evaluate(tmp_path, make_rows(), **options))

    assert (trends.findings, trends.plot()) == ([], {})


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows["day"].dt.tz_localize("Europe/Berlin", ambiguous="NaT", nonexistent="NaT"),
        lambda rows: rows["day"].dt.date,
        lambda rows: rows["day"].dt.strftime("%Y-%m-%d"),
        lambda rows: rows["day"].where(rows.index % 3 > 0),
        lambda rows: rows.index / 7,
    ],
    ids=["zone", "date", "text", "gaps", "number"],
)
def test_takes_times_of_each_type(tmp_path: Path, change: Any) -> None:
    evaluation = evaluate(tmp_path, make_rows().assign(day=change), split="random")

    trend = find(evaluation)
    assert len(trend.times) <= len(evaluation.part) and (np.diff(trend.times.astype(float)) >= 0).all()
    check_picture(find_trends(evaluation).plot()["errors_over_time"])


def test_truth_values_are_no_times(tmp_path: Path) -> None:
    frame = make_rows().assign(day=lambda rows: rows["x"] > 0)
    assert find_trends(evaluate(tmp_path, frame, split="random")).trend is None


def test_draws_residuals_with_a_running_mean(tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path, make_rows(growth=8))
    trend = find(evaluation)
    (axes,) = find_trends(evaluation).plot()["errors_over_time"].axes

    assert legend(axes) == ["test rows", "95 % interval", "running mean"]
    assert len(axes.collections[0].get_offsets()) == len(trend.errors)  # type: ignore[arg-type]
    assert (np.asarray(axes.lines[-1].get_ydata()) == trend.running.mean).all()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("day", "true − predicted y")
    assert title(axes).startswith(f"Errors over time: rmse {trend.early:.4g} in the first quarter,")


def test_weights_count(tmp_path: Path) -> None:
    frame = make_rows(growth=8).assign(w=lambda rows: np.where(rows["x"] > 0, 1.0, 0.0))
    trend = find(evaluate(tmp_path, frame, sample_weight="w"))
    rows = frame.iloc[trend.evaluation.part.rows].assign(answer=trend.evaluation.answers)
    rows = rows[rows["x"] > 0].sort_values("day")

    assert len(trend.errors) == len(rows)
    assert trend.early == pytest.approx(root_mean_squared_error(rows["y"][: len(rows) // 4], rows["answer"][: len(rows) // 4]))
