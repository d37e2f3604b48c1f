"""The best trials of a sweep as a table, and what it found in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.trials import HOSTILE, R2, RMSE, make_trials, make_wide

from boostlab.display.tables import Link
from boostlab.sweep.tables import describe, tabulate_best
from boostlab.sweep.trial import Trial

MADE = [
    Trial(0, {"eta": 0.3, "depth": 6, "seed": 0}, "complete", (5.0,), interval=(4.5, 5.5), reason="champion", run_name="first"),
    Trial(1, {"eta": 0.1, "seed": 0}, "complete", (3.0,), interval=(2.0, 4.0), start_ms=1000, end_ms=3500, run_id="abc123"),
    Trial(2, {"eta": 0.2, "seed": 0}, "pruned", reports={3: 7.0, 1: 9.0}, reason="worse than the median"),
    Trial(3, {"eta": 0.2, "depth": 2, "seed": 0}, "failed", reason="out of memory"),
]


def test_ranks_trials_with_what_differs() -> None:
    table = tabulate_best(MADE, [RMSE])
    assert [*table.columns] == ["rank", "trial", "best_valid_rmse", "95 % interval", "eta", "depth", "duration", "state", "run"]
    assert [[str(cell) for cell in row] for row in table.rows] == [
        ["1", "1", "3.0", "2 to 4", "0.1", "None", "2.5 s", "complete", "abc123"],
        ["2", "0", "5.0", "4.5 to 5.5", "0.3", "6", "–", "complete", "first"],
        ["None", "2", "7 at step 3", "–", "0.2", "None", "–", "pruned (worse than the median)", "–"],
        ["None", "3", "–", "–", "0.2", "2", "–", "failed (out of memory)", "–"],
    ]
    assert table.marked == [0]


def test_links_to_the_runs() -> None:
    table = tabulate_best(MADE, [RMSE], 1, run_url="http://ui/{}".format)
    assert table.rows[0][-1] == Link("abc123", "http://ui/abc123")
    assert table.title == "Trials, the best first (1 of 4)"


def test_ranks_by_fronts_and_marks_the_first() -> None:
    values = [(3.0, 0.1), (2.0, 0.5), (1.0, 0.2), (2.5, 0.4)]
    table = tabulate_best([Trial(n, {"a": n}, "complete", each) for n, each in enumerate(values)], [RMSE, R2])
    assert [row[:2] for row in table.rows] == [[1, 2], [1, 1], [2, 3], [3, 0]]
    assert table.marked == [0, 1]


def test_ranks_the_highest_first_where_higher_is_better() -> None:
    trials = [Trial(n, {"a": n}, "complete", (float(n % 3),)) for n in range(4)]
    assert [row[1] for row in tabulate_best(trials, [R2], how_many=2).rows] == [2, 1]


def test_many_parameters_are_in_one_cell() -> None:
    table = tabulate_best(make_wide(4), [RMSE])
    assert [*table.columns] == ["rank", "trial", "best_valid_rmse", "parameters", "duration", "state", "run"]
    details = table.rows[0][3]
    assert details.text == "20 that differ" and len(details.more) == 20 and details.more[0].startswith(f"{HOSTILE} 0 ")
    assert "<b>" not in table._repr_html_()


@pytest.mark.parametrize("trials", [[], make_trials(12, state="failed"), make_trials(1000, state="pruned"), make_trials(1)])
def test_tabulates_any_trials(trials: list[Trial]) -> None:
    table = tabulate_best(trials, [RMSE])
    assert len(table.rows) == min(10, len(trials)) and table._repr_html_() and repr(table)


def test_says_that_the_gain_exceeds_the_interval_but_not_the_choice() -> None:
    said = describe(MADE, [RMSE])
    assert said.startswith("4 trials: 2 complete, 1 pruned, 1 failed (the reason: out of memory). ")
    assert "The best `best_valid_rmse` is 3 (95 % interval 2 to 4), in trial 1." in said
    assert "It is better by 2 than the 5 of trial 0 (champion)." in said
    assert "outside the interval of the best. The interval does not allow for the choice of the best of 2 trials" in said


def test_says_that_the_gain_may_be_luck() -> None:
    assert describe([MADE[0], replace(MADE[1], interval=(1.0, 6.0))], [RMSE]).endswith("the gain may be luck.")


def test_says_that_luck_is_not_known_without_an_interval() -> None:
    assert "more than luck is not known" in describe([MADE[0], replace(MADE[1], interval=None)], [RMSE])


def test_says_that_no_trial_is_better_than_the_first() -> None:
    said = describe([MADE[0], replace(MADE[1], values=(6.0,)), replace(MADE[1], number=2, values=(5.0,))], [RMSE])
    assert said.endswith("in trial 0. No trial is better than trial 0 (champion).")


def test_says_that_the_first_trial_has_no_value() -> None:
    said = describe([replace(MADE[3], number=0), MADE[1]], [RMSE])
    assert said.endswith("Trial 0 has no value to compare it with.")


def test_says_the_most_frequent_reason_of_failures_as_plain_text() -> None:
    reasons = ["*a*", "<b>", "<b>"]
    said = describe([Trial(n, {}, "failed", reason=reason) for n, reason in enumerate(reasons)], [RMSE])
    assert said == r"3 trials: 3 failed (the reason of 2: \<b\>). No trial has a value yet."


def test_says_the_best_of_each_metric() -> None:
    trials = [Trial(0, {}, "complete", (5.0, 0.5)), Trial(1, {}, "complete", (3.0, 0.4))]
    said = describe(trials, [RMSE, R2])
    assert "2 of the complete trials are on the Pareto front." in said
    assert "The best `valid_r2` is 0.5, in trial 0. No trial is better than trial 0." in said


def test_says_that_there_is_no_trial() -> None:
    assert describe([], [RMSE]) == "There is no trial yet."


def test_says_the_gain_where_higher_is_better() -> None:
    trials = [Trial(0, {}, "complete", (0.5,)), Trial(1, {}, "complete", (0.75,), interval=(0.7, 0.8))]
    said = describe(trials, [R2])
    assert "It is better by 0.25 than the 0.5 of trial 0. The value of trial 0 is outside the interval" in said
