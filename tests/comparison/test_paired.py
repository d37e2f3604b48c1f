"""The difference of two models on the same rows, and its interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from boostlab.comparison.paired import ALPHA, Pair, compare_pair
from boostlab.errors import LabError

DRAW = np.random.default_rng(5)


def pair(count: int = 500, champion: float = 1.0, challenger: float = 1.0) -> Pair:
    """Return a pair whose models have these errors."""
    true = DRAW.standard_normal(count)
    noise = DRAW.standard_normal((2, count))
    return Pair(true, true + champion * noise[0], true + challenger * noise[1], "regression", [], "Made rows.")


@pytest.mark.parametrize(
    ("errors", "metric", "verdict"),
    [
        ((1.0, 0.8), "test_rmse", "better"),
        ((0.8, 1.0), "rmse", "worse"),
        ((1.0, 0.8), "r2", "better"),
        ((0.8, 1.0), "r2", "worse"),
        ((1.0, 1.0), "mae", "no significant difference"),
    ],
)
def test_judges_in_the_metrics_own_direction(errors: tuple[float, float], metric: str, verdict: str) -> None:
    found = compare_pair(pair(1000, *errors), metric=metric)

    assert found.verdict == verdict
    assert found.low <= found.challenger - found.champion <= found.high


@pytest.mark.parametrize("count", [20, 100])
def test_errs_as_often_as_it_says_also_with_few_rows(count: int) -> None:
    verdicts = [compare_pair(pair(count), metric="rmse").verdict for _ in range(1000)]

    assert 0.03 < np.mean([verdict != "no significant difference" for verdict in verdicts]) < 0.07  # nominal: 0.05


def test_copies_of_a_row_in_one_group_count_as_one_row() -> None:
    one = pair(50)
    true, champion, challenger = (np.repeat(values, 9) for values in (one.true, one.champion, one.challenger))
    copies = Pair(true, champion, challenger, one.task, [], "Made rows.")
    single, grouped = (compare_pair(rows, metric="rmse") for rows in (one, replace(copies, groups=np.repeat(np.arange(50), 9))))

    assert (grouped.low, grouped.high) == pytest.approx((single.low, single.high))
    assert "on 450 rows in 50 groups" in grouped.describe()
    assert compare_pair(copies, metric="rmse").high < single.high  # as independent rows, they would seem to be evidence


def test_leaves_out_many_rows_in_sets_of_random_rows() -> None:
    many = pair(5000, 1.0, 0.95)
    halves = compare_pair(many, metric="rmse")
    theory = 1.96 * np.std((many.true - many.challenger) ** 2 / 2 / 0.95 - (many.true - many.champion) ** 2 / 2) / np.sqrt(5000)

    assert (halves.high - halves.low) / 2 == pytest.approx(theory, rel=0.1)


def test_a_smaller_error_makes_a_wider_interval() -> None:
    one = pair(200)
    wide, usual = (compare_pair(one, metric="rmse", alpha=alpha) for alpha in (ALPHA / 6, ALPHA))

    assert wide.high > usual.high and wide.low < usual.low
    assert "(99.17 % interval" in wide.describe() and "(95 % interval" in usual.describe()


def test_describes_the_difference_and_its_rows() -> None:
    found = compare_pair(replace(pair(1000, 1.0, 0.8), caution="Mind this."), metric="rmse")

    words = found.describe("run a", "Run b")
    assert words.startswith(f"Run b is better than run a: rmse {found.challenger:.4g} against {found.champion:.4g} on 1000 rows")
    assert words.endswith("Made rows. Mind this.")


def test_equal_predictions_are_no_significant_difference() -> None:
    one = pair(100)
    found = compare_pair(replace(one, challenger=one.champion), metric="rmse")

    assert (found.verdict, found.low, found.high) == ("no significant difference", 0, 0)


def test_needs_twenty_rows_for_a_verdict() -> None:
    found = compare_pair(pair(5, 100.0, 0.01), metric="rmse")

    assert found.verdict == "no significant difference"
    assert "At least 20 rows, in at least 10 groups if there are groups, make a verdict." in found.describe()


def test_needs_ten_groups_for_a_verdict() -> None:
    rows = replace(pair(90, 100.0, 0.01), groups=np.arange(90) % 9)

    assert compare_pair(rows, metric="rmse").verdict == "no significant difference"
    assert compare_pair(replace(rows, groups=np.arange(90) % 10), metric="rmse").verdict == "better"


def test_refuses_a_metric_without_a_paired_form() -> None:
    with pytest.raises(LabError, match="'test_auc' cannot compare two models on the same rows"):
        compare_pair(pair(), metric="test_auc")


def test_compares_quantiles_by_their_pinball_loss_alone() -> None:
    one = pair()
    both = replace(one, champion=np.column_stack([one.champion] * 2), challenger=np.column_stack([one.challenger] * 2))

    assert compare_pair(both, metric="test_pinball:0.5-0.5").value == pytest.approx(compare_pair(one, metric="mae").value / 2)
    with pytest.raises(LabError, match=r"'rmse' cannot compare two models .* For regression, use one of: pinball\."):
        compare_pair(both, metric="rmse")


def test_refuses_a_metric_that_the_rows_do_not_define() -> None:
    answers = np.full((30, 2), 0.5)
    for true in (np.zeros(30, int), np.eye(30, dtype=int)[0]):  # no row of one class, and a single one
        with pytest.raises(LabError, match="roc_auc is not defined on these 30 rows, or not without one of them"):
            compare_pair(Pair(true, answers, answers, "classification", ["n", "y"], ""), metric="roc_auc")
