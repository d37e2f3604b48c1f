"""The points of a space: which are in it, and how they are drawn and listed."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from tests.support.sweep import make_space, whole

from boostlab.sweep.expression import Constraint
from boostlab.sweep.space import Dimension

GROW = Dimension("grow", ("depth", "loss"))
LEAVES = whole("leaves", 2, 64, log=True, when={"grow": ("loss",)})
TREE = make_space(whole("depth", 1, 5), GROW, LEAVES, constraints=(Constraint("leaves <= 2 ** depth"),), base={"leaves": 0})


def test_draws_points_that_are_in_the_space() -> None:
    points = [TREE.sample(Random(number)) for number in range(200)]
    assert all(point and TREE.contains(point) for point in points)
    assert {len(point or {}) for point in points} == {2, 3}


def test_a_parameter_is_there_only_if_its_condition_holds() -> None:
    assert TREE.contains({"depth": 3, "grow": "depth"}) and TREE.contains({"depth": 3, "grow": "loss", "leaves": 8})
    assert not TREE.contains({"depth": 3, "grow": "loss"})
    assert not TREE.contains({"depth": 3, "grow": "depth", "leaves": 8})


def test_a_condition_on_an_inactive_parameter_does_not_hold() -> None:
    chain = make_space(GROW, Dimension("a", (1, 2), when={"grow": ("loss",)}), Dimension("b", (5,), when={"a": (1,)}))
    assert [tuple(point.values()) for point in chain.points()] == [("depth",), ("loss", 1, 5), ("loss", 2)]


def test_refuses_points_that_break_a_constraint_or_leave_a_range() -> None:
    assert not TREE.contains({"depth": 2, "grow": "loss", "leaves": 8})
    assert not TREE.contains({"depth": 6, "grow": "depth"})
    assert not TREE.contains({"depth": 2.5, "grow": "depth"})
    assert not TREE.contains({"depth": True, "grow": "depth"})
    assert not TREE.contains({"depth": 3, "grow": "other"})
    assert not TREE.contains({"depth": 3, "grow": "depth", "eta": 1})


def test_lists_each_point_once_the_last_parameter_changing_first() -> None:
    points = list(TREE.points())
    assert points[:3] == [{"depth": 1, "grow": "depth"}, {"depth": 1, "grow": "loss", "leaves": 2}, {"depth": 2, "grow": "depth"}]
    assert len(points) == 5 + 1 + 3 + 7 + 15 + 31
    assert all(TREE.contains(point) for point in points)
    assert TREE.n_points >= len(points)


def test_the_values_of_a_step_are_short_and_hit_both_ends() -> None:
    share = Dimension("share", (), 0.1, 0.7, step=0.1)
    assert share.values() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert {share.sample(Random(seed)) for seed in range(99)} == set(share.values())
    assert share.contains(0.1 + 0.2) and not share.contains(0.25)


def test_draws_numbers_evenly_or_by_their_logarithms() -> None:
    def draw(dimension: Dimension) -> list[float]:
        random = Random(0)
        return [dimension.sample(random) for _ in range(3000)]

    even, log = (draw(Dimension("x", (), 0.01, 100.0, log=log)) for log in (False, True))
    assert sum(value < 1 for value in even) < 60
    assert 1400 < sum(value < 1 for value in log) < 1600
    counts = Counter(draw(whole("n", 1, 4)))
    assert sorted(counts) == [1, 2, 3, 4] and min(counts.values()) > 650
    logs = Counter(draw(whole("n", 1, 100, log=True)))
    assert logs[1] > logs[2] > logs[4] and max(logs) > 90 and all(isinstance(value, int) for value in logs)


def test_completes_a_point_with_the_notebooks_values() -> None:
    space = make_space(GROW, Dimension("eta", (), 0.1, 0.5), base={"grow": "depth", "eta": 0.9, "other": 1})
    assert space.complete({"grow": "loss", "other": 5}) == {"grow": "loss", "eta": 0.9}


def test_finds_no_point_where_none_is() -> None:
    assert make_space(constraints=(Constraint("x > 2"),)).sample(Random(0)) is None


@pytest.mark.parametrize("value", [1, 1.0])
def test_a_choice_of_a_boolean_is_no_number(value: float) -> None:
    assert not Dimension("flag", (True, False)).contains(value) and Dimension("flag", (1, 2)).contains(value)
