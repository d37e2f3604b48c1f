"""The steps of ``compare.ipynb`` on recorded runs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.comparison import compare_settings, read_names, record_run, scores
from tests.support.runs import make_facts

from boostlab.comparison.paired import Difference
from boostlab.comparison.search import find_named
from boostlab.comparison.steps import Comparison, PairSummary
from boostlab.display.tables import Link
from boostlab.errors import LabError
from boostlab.tracking.ui import MlflowUI

FACTS = make_facts(ui=MlflowUI("http://host/"), experiment_id="1", run_id="2", run_name="compare-1")


@pytest.mark.parametrize("count", [0, 1])
def test_says_what_to_do_first_with_fewer_than_two_runs(client: Any, count: int) -> None:
    for number in range(count):
        record_run(client, f"run-{number}", metrics=scores(2))

    assert 'make train ARGS="-p eta 0.3"' in Comparison(client, compare_settings()).describe()


def test_shows_tables_and_a_result_without_runs(client: Any) -> None:
    comparison = Comparison(client, compare_settings())
    tables = [comparison.tabulate_runs(), comparison.tabulate_others(), comparison.tabulate_parameters(())]
    pair = comparison.compare(comparison.choose_pair())

    assert all(repr(table).endswith(": none") for table in tables)
    assert pair.describe() == r"A comparison on the same rows takes two runs\."
    assert (pair.tags, comparison.list_metrics(pair)) == ({}, {"runs_compared": 0.0})
    assert comparison.describe_result(pair, facts=FACTS, version=None).startswith("No finished run matches")


def test_names_the_runs_that_lack_the_metric(client: Any) -> None:
    record_run(client, "a", metrics=scores(3))
    record_run(client, "c|d", metrics={"rows": 1})

    said = Comparison(client, compare_settings(runs=["a", "c|d"])).describe()
    assert r"Left out, because they do not have that metric: <code>c\|d</code>." in said


def test_shows_what_differs_between_runs_and_their_metrics(client: Any) -> None:
    long = "it's " * 1000
    metrics = {**scores(2), "best_iteration": 7, "fit_time_s": 0.5}
    best = record_run(client, "a", metrics=metrics, eta=0.3, max_depth=4, tracking_uri="x", note=long)
    record_run(client, "b", metrics=scores(3), max_depth=4, tracking_uri="y")
    record_run(client, "c", metrics=scores(4), digest="d2")
    comparison = Comparison(client, compare_settings(search="params.max_depth = '4'"))

    table = comparison.tabulate_runs()

    assert table.columns[3:] == ["best_valid_rmse", "best_iteration", "fit_time_s", "runs"]
    link = Link("a", f"http://127.0.0.1:5000/#/experiments/{comparison.selection.runs[0].info.experiment_id}/runs/{best}")
    assert table.rows[0] == [1, link, f"eta 0.3 · note {long[:120]}…", 2.0, 7, 0.5, "1"]
    differing = {row[0]: row[1:] for row in comparison.tabulate_parameters(comparison.selection.runs).rows}
    assert differing["eta"] == ["0.3", "0.1"] and differing["run"][0] == link


def test_runs_of_one_configuration_are_one_row_with_a_count_and_links(client: Any) -> None:
    for name, value, eta, seed in (("a", 2.0, 0.1, 0), ("b", 3.0, 0.3, 0), ("c", 4.0, 0.1, 1), ("d", 5.0, 0.1, 1)):
        record_run(client, name, metrics=scores(value), eta=eta, seed=seed)

    first, second = Comparison(client, compare_settings()).tabulate_runs().rows
    assert [str(item) for item in (*first[:4], first[-1])] == ["1", "a", "eta 0.1", "2.0", "3 (c 4; d 5)"]
    assert [str(item) for item in (*second[:4], second[-1])] == ["2", "b", "eta 0.3", "3.0", "1"]


def test_shows_one_run_of_each_other_data_set(client: Any) -> None:
    record_run(client, "a", digest="d2", metrics=scores(1))
    record_run(client, "b", digest="d2", metrics=scores(2))
    record_run(client, "c", metrics=scores(3))

    ((rows, run),) = Comparison(client, compare_settings()).tabulate_others().rows
    assert (rows, str(run)) == ("table d2 · split d2", "b") and isinstance(run, Link)


def test_chooses_the_best_run_and_the_best_of_another_configuration(client: Any) -> None:
    for name, value, eta in (("a", 2.0, 0.1), ("b", 3.0, 0.1), ("c", 4.0, 0.3)):
        record_run(client, name, metrics=scores(value), eta=eta)

    assert read_names(Comparison(client, compare_settings()).choose_pair()) == ["c", "a"]
    assert read_names(Comparison(client, compare_settings(challenger="b")).choose_pair()) == ["c", "b"]
    assert read_names(Comparison(client, compare_settings(champion="a", challenger="b")).choose_pair()) == ["a", "b"]


def test_shows_markup_in_names_as_text(client: Any) -> None:
    record_run(client, "a`<b>|x\n", metrics=scores(2))

    said = Comparison(client, compare_settings()).describe_result(PairSummary(reason="No <b>pair</b>"), facts=FACTS, version=None)
    assert r"[a\`\<b\>\|x](http://host/#/experiments/" in said
    assert r"[compare\-1](http://host/#/experiments/1/runs/2)" in said
    assert said.endswith("\n\nNo \\<b\\>pair\\<\\/b\\>")


def test_reports_the_difference_of_a_pair(client: Any) -> None:
    ids = [record_run(client, name, metrics=scores(2)) for name in ("a", "b")]
    pair = PairSummary(find_named(client, ids), Difference("rmse", 3.0, 2.0, -1.5, -0.5, 88, "better", "Basis.", ""))

    assert pair.describe().startswith("The challenger `b` is better than the champion `a`: rmse 2 against 3 on 88 rows")
    metrics = Comparison(client, compare_settings()).list_metrics(pair)
    assert metrics == {"runs_compared": 2.0, "best_valid_rmse": 2.0, "difference": -1.0, "low": -1.5, "high": -0.5}
    assert pair.tags == {"boostlab.champion": ids[0], "boostlab.challenger": ids[1]}


def test_gives_the_reason_if_two_runs_cannot_be_compared(client: Any) -> None:
    for name in ("a", "b"):
        record_run(client, name, metrics=scores(2))

    comparison = Comparison(client, compare_settings())
    pair = comparison.compare(comparison.choose_pair())
    assert "no test rows" in pair.describe() and pair.difference is None


def test_registers_nothing_without_a_name(client: Any) -> None:
    assert Comparison(client, compare_settings()).register_best() is None


def test_refuses_to_register_a_missing_model(client: Any) -> None:
    with pytest.raises(LabError, match="there is no run whose model could be registered"):
        Comparison(client, compare_settings(register_as="sugar")).register_best()
    record_run(client, "a", metrics=scores(2))
    with pytest.raises(LabError, match="logged no model"):
        Comparison(client, compare_settings(register_as="sugar")).register_best()


def test_lists_the_metrics_of_the_comparisons_run(client: Any) -> None:
    record_run(client, "a", metrics=scores(2))
    comparison = Comparison(client, compare_settings())
    assert comparison.list_metrics(comparison.compare(())) == {"runs_compared": 1.0, "best_valid_rmse": 2.0}


def test_draws_a_curve_for_each_run_that_has_one(client: Any) -> None:
    ids = [record_run(client, name, metrics={**scores(2), "valid_rmse": 9.0}) for name in ("a", "twin", "twin")]
    for step, value in enumerate((3.0, 1.0, 2.0)):
        client.log_metric(ids[1], "valid_rmse", value, step=step + 1)
    comparison = Comparison(client, compare_settings())
    (axes,) = comparison.plot_curves(comparison.selection.runs).axes
    labels = {label.partition(":")[0] for line in axes.get_lines() if not (label := str(line.get_label())).startswith("_")}
    assert labels == {"a", f"twin ({ids[1][:8]})", f"twin ({ids[2][:8]})"}

    client.get_metric_history = lambda *_: []  # as of runs whose curves were not copied with them
    words = [text.get_text() for text in comparison.plot_curves(comparison.selection.runs).texts]
    assert words == ["None of these runs recorded learning curves."]
