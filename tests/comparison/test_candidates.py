"""The choice of a run among many, and what it costs in the interval."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.comparison import record_run
from tests.support.registry import STRONG, WEAK, add_version

from boostlab.comparison.candidates import Choice, compare_runs, rank_candidate
from boostlab.comparison.paired import ALPHA
from boostlab.comparison.search import find_named


def rank(client: Any, name: str, champion: str) -> Choice:
    run, present = find_named(client, [name, champion])
    return rank_candidate(client, run, champion=present)


def test_ranks_a_run_among_all_on_its_split_but_the_champion(client_of_each_store: Any) -> None:
    client = client_of_each_store
    values = {"champion": (0.5, 9.0), "first": (1.0, 9.0), "second": (2.0, 9.0), "equal": (2.0, 8.0), "last": (3.0, 9.0)}
    for name, (valid, test) in values.items():
        record_run(client, name, split="s", metrics={"best_valid_rmse": valid, "test_rmse": test})
    record_run(client, "elsewhere", split="other", metrics={"best_valid_rmse": 0.1})
    record_run(client, "failed", split="s", status="FAILED", metrics={"best_valid_rmse": 0.9}, experiment="mine")

    assert rank(client, "failed", "champion") == Choice("best_valid_rmse", 1, 5)
    assert rank(client, "first", "champion") == Choice("best_valid_rmse", 2, 5)
    assert rank(client, "second", "champion") == rank(client, "equal", "champion") == Choice("best_valid_rmse", 4, 5)
    assert rank(client, "last", "elsewhere") == Choice("best_valid_rmse", 6, 6)


def test_the_same_model_trained_twice_counts_once(client: Any) -> None:
    for name, value in (("champion", 2.0), ("challenger", 1.0), ("again", 1.0), ("champion-again", 2.0)):
        record_run(client, name, metrics={"best_valid_rmse": value, "test_rmse": value})

    assert rank(client, "challenger", "champion") == Choice("best_valid_rmse", 1, 1)


def test_a_higher_metric_may_be_better(client: Any) -> None:
    for name, value in (("champion", 0.5), ("best", 0.9), ("other", 0.7)):
        record_run(client, name, metrics={"best_valid_auc": value})

    assert rank(client, "best", "champion").rank == 1 and rank(client, "other", "champion").rank == 2


@pytest.mark.parametrize("candidates", [1, 2, 20, 1000])
@pytest.mark.parametrize("is_ranked", [True, False])
def test_the_errors_of_all_candidates_sum_to_the_promised_one(candidates: int, is_ranked: bool) -> None:
    errors = [Choice("m", rank, candidates, is_ranked=is_ranked).alpha for rank in range(1, candidates + 1)]

    assert sum(errors) == pytest.approx(ALPHA)
    assert errors == sorted(errors, reverse=True) and (len(set(errors)) == 1) == (not is_ranked or candidates == 1)


@pytest.mark.parametrize("folds", [0, 2])
def test_on_the_rows_of_folds_no_rank_is_favoured_because_the_ranking_rows_are_among_them(client: Any, folds: int) -> None:
    numbers = [add_version(client, "judged", rounds=rounds, folds=folds) for rounds in (WEAK, STRONG, STRONG - 1, STRONG - 2)]
    champion, *others = [client.get_run(client.get_model_version("judged", str(number)).run_id) for number in numbers]
    found = [compare_runs(client, champion=champion, challenger=run) for run in others]

    assert {each.basis.endswith("of the cross-validation, which both runs held out.") for each in found} == {bool(folds)}
    levels = sorted((each.alpha for each in found), reverse=True)
    expected = [ALPHA / 3] * 3 if folds else [ALPHA * 4 / 3 / (rank * (rank + 1)) for rank in (1, 2, 3)]
    assert levels == pytest.approx(expected)
    assert all(("There are 3 models on this split." in each.caution) == bool(folds) for each in found)


def test_runs_with_other_folds_are_compared_on_the_test_part_because_their_models_know_other_shares(client: Any) -> None:
    numbers = [add_version(client, "judged", rounds=STRONG, folds=folds) for folds in (2, 10, 10)]
    few, many, again = [client.get_run(client.get_model_version("judged", str(number)).run_id) for number in numbers]

    unequal, equal = compare_runs(client, champion=few, challenger=many), compare_runs(client, champion=many, challenger=again)
    assert "of the test part" in unequal.basis and unequal.value == 0
    assert "of the cross-validation" in equal.basis and equal.value == 0


def test_models_with_another_validation_metric_take_their_part_of_the_error(client: Any) -> None:
    for name, metric in (("champion", "rmse"), ("challenger", "rmse"), ("other", "mae"), ("another", "mae")):
        record_run(client, name, metrics={f"best_valid_{metric}": 1.0, "test_rmse": len(name)})
    found = rank(client, "challenger", "champion")

    assert (found, found.alpha) == (Choice("best_valid_rmse", 1, 1, 2), ALPHA / 2)
    assert "Other models on this split have 1 other validation metric(s)." in found.describe()


def test_a_run_without_competitors_has_the_usual_interval(client: Any) -> None:
    for name in ("champion", "only"):
        record_run(client, name, metrics={"best_valid_rmse": 1.0})
    only = rank(client, "only", "champion")

    assert (only.alpha, only.describe()) == (ALPHA, "")


def test_says_what_widens_the_interval() -> None:
    assert Choice("best_valid_rmse", 3, 20).describe() == (
        "Of 20 models on this split, the challenger is number 3 by best_valid_rmse. The interval allows for a choice among them."
    )


def test_says_that_it_is_not_known_how_many_runs_were_tried(client: Any) -> None:
    record_run(client, "champion", split="", metrics={"test_rmse": 1.0})
    record_run(client, "old", split="", metrics={"test_rmse": 1.0})
    old = rank(client, "old", "champion")

    assert old.alpha == ALPHA and old.describe().startswith("It is not known how many runs were tried on these rows")
