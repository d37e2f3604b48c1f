from __future__ import annotations

from typing import Any

import pytest
from tests.support.comparison import compare_settings, record_run, scores
from tests.support.runs import make_facts

from boostlab.comparison.paired import Difference
from boostlab.comparison.search import find_named
from boostlab.comparison.selection import Selection, select_runs
from boostlab.comparison.summary import PairSummary, describe_result, describe_selection, summarize_pair
from boostlab.tracking.ui import MlflowUI

FACTS = make_facts(ui=MlflowUI("http://host/"), experiment_id="1", run_id="2", run_name="compare-1")


@pytest.mark.parametrize("count", [0, 1])
def test_says_what_to_do_first_with_fewer_than_two_runs(client: Any, count: int) -> None:
    for number in range(count):
        record_run(client, f"run-{number}", metrics=scores(2))

    assert 'make train ARGS="-p eta 0.3"' in describe_selection(select_runs(client, compare_settings()))


def test_compares_no_pair() -> None:
    pair = summarize_pair(None, (), metric="test_rmse")  # no store is needed

    assert pair.describe() == "A comparison on the same rows takes two runs."
    assert (pair.tags, pair.metrics) == ({}, {})
    assert describe_result(Selection(), pair, facts=FACTS).startswith("No finished run matches")


def test_names_the_runs_that_lack_the_metric(client: Any) -> None:
    record_run(client, "a", metrics=scores(3))
    record_run(client, "c|d", metrics={"rows": 1})

    said = describe_selection(select_runs(client, compare_settings(runs=["a", "c|d"])))
    assert r"Left out, because they do not have that metric: <code>c\|d</code>." in said


def test_shows_markup_in_names_as_text(client: Any) -> None:
    record_run(client, "a`<b>|x\n", metrics=scores(2))

    said = describe_result(select_runs(client, compare_settings()), PairSummary(reason="No pair."), facts=FACTS)
    assert r"[a\`\<b\>\|x](http://host/#/experiments/" in said
    assert r"[compare\-1](http://host/#/experiments/1/runs/2)" in said
    assert said.endswith("\n\nNo pair.")


def test_reports_the_difference_of_a_pair(client: Any) -> None:
    ids = [record_run(client, name, metrics=scores(2)) for name in ("a", "b")]
    pair = PairSummary(find_named(client, ids), Difference("rmse", 3.0, 2.0, -1.5, -0.5, 88, "better", "Basis.", ""))

    assert pair.describe().startswith("The challenger `b` is better than the champion `a`: rmse 2 against 3 on 88 rows")
    assert pair.metrics == {"difference": -1.0, "low": -1.5, "high": -0.5}
    assert pair.tags == {"boostlab.champion": ids[0], "boostlab.challenger": ids[1]}


def test_gives_the_reason_if_two_runs_cannot_be_compared(client: Any) -> None:
    for name in ("a", "b"):
        record_run(client, name, metrics=scores(2))

    pair = summarize_pair(client, find_named(client, ["a", "b"]), metric="test_rmse")
    assert "no test rows" in pair.describe() and pair.metrics == {}
