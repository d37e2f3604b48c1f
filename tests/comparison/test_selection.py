from __future__ import annotations

from typing import Any

import pytest
from tests.support.comparison import compare_settings, read_names, record_run, scores

from boostlab.comparison import selection as selection_module
from boostlab.comparison.search import Rows
from boostlab.comparison.selection import select_runs
from boostlab.errors import LabError


def test_ranks_the_finished_runs_of_one_notebook_on_the_newest_runs_data(client_of_each_store: Any) -> None:
    client = client_of_each_store
    record_run(client, "other-data", digest="d2", metrics=scores(1))
    for name, value in (("b", 3.0), ("c", 4.0), ("a", 2.0)):
        record_run(client, name, metrics=scores(value), eta=value)
    record_run(client, "failed", metrics=scores(0.1), status="FAILED")
    record_run(client, "without", metrics={"rows": 3})
    record_run(client, "comparing", metrics=scores(0.1), notebook="compare", experiment="compare")

    found = select_runs(client, compare_settings(metric="test_rmse", how_many=2))

    assert (read_names(found.runs), found.rows, found.has_more) == (["a", "b"], Rows("split d1", "table d1"), True)
    assert {str(data): run.info.run_name for data, run in found.others.items()} == {"table d2 · split d2": "other-data"}
    assert read_names(select_runs(client, compare_settings(runs=["b", found.runs[0].info.run_id])).runs) == ["a", "b"]
    with pytest.raises(LabError, match="cannot read the search"):
        select_runs(client, compare_settings(search="metrics.test_rmse >"))


def test_ranks_by_the_metrics_direction_and_narrows_by_a_search(client: Any) -> None:
    for name, value in (("a", 2.0), ("b", 3.0), ("c", 4.0)):
        record_run(client, name, metrics=scores(value), eta=value)

    assert read_names(select_runs(client, compare_settings(metric="test_r2")).runs) == ["a", "b", "c"]
    assert read_names(select_runs(client, compare_settings(metric="test_r2", direction="lower")).runs) == ["c", "b", "a"]
    assert read_names(select_runs(client, compare_settings(search="params.eta = '3.0'")).runs) == ["b"]
    assert select_runs(client, compare_settings(search="metrics.test_rmse < 1")).runs == ()


def test_ranks_by_folds_only_runs_with_the_same_folds(client: Any) -> None:
    for name, folds, value in (("a", 5, 3.0), ("few", 2, 1.0), ("b", 5, 2.0)):
        record_run(client, name, metrics={**scores(value), "cv_rmse": value}, folds=folds, repeats=1)

    found = select_runs(client, compare_settings(metric="cv_rmse"))
    assert (read_names(found.runs), str(found.rows)) == (["b", "a"], "table d1, 5 folds · split d1")
    assert [run.info.run_name for run in found.others.values()] == ["few"]
    named = select_runs(client, compare_settings(metric="cv_rmse", runs=["a", "few", "b"]))
    assert read_names(named.runs) == ["b", "a"] and read_names(named.others.values()) == ["few"]
    assert read_names(select_runs(client, compare_settings(metric="test_rmse")).runs) == ["few", "b", "a"]


def test_compares_named_runs_of_any_notebook_and_status(client: Any) -> None:
    first = record_run(client, "a", metrics=scores(3), notebook="mine")
    record_run(client, "b", metrics=scores(2), status="FAILED")
    record_run(client, "c", metrics={"rows": 1})

    found = select_runs(client, compare_settings(runs=[first, "b", "c", "a"]))

    assert (read_names(found.runs), found.lacking) == (["b", "a"], ("c",))


def test_separates_named_runs_on_different_data(client: Any) -> None:
    for name, digest in (("a", "d1"), ("b", "d1"), ("c", "d2"), ("d", "")):
        record_run(client, name, digest=digest, split=None if digest else "", metrics=scores(2))

    found = select_runs(client, compare_settings(runs=["d", "c", "b", "a"]))

    assert sorted(read_names(found.runs)) == ["a", "b"]
    assert set(map(str, found.others)) == {"table d2 · split d2", "data not recorded"}


def test_ranks_by_the_validation_rows_and_not_by_the_test_rows(client: Any) -> None:
    for name, valid, test in (("lucky", 3.0, 1.0), ("chosen", 2.0, 2.0)):
        record_run(client, name, metrics={"best_valid_rmse": valid, "test_rmse": test})
    found = select_runs(client, compare_settings())

    assert (found.metric, read_names(found.runs)) == ("best_valid_rmse", ["chosen", "lucky"])
    assert read_names(select_runs(client, compare_settings(metric="test_rmse")).runs) == ["lucky", "chosen"]


def test_ranks_models_on_other_columns_and_never_on_other_rows(client_of_each_store: Any) -> None:
    client = client_of_each_store
    shared: dict[str, Any] = {"notebook": "ablation", "experiment": "ablation"}
    record_run(client, "other-rows", split="s2", metrics=scores(1), **shared)
    record_run(client, "old", split="", metrics=scores(1), **shared)
    record_run(client, "fewer-columns", split="s1", digest="fewer", metrics=scores(3), **shared)
    record_run(client, "all-columns", split="s1", metrics=scores(2), **shared)
    found = select_runs(client, compare_settings(notebook="ablation"))

    assert read_names(found.runs) == ["all-columns", "fewer-columns"]
    assert read_names(found.others.values()) == ["other-rows"]


def test_runs_of_earlier_versions_are_on_the_same_rows_if_the_same_parameters_split_them(client: Any) -> None:
    for name, seed, value in (("a", 0, 3.0), ("b", 1, 1.0), ("c", 0, 2.0)):
        record_run(client, name, split="", seed=seed, metrics={"test_rmse": value})
    found = select_runs(client, compare_settings())

    assert (found.metric, read_names(found.runs), read_names(found.others.values())) == ("test_rmse", ["c", "a"], ["b"])
    assert read_names(select_runs(client, compare_settings(runs=["a", "b", "c"])).runs) == ["c", "a"]


def test_finds_few_runs_of_rare_data_among_many(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_module, "SPARE_RUNS", 3)
    for number in range(9):
        record_run(client, f"other-{number}", digest="d2", metrics=scores(1))
    for name, value in (("a", 2.0), ("b", 3.0)):
        record_run(client, name, metrics=scores(value))

    assert read_names(select_runs(client, compare_settings(how_many=5)).runs) == ["a", "b"]


def test_names_what_is_wrong_and_what_exists(client: Any) -> None:
    record_run(client, "train-1", metrics=scores(2))
    cases: list[tuple[dict[str, object], str]] = [
        ({"experiments": ["trian"]}, "The store has no experiment 'trian'. Did you mean 'train'? It has: Default, train"),
        ({"runs": ["train-one"]}, "The store has no run of the id or name 'train-one'. Did you mean 'train-1'?"),
        ({"metric": "test_rmsle"}, "Did you mean 'test_rmse'? train-1 has: best_valid_rmse, test_r2, test_rmse"),
        ({"metric": "mine"}, "Whether a higher or a lower 'mine' is better is not known"),
        ({"metric": "mine", "direction": "lower"}, "No run that matches has the metric 'mine'. train-1 has: best"),
        ({"runs": ["train-1"], "metric": "test_mae"}, "No run that matches has the metric 'test_mae'"),
        ({"search": "metrics.test_rmse >"}, "cannot read the search"),
        ({"search": "metrics.test_rmse < 3 OR params.eta = '1'"}, "It takes MLflow's search syntax, such as"),
    ]
    for given, message in cases:
        with pytest.raises(LabError) as caught:
            select_runs(client, compare_settings(**given))
        assert message in str(caught.value)


def test_asks_for_a_metric_if_the_newest_run_has_none_of_the_usual(client: Any) -> None:
    record_run(client, "a", metrics={"score": 1})

    with pytest.raises(LabError, match="Name a metric, as -p metric NAME"):
        select_runs(client, compare_settings())
