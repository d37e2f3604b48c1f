"""The rows on which two models are compared: rows that neither has learned from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost as xgb

from boostlab.comparison.paired import compare_pair
from boostlab.comparison.rows import check_same_target, have_same_rows, pair_predictor, pair_rows
from boostlab.data.digest import hash_table
from boostlab.errors import ColumnsError, LabError
from boostlab.evaluation.holdout import Holdout
from boostlab.evaluation.training_rows import TrainingRows
from boostlab.models.contract import Contract, Feature
from boostlab.models.predictor import Predictor


def rows(positions: Any, *, digest: str = "d", target: str = "y", labels: tuple[str, ...] = (), test_rows: int = 0) -> Holdout:
    here = np.asarray(positions)
    data = pa.table({"a": here.astype(float)})
    hashes = hash_table(data).rows
    shared: dict[str, Any] = {"hashes": hashes, "columns": {"a": digest, target: digest}, "test_rows": test_rows or len(here)}
    if not labels:
        true, answers = pd.Series(here * 1.0, name=target), here + 0.5
        return Holdout(data, true, None, here, answers, digest, "regression", [], **shared)
    true = pd.Series(np.asarray(labels)[here % len(labels)], name=target)
    answers = np.eye(len(labels))[here % len(labels)] * 0.5 + 0.5 / len(labels)
    return Holdout(data, true, None, here, answers, digest, "classification", list(labels), **shared)


def learned(positions: Any, *, columns: tuple[str, ...] = ("a", "y"), count: int = 0) -> TrainingRows:
    """Return the hashes of rows with these values of `a`."""
    hashes = np.sort(hash_table(pa.table({"a": np.asarray(positions, float)})).rows)
    return TrainingRows(hashes, frozenset(columns), count or len(hashes))


def predictor(labels: tuple[str, ...] = (), feature: str = "a") -> Predictor:
    matrix = xgb.DMatrix(np.arange(100.0)[:, np.newaxis], label=np.arange(100) % max(len(labels), 1), feature_names=[feature])
    params = {"objective": "binary:logistic" if labels else "reg:squarederror", "nthread": 1}
    contract = Contract("classification" if labels else "regression", labels, (Feature(feature, "number", "double"),))
    return Predictor(xgb.train(params, matrix, 3), contract)


def test_compares_on_the_rows_that_both_held_out() -> None:
    found = pair_rows(rows(range(50)), rows(range(20, 70)))

    assert found.true.tolist() == list(range(20, 50))
    assert (found.champion == found.challenger).all()
    assert (found.basis, found.caution) == ("The rows are 30 that both runs held out.", "")


def test_says_that_both_held_out_the_same_rows() -> None:
    found = pair_rows(rows(range(50)), rows(range(50)))

    assert found.basis == "The rows are all 50 of the test part, which both runs held out."


def test_brings_classes_into_one_order() -> None:
    old, new = (rows(range(40), labels=labels) for labels in (("n", "y"), ("y", "n")))
    found = pair_rows(replace(old, target=new.target), new)

    assert found.labels == ["y", "n"]
    assert found.champion.tolist() == old.answers[:, ::-1].tolist()


def test_each_model_is_judged_by_its_own_threshold_whichever_class_is_its_last() -> None:
    new = replace(rows(range(60), labels=("no", "yes")), threshold=0.8)  # the probabilities are 0.25 and 0.75
    old = replace(rows(range(60), labels=("yes", "no")), threshold=0.2)  # each row is "no"
    pair = pair_rows(replace(old, target=new.target), new)

    assert pair.predicted is not None
    assert [chosen.tolist() for chosen in pair.predicted] == [[0] * 60, [0] * 60]
    assert compare_pair(pair, metric="accuracy").challenger == 0.5
    usual = pair_rows(replace(old, target=new.target, threshold=None), replace(new, threshold=None))
    assert compare_pair(usual, metric="accuracy").challenger == 1.0 != compare_pair(usual, metric="accuracy").champion
    again = pair_predictor(predictor(labels=("yes", "no")), new, seen=learned([]), role="champion")
    assert again.predicted is not None and again.predicted[1].tolist() == [0] * 60 and set(again.predicted[0]) == {0, 1}


def test_says_that_no_row_was_held_out_by_both() -> None:
    with pytest.raises(LabError, match="no row is a test row of both"):
        pair_rows(rows(range(50)), rows(range(50, 90)))


def test_keeps_weights_and_groups_of_the_rows() -> None:
    new = replace(rows(range(50)), weight=np.arange(50.0), groups=np.arange(50) // 5)
    found = pair_rows(rows(range(25, 75)), new)

    assert found.weight is not None and found.weight.tolist() == list(range(25, 50))
    assert found.groups is not None and found.groups.tolist() == [number // 5 for number in range(25, 50)]


COLUMNS = {"y": "1", "a": "2", "b": "3"}


@pytest.mark.parametrize(
    ("columns", "same"),
    [
        ({"b": "3", "a": "2", "y": "1"}, True),  # another order
        ({"y": "1", "a": "2"}, True),  # a column less
        (COLUMNS | {"c": "4"}, True),  # a column more
        (COLUMNS | {"b": "5"}, True),  # a column with other values
        ({"y": "1", "c": "4"}, True),  # no common feature
        (COLUMNS | {"y": "6"}, False),  # another target
        (COLUMNS | {"a": "5", "b": "5"}, False),  # other rows, which have the same classes in the same order
        ({}, False),  # recorded by an earlier version
    ],
)
def test_the_target_and_one_common_column_tell_that_the_rows_are_the_same(columns: dict[str, str], same: bool) -> None:
    old = replace(rows(range(30), digest="old"), columns=COLUMNS)

    assert have_same_rows(old, replace(rows(range(30)), columns=columns)) == same
    assert have_same_rows(replace(old, digest="d"), replace(rows(range(30)), columns=columns))


OTHER_TARGETS = [rows(range(9), target="z"), rows(range(9), labels=("n", "y")), replace(rows(range(9)), quantiles=(0.1, 0.9))]


@pytest.mark.parametrize("other", OTHER_TARGETS)
def test_refuses_runs_that_predict_different_things(other: Holdout) -> None:
    with pytest.raises(LabError, match="Only models of the same target can be compared"):
        check_same_target(rows(range(9)), other)


def test_leaves_out_rows_that_the_champion_has_learned_from() -> None:
    found = pair_predictor(predictor(), rows(range(100)), seen=learned(range(60)), role="champion")

    assert found.true.tolist() == list(range(60, 100))
    assert found.champion.tolist() == np.asarray(predictor().predict(rows(range(60, 100)).frame)).tolist()
    assert found.challenger.tolist() == rows(range(60, 100)).answers.tolist()
    assert "The rows are 40 of the challenger's test part, predicted again by the champion's model." in found.basis
    assert "60 more are left out: the champion was trained on them." in found.basis and not found.caution


def test_finds_learned_rows_in_a_table_with_another_column() -> None:
    new = rows(range(100))
    data = new.data.append_column("b", pa.array(np.arange(100.0) ** 2))
    new = replace(new, data=data, hashes=hash_table(data).rows, columns=new.columns | {"b": "3"})

    assert len(pair_predictor(predictor(), new, seen=learned(range(60)), role="champion")) == 40


def test_keeps_only_rows_that_are_known_to_be_unseen_if_the_hashes_are_a_sample() -> None:
    every = learned(range(1000))
    sample = TrainingRows(every.hashes[:500], every.columns, 1000)
    found = pair_predictor(predictor(), rows(range(900, 1100)), seen=sample, role="champion")

    assert set(found.true) <= set(range(1000, 1100)) and 20 < len(found) < 80
    assert "the champion was trained on them, or may have been." in found.basis


@pytest.mark.parametrize("seen", [None, learned(range(60), columns=("a", "gone", "y"))])
def test_says_that_it_is_not_known_which_rows_the_champion_has_learned_from(seen: TrainingRows | None) -> None:
    found = pair_predictor(predictor(), rows(range(100)), seen=seen, role="champion")

    assert found.caution == "It is not known whether the champion was trained on some of these rows, which would favour it."
    assert "The rows are all 100 of the challenger's test part, predicted again by the champion's model." in found.basis
    assert found.champion.tolist() == np.asarray(predictor().predict(rows(range(100)).frame)).tolist()


def test_refuses_if_no_row_is_left() -> None:
    with pytest.raises(LabError, match="The champion has learned from all 30 test rows of the challenger"):
        pair_predictor(predictor(), rows(range(30)), seen=learned(range(60)), role="champion")


def test_the_challenger_can_predict_the_champions_rows() -> None:
    found = pair_predictor(predictor(), rows(range(30)), seen=learned(range(90, 99)), role="challenger")

    assert found.challenger.tolist() == np.asarray(predictor().predict(rows(range(30)).frame)).tolist()
    assert "of the champion's test part, predicted again by the challenger's model" in found.basis


def test_names_the_columns_that_the_rows_lack() -> None:
    with pytest.raises(ColumnsError, match="The champion's model cannot read the challenger's test rows, which lack b"):
        pair_predictor(predictor(feature="b"), rows(range(30)), seen=None, role="champion")


def test_orders_a_champions_classes_as_the_challenger_does() -> None:
    new = rows(range(30), labels=("y", "n"))
    found = pair_predictor(predictor(("n", "y")), new, seen=None, role="champion")

    assert found.champion.tolist() == predictor(("n", "y")).answers(new.frame)[:, ::-1].tolist()


def test_refuses_a_champion_of_another_target() -> None:
    with pytest.raises(LabError, match="The champion's model does classification into n, y, the challenger's regression"):
        pair_predictor(predictor(("n", "y")), rows(range(30)), seen=None, role="champion")
