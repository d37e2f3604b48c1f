"""Boosters that others wrote: damaged ones are refused before XGBoost reads them, and none ends the process."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.boosters import train_boosters, write_ubjson
from tests.support.paths import PROJECT
from tests.support.waiting import TIMEOUT_S

from boostlab.models.booster import check_booster
from boostlab.models.ubjson import parse_ubjson

BOOSTERS = train_boosters()
Damage = Callable[[Any], object]


def put(name: str, place: int, value: float) -> Damage:
    """Return a function that changes a node of the first tree."""

    def act(model: Any) -> None:
        tree = model["learner"]["gradient_booster"]["model"]["trees"][0]
        tree[name] = tree[name].copy()
        tree[name][place] = value

    return act


def cut(name: str) -> Damage:
    """Return a function that shortens an array of the first tree."""

    def act(model: Any) -> None:
        tree = model["learner"]["gradient_booster"]["model"]["trees"][0]
        tree[name] = tree[name][:-1]

    return act


def set_parameter(name: str, value: str) -> Damage:
    return lambda model: model["learner"]["learner_model_param"].update({name: value})


FAULTS: dict[str, tuple[Damage, str]] = {
    "a loop": (put("left_children", 1, 0), "has a child out of range"),
    "a child after the last": (put("left_children", 1, 99), "has a child out of range"),
    "a child of two": (put("left_children", 1, 2), "has a node with two parents, such as in a loop"),
    "an input that is not there": (put("split_indices", 0, 3), "has a split on an input out of range"),
    "a leaf that is not finite": (put("split_conditions", -1, float("nan")), "has a leaf that is not finite"),
    "an unknown split": (put("split_type", 0, 7), "has a split of an unknown kind"),
    "a category that is not there": (put("categories", 0, 8), "has a category out of range"),
    "a negative category": (put("categories", 0, -1), "has a category out of range"),
    "a segment too long": (put("categories_sizes", 0, 2**40), "has a wrong segment"),
    "too few nodes": (cut("left_children"), "has left_children of a wrong length"),
    "too few conditions": (cut("split_conditions"), "has split_conditions of a wrong length"),
    "too many inputs": (set_parameter("num_feature", "4"), "has 4 inputs, and the contract 3"),
    "too many outputs": (set_parameter("num_class", "900000000"), "has 900000000 outputs, and the contract 3"),
    "no number of inputs": (set_parameter("num_feature", "-1"), "has '-1' in the place of a whole number"),
    "an unknown objective": (lambda model: model["learner"]["objective"].update(name="rank:ndcg"), "has the unknown objective"),
    "no trees": (lambda model: model["learner"]["gradient_booster"].pop("model"), "is no booster of XGBoost in UBJSON: KeyError"),
}


@pytest.mark.parametrize("name", BOOSTERS)
def test_accepts_what_xgboost_writes(name: str) -> None:
    content, contract = BOOSTERS[name]
    check_booster(content, contract)
    assert parse_ubjson(write_ubjson(parse_ubjson(content))).keys() == {"learner", "version"}


@pytest.mark.parametrize("fault", FAULTS)
def test_refuses_a_damaged_booster_with_its_fault(fault: str) -> None:
    damage, message = FAULTS[fault]
    content, contract = BOOSTERS["gbtree"]
    model = copy.deepcopy(parse_ubjson(content))
    damage(model)
    with pytest.raises(ValueError, match=re.escape(f"model.ubj {message}")):
        check_booster(write_ubjson(model), contract)


@pytest.mark.parametrize("content", [b"", b"broken", b"{", b"{" * 5000, b"[$l#L\x7f" + b"\xff" * 7, b'{"learner": {}}'])
def test_refuses_what_is_no_ubjson(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"is no (UBJSON|booster) of XGBoost"):
        check_booster(content, BOOSTERS["gbtree"][1])


def test_refuses_vector_leaves_in_the_format_of_another_version() -> None:
    content, contract = BOOSTERS["vector"]
    model = parse_ubjson(content)
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        tree.pop("leaf_weights")
    with pytest.raises(
        ValueError, match=r"vector leaves of another version of XGBoost than .*: load it with the version that wrote"
    ):
        check_booster(write_ubjson(model), contract)


@pytest.mark.slow
def test_no_damaged_booster_that_passes_the_check_ends_the_process() -> None:
    command = [sys.executable, "-m", "tests.support.boosters", "60", "0"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == list(BOOSTERS)
    assert all(line.endswith(" 0 crash") for line in lines), done.stdout
    assert not all(" 60 of 60 are used" in line for line in lines)
