from __future__ import annotations

from typing import Any

from tests.support.comparison import compare_settings, record_run, scores

from boostlab.comparison.selection import Selection, select_runs
from boostlab.comparison.tables import tabulate_others, tabulate_parameters, tabulate_runs


def test_shows_what_differs_between_runs_and_their_metrics(client: Any) -> None:
    long = "it's " * 1000
    metrics = {**scores(2), "best_iteration": 7, "fit_time_s": 0.5}
    best = record_run(client, "a", metrics=metrics, eta=0.3, max_depth=4, tracking_uri="x", note=long)
    record_run(client, "b", metrics=scores(3), max_depth=4, tracking_uri="y")
    record_run(client, "c", metrics=scores(4), digest="d2")
    selection = select_runs(client, compare_settings(search="params.max_depth = '4'"))

    table = tabulate_runs(selection)

    columns = ["rank", "run", "eta", "note", "test_rmse", "test_r2", "best_iteration", "fit_time_s", "duration (s)", "data"]
    assert table.columns == [*columns, "run id"]
    assert table.rows[0] == [1, "a", 0.3, f"{long[:120]}…", 2.0, 0.8, 7, 0.5, 2.5, "table d1 · d1", best]
    assert {row[0]: row[1:] for row in tabulate_parameters(selection.runs).rows}["eta"] == [0.3, 0.1]


def test_shows_one_run_of_each_other_data_set(client: Any) -> None:
    record_run(client, "a", digest="d2", metrics=scores(1))
    newest = record_run(client, "b", digest="d2", metrics=scores(2))
    record_run(client, "c", metrics=scores(3))

    assert tabulate_others(select_runs(client, compare_settings())).rows == [["table d2 · d2", "b", 2.0, newest]]


def test_says_that_there_is_nothing_to_show() -> None:
    tables = [tabulate_runs(Selection()), tabulate_others(Selection()), tabulate_parameters(())]

    assert all(repr(table).endswith(": none") for table in tables)
