"""Comparisons within the study of a sweep, and of trials with other runs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.comparison import compare_settings, read_names, record_run, record_sweep, record_trial, scores
from tests.support.registry import STRONG, WEAK, add_version

from boostlab.comparison.candidates import Choice, rank_candidate
from boostlab.comparison.paired import ALPHA
from boostlab.comparison.search import find_named
from boostlab.comparison.selection import select_runs
from boostlab.comparison.steps import Comparison
from boostlab.comparison.study import Study, find_study
from boostlab.errors import LabError


def test_ranks_the_complete_trials_of_a_study_and_says_how_many_were_pruned(client_of_each_store: Any) -> None:
    client = client_of_each_store
    study = f"it's {client.tracking_uri[:4]}"
    record_run(client, "alone", metrics=scores(0.5))
    record_sweep(client, study)
    for number, value in enumerate((3.0, 2.0, 4.0)):
        record_trial(client, study, number, metrics=scores(value), eta=value, notebook="mine")
    record_trial(client, "another", 0, metrics=scores(1))
    record_trial(client, study, 3, metrics=scores(0.1), status="FAILED")
    record_trial(client, study, 4, metrics=scores(0.1), pruned=True, split=None)
    record_trial(client, study, 5, pruned=True)

    comparison = Comparison(client, compare_settings(study=study))

    assert read_names(comparison.selection.runs) == [f"{study}-{number:04d}" for number in (1, 0, 2)]
    said = comparison.describe()
    assert "(3)." in said and "2 pruned trials are left out" in said
    assert "study" not in comparison.tabulate_runs().columns
    assert [row[2] for row in comparison.tabulate_runs().rows] == ["eta 2.0", "eta 3.0", "eta 4.0"]


def test_ranks_across_studies_and_names_the_study_of_each_trial(client: Any) -> None:
    record_run(client, "alone", metrics=scores(2), eta=0.3)
    record_trial(client, "a", 0, metrics=scores(1))
    record_trial(client, "b", 0, metrics=scores(3), eta=0.2)
    record_trial(client, "b", 1, pruned=True)  # the newest run, which has no metric

    comparison = Comparison(client, compare_settings())

    assert read_names(comparison.selection.runs) == ["a-0000", "alone", "b-0000"]
    assert "They are trials of `a` (1), `b` (1), no study (1). 1 pruned trial is left out" in comparison.describe()
    table = comparison.tabulate_runs()
    assert [row[table.columns.index("study")] for row in table.rows] == ["a", "–", "b"]


@pytest.mark.parametrize(
    ("sweep", "metric", "best"),
    [
        ({}, "best_valid_rmse", 1),
        ({"metric": '["gain", "best_valid_rmse"]', "direction": '["higher", "auto"]'}, "gain", 2),
        ({"metric": '["gain"]', "direction": '["lower"]'}, "gain", 1),
        ({"metric": '["cut of'}, "best_valid_rmse", 1),
        ({"fixed": '{"folds": 5}'}, "cv_rmse", 2),
    ],
)
def test_ranks_by_the_metric_of_the_sweep(client: Any, sweep: dict[str, str], metric: str, best: int) -> None:
    record_sweep(client, "a", **sweep)
    record_trial(client, "a", 1, metrics={"best_valid_rmse": 1, "gain": 1, "cv_rmse": 2})
    record_trial(client, "a", 2, metrics={"best_valid_rmse": 2, "gain": 2, "cv_rmse": 1})

    found = select_runs(client, compare_settings(study="a"))

    assert found.metric == metric and found.runs[0].info.run_name == f"a-{best:04d}"
    assert select_runs(client, compare_settings(study="a", metric="best_valid_rmse")).metric == "best_valid_rmse"


def test_reads_the_newest_sweep_of_a_study(client: Any) -> None:
    record_sweep(client, "a")
    record_sweep(client, "a", register_as="homes", fixed='{"folds": 0}')

    assert find_study(client, "a") == Study("a", model="homes")


def test_refuses_an_unknown_study_and_suggests_one(client: Any) -> None:
    with pytest.raises(LabError, match=r"no study 'homes'\. It has none: run sweep\.ipynb first\."):
        find_study(client, "homes")
    record_sweep(client, "homes-1")
    with pytest.raises(LabError, match=r"no study 'homes-2'\. Did you mean 'homes-1'\? It has: homes-1\."):
        select_runs(client, compare_settings(study="homes-2"))


def test_says_that_a_study_has_no_complete_trial(client: Any) -> None:
    record_sweep(client, "a")
    record_trial(client, "a", 0, pruned=True)

    comparison = Comparison(client, compare_settings(study="a"))
    assert comparison.describe() == (
        "No trial of the study `a` is complete and matches: nothing to compare. "
        "1 pruned trial is left out: ended early, it has no value that could be ranked."
    )
    assert len(comparison.tabulate_runs().rows) == 0 and comparison.choose_pair() == ()


def test_the_best_trial_is_compared_with_the_version_in_production(client: Any) -> None:
    add_version(client, "homes", rounds=WEAK)
    client.set_registered_model_alias("homes", "production", 1)
    weak = client.get_model_version("homes", 1).run_id
    add_version(client, "homes", rounds=STRONG)
    best = client.get_model_version("homes", 2).run_id
    for name, value in (("boostlab.study", "a"), ("boostlab.notebook", "train")):
        client.set_tag(best, name, value)
    record_sweep(client, "a", champion="homes")
    record_trial(client, "a", 1, pruned=True)

    comparison = Comparison(client, compare_settings(study="a"))
    assert [run.info.run_id for run in comparison.choose_pair()] == [weak, best]
    summary = comparison.compare(comparison.choose_pair())
    assert summary.difference and "1 trial(s) were pruned, and count too." in summary.difference.caution
    named = Comparison(client, compare_settings(study="a", champion="models:/homes/2", challenger="models:/homes@production"))
    assert [run.info.run_id for run in named.choose_pair()] == [best, weak]

    client.delete_registered_model_alias("homes", "production")
    comparison = Comparison(client, compare_settings(study="a"))
    assert "No version of `homes` is in production: a trial is the champion." in comparison.describe()


def test_pruned_trials_count_among_the_candidates(client: Any) -> None:
    for number in range(3):
        record_trial(client, "a", number, metrics=scores(number + 1))
    record_run(client, "champion", metrics=scores(9))
    for number in range(3, 7):
        record_trial(client, "a", number, pruned=True)
    best, champion = find_named(client, ["a-0000", "champion"])

    found = rank_candidate(client, best, champion=champion)

    assert found == Choice("best_valid_rmse", 1, 3, pruned=4)
    assert Choice("m", 1, 3, pruned=4, is_ranked=False).alpha == pytest.approx(ALPHA / 7)
    assert "4 trial(s) were pruned, and count too." in found.describe()
