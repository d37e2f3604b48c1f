"""The intervals of test metrics, against the formulas of textbooks."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
import pytest
from scipy import stats

from boostlab.evaluation import intervals
from boostlab.evaluation.intervals import estimate_intervals
from boostlab.evaluation.metric_names import find_range
from boostlab.evaluation.metrics import score_intervals, score_metric

DRAW = np.random.default_rng(7)


def estimate(
    true: Any, answers: Any, *names: str, scores: dict[str, float] | None = None, **more: Any
) -> dict[str, tuple[float, float]]:
    found = scores or {name: score_metric(name, true, answers, more.get("weight")) for name in names}
    return estimate_intervals(found, {name: find_range(name) for name in found}, true, answers, **more)


def quantile(values: Any) -> float:
    """Return the quantile of Student's t, with fewer degrees of freedom where few values carry the variance."""
    centred = values - values.mean()
    peaks = (centred**4).mean() / (centred**2).mean() ** 2  # the kurtosis: 1 of two equally frequent values
    return float(stats.t.isf(0.025, (len(values) - 1) / max(1, (peaks - 1) / 2)))


def test_of_a_mean_it_is_the_interval_of_student_on_a_logarithmic_scale() -> None:
    true, answers = DRAW.normal(size=200), DRAW.normal(size=200)
    losses = np.abs(true - answers)
    error = stats.sem(losses) * quantile(losses) / losses.mean()

    assert estimate(true, answers, "mae")["mae"] == pytest.approx([losses.mean() * exp(side * error) for side in (-1, 1)])


def test_of_a_share_it_is_taken_of_the_logit() -> None:
    true, positive = DRAW.integers(0, 2, 300), DRAW.random(300)
    answers = np.column_stack([1 - positive, positive])
    hits = (answers.argmax(axis=1) == true).astype(float)
    share, error = hits.mean(), stats.sem(hits) * quantile(hits)
    logit, shift = log(share / (1 - share)), error / (share * (1 - share))

    found = estimate(true, answers, "accuracy", labels=2)["accuracy"]
    assert found == pytest.approx([1 / (1 + exp(-logit + side * shift)) for side in (1, -1)])


@pytest.mark.parametrize("name", ["rmse", "mae", "r2"])
def test_an_interval_holds_the_value_and_stays_in_the_range_of_its_metric(name: str) -> None:
    true = DRAW.normal(size=12)
    low, high = estimate(true, true + DRAW.standard_cauchy(12), name)[name]

    assert find_range(name)[0] < low < high < find_range(name)[1]


def test_rows_of_one_group_count_together() -> None:
    shift = np.repeat(DRAW.normal(size=20), 10)
    alone = estimate(shift, np.zeros(200), "rmse")["rmse"]
    together = estimate(shift, np.zeros(200), "rmse", groups=np.repeat(np.arange(20), 10))["rmse"]

    assert np.ptp(together) > 2 * np.ptp(alone)


def test_of_many_rows_a_part_is_looked_at_and_the_error_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    true, answers = DRAW.normal(size=8000), DRAW.normal(size=8000)
    whole = estimate(true, answers, "rmse")["rmse"]
    monkeypatch.setattr(intervals, "MOST_ROWS", 2000)

    assert np.ptp(estimate(true, answers, "rmse")["rmse"]) == pytest.approx(np.ptp(whole), rel=0.15)


def test_of_quantiles_coverage_and_width_have_one() -> None:
    true, answers = DRAW.normal(size=100), np.sort(DRAW.normal(size=(100, 2)))
    scores = score_intervals(true, answers, quantiles=(0.1, 0.9))
    found = estimate(true, answers, scores=scores, quantiles=(0.1, 0.9))

    widths = answers[:, 1] - answers[:, 0]
    error = stats.sem(widths) * quantile(widths) / widths.mean()
    assert found["width:0.1-0.9"] == pytest.approx([widths.mean() * exp(side * error) for side in (-1, 1)])
    assert 0 < found["coverage:0.1-0.9"][0] < scores["coverage:0.1-0.9"] < found["coverage:0.1-0.9"][1] < 1


def test_of_a_class_that_is_always_wrong_the_rows_do_not_tell_how_often_it_is_right() -> None:
    true, positive = np.repeat([0, 1], [90, 10]), np.r_[DRAW.random(90) * 0.6, np.full(10, 0.4)]
    answers = np.column_stack([1 - positive, positive])
    names, given = ("accuracy", "balanced_accuracy", "f1", "mcc", "roc_auc"), {"labels": 2, "predicted": answers.argmax(axis=1)}
    assert estimate(true, answers, *names, **given).keys() == {"accuracy", "roc_auc"}

    given["predicted"] = np.where(np.arange(100) == 99, 1, answers.argmax(axis=1))
    scores = dict.fromkeys(names, 0.5)
    assert estimate(true, answers, scores=scores, **given).keys() == set(names)


def test_where_few_rows_carry_the_variance_the_interval_is_wider() -> None:
    even, rare = np.tile([0.9, 1.1], 50), np.r_[np.full(98, 0.9), np.full(2, 1.5)]
    for losses in (even, rare):
        low, high = estimate(losses, np.zeros(100), "mae")["mae"]
        factor = log(high / low) / 2 / (stats.sem(losses) / losses.mean())
        assert factor == pytest.approx(quantile(losses)) and (factor > 2) == (losses is rare)


def test_says_nothing_where_the_rows_do_not_tell() -> None:
    true, certain = np.array([0, 1] * 30), np.eye(2)[[0, 1] * 30]

    assert estimate(true, certain, "accuracy", "f1", labels=2) == {}  # an accuracy of 1 in 60 rows is no proof of 1
    assert estimate(true[:8], certain[:8, ::-1], "log_loss", labels=2) == {}
    assert estimate(true, certain, scores={"recall_at_precision:0.9": 0.5}, labels=2) == {}


def test_a_row_without_weight_tells_nothing() -> None:
    true, answers = DRAW.normal(size=(2, 60))
    weight = np.repeat([1.0, 0.0], [12, 48])
    found = estimate(true, answers, "mae", weight=weight)["mae"]
    assert found == pytest.approx(estimate(true[:12], answers[:12], "mae")["mae"])
    assert not estimate(true, answers, "mae", weight=np.where(np.arange(60) < 9, weight, 0.0))
