"""The search: what it suggests, that a resumed one suggests the same, and what it learns from."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.support.sweep import LOSS, UNIT, make_space, measure, run_trials, whole

from boostlab.errors import LabError
from boostlab.sweep.expression import Constraint
from boostlab.sweep.search import Search
from boostlab.sweep.settings import PrunerName, SamplerName
from boostlab.sweep.space import Dimension, Space
from boostlab.sweep.study import find_steps
from boostlab.sweep.trial import Objective, Trial

STEPS = 27
SCORE = Objective("score", "maximize")
NUMBERS = make_space(
    Dimension("x", **UNIT),  # type: ignore[arg-type]
    whole("depth", 1, 9),
    Dimension("eta", (), 0.01, 1.0, log=True),
    known=({"x": 0.9, "depth": 9, "eta": 0.9}, {"x": 0.8, "depth": 8, "eta": 0.8}),
)
MIXED = make_space(
    Dimension("x", **UNIT),  # type: ignore[arg-type]
    Dimension("grow", ("depth", "loss")),
    whole("leaves", 2, 64, log=True, when={"grow": ("loss",)}),
    Dimension("list", (["a"], ["a", "b"])),
    constraints=(Constraint("x > 0.1 or leaves > 4"),),
    base={"leaves": 0},
)
GRID = make_space(whole("a", 0, 4), Dimension("share", (), 0.1, 0.5, step=0.1))
SPACES: dict[SamplerName, Space] = {"tpe": MIXED, "random": MIXED, "grid": GRID, "cmaes": NUMBERS}


def run_hard(search: Search, number: int, steps: int) -> Trial:
    """Run a trial that reports its steps and may be pruned; each fifth fails at its second step."""
    point, reports = search.suggest(number), dict[int, float]()
    loss = measure(number, point).values[0]
    for step in range(steps):
        if number % 5 == 4 and step == 1:
            return search.tell(Trial(number, point, "failed", reports=reports, reason="made to fail"))
        reports[step] = loss + (number % 3) / (1 + step)
        if search.report(number, step, reports[step]):
            return search.tell(Trial(number, point, "pruned", reports=reports))
    return search.tell(Trial(number, point, "complete", (loss,), reports))


@pytest.mark.parametrize("pruner", ["none", "median", "hyperband", "wilcoxon"])
@pytest.mark.parametrize("sampler", SPACES)
def test_a_resumed_search_suggests_what_an_uninterrupted_one_does(sampler: SamplerName, pruner: PrunerName) -> None:
    steps = 6 if pruner == "wilcoxon" else STEPS  # its test of many steps is slow

    def start(trials: list[Trial]) -> Search:
        return Search(SPACES[sampler], [LOSS], sampler=sampler, pruner=pruner, seed=3, trials=trials, n_steps=steps)

    whole_search = start([])
    expected = [run_hard(whole_search, number, steps) for number in range(20)]
    first = start([])
    for number in range(8):
        run_hard(first, number, steps)
    second = start(list(reversed(first.trials)))
    for number in range(8, 20):
        run_hard(second, number, steps)
    assert second.trials == expected
    states = {trial.state for trial in expected}
    assert states == ({"complete", "failed"} if pruner == "none" else {"complete", "failed", "pruned"})
    assert all(map(second.counts, second.trials))


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_resumed_search_of_a_front_suggests_the_same(sampler: SamplerName) -> None:
    def run(number: int, point: Mapping[str, Any]) -> Trial:
        return Trial(number, dict(point), "complete", (point["x"], point["x"] * point.get("leaves", 3)))

    def start(trials: list[Trial]) -> Search:
        return Search(MIXED, [LOSS, SCORE], sampler=sampler, trials=trials)

    expected = run_trials(start([]), 20, run)
    assert run_trials(start(run_trials(start([]), 8, run)), 12, run) == expected


def test_another_seed_suggests_other_points() -> None:
    points = [[trial.point for trial in run_trials(Search(MIXED, [LOSS], seed=seed), 3)] for seed in (0, 1)]
    assert points[0] != points[1]


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_sampler_that_learns_beats_chance(sampler: SamplerName) -> None:
    def find_best(name: SamplerName, seed: int) -> float:
        search = Search(NUMBERS, [LOSS], sampler=name, seed=seed)
        run_trials(search, 40, lambda n, p: Trial(n, dict(p), "complete", (loss(p),)))
        return search.best()[0].values[0]

    def loss(point: Mapping[str, Any]) -> float:
        return float((point["x"] - 0.3) ** 2 + (point["depth"] - 6) ** 2 / 64 + (math.log10(point["eta"]) + 1) ** 2 / 4)

    medians = {name: statistics.median(find_best(name, seed) for seed in range(9)) for name in (sampler, "random")}
    assert medians[sampler] < medians["random"]


def test_maximises() -> None:
    search = Search(NUMBERS, [SCORE], seed=1)
    run_trials(search, 40, lambda n, p: Trial(n, dict(p), "complete", (p["x"],)))
    assert search.best()[0].values[0] == max(trial.values[0] for trial in search.trials) > 0.95


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_each_suggestion_meets_the_constraints(sampler: SamplerName) -> None:
    space = make_space(constraints=(Constraint("x + y < 0.5"),))
    trials = run_trials(Search(space, [LOSS], sampler=sampler), 30)
    assert all(trial.point["x"] + trial.point["y"] < 0.5 for trial in trials)


def test_a_grid_tries_each_point_once_in_order_and_ends() -> None:
    search = Search(GRID, [LOSS], sampler="grid")
    trials = run_trials(search, 25)
    assert [trial.point for trial in trials] == list(GRID.points())
    assert search.is_exhausted
    with pytest.raises(LabError, match="All points of the space made have been tried"):
        search.suggest(25)


def test_a_grid_tries_an_interrupted_point_again() -> None:
    points = list(GRID.points())
    trials = [Trial(0, points[0], "complete", (1.0,)), Trial(1, points[1]), Trial(2, points[2], "failed")]
    search = Search(GRID, [LOSS], sampler="grid", trials=trials)
    assert search.next_number == 3
    assert [search.suggest(3), search.suggest(4)] == [points[1], points[3]]


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_a_small_space_ends_when_each_point_was_tried(sampler: SamplerName) -> None:
    space = make_space(whole("a", 0, 3), whole("b", 0, 3), constraints=(Constraint("a <= b"),))
    search = Search(space, [LOSS], sampler=sampler)
    trials = run_trials(search, 10)
    assert sorted(tuple(trial.point.values()) for trial in trials) == [(a, b) for a in range(4) for b in range(a, 4)]
    assert search.is_exhausted


def test_says_if_no_new_point_is_found_by_chance() -> None:
    search = Search(make_space(constraints=(Constraint("x < 0.0000000001"),)), [LOSS], sampler="random")
    with pytest.raises(LabError, match="No new point of the space made"):
        search.suggest(0)
    assert search.next_number == 1


def test_tries_the_champion_first_then_the_known_points() -> None:
    space = make_space(known=({"x": 0.5, "y": 0.5}, {"x": 0.1, "y": 0.2}), base={"x": 0.9, "y": 0.9})
    search = Search(space, [LOSS], enqueue=[{"x": 3.0, "other": 1}])
    assert search.suggest(0) == {"x": 3.0, "y": 0.9}
    search.tell(measure(0, {"x": 3.0, "y": 0.9}))
    assert [search.suggest(1), search.suggest(2)] == list(space.known)
    again = Search(space, [LOSS], enqueue=[{"x": 3.0}], trials=search.trials)
    assert again.suggest(1) == space.known[0]
    assert again.best() == search.trials  # the champion is no point of the space, and counts


def test_a_champion_outside_of_the_space_is_never_pruned() -> None:
    search = Search(make_space(base={"y": 0.5}), [LOSS], pruner="median", n_steps=STEPS, enqueue=[{"x": 9.0}])
    search.suggest(0)
    assert not any(search.report(0, step, 1e9) for step in range(STEPS))


def test_keeps_trials_of_another_space_and_does_not_learn_from_them() -> None:
    old = run_trials(Search(make_space(Dimension("x", (), 0.0, 2.0), Dimension("y", **UNIT)), [LOSS], sampler="random"), 30)  # type: ignore[arg-type]
    fitting = [trial for trial in old if trial.point["x"] <= 1]
    search = Search(make_space(), [LOSS], trials=old)
    assert search.trials == old
    assert len([trial for trial in search.trials if not search.counts(trial)]) == len(old) - len(fitting) > 0
    alone = [trial if trial in fitting else Trial(trial.number, {}, "failed") for trial in old]
    assert search.suggest(30) == Search(make_space(), [LOSS], trials=alone).suggest(30)
    assert search.best()[0] in fitting


def test_trials_of_a_space_with_fewer_parameters_do_not_fit() -> None:
    search = Search(make_space(), [LOSS], trials=[measure(0, {"x": 0.1})])
    assert not search.counts(search.trials[0]) and search.best() == []
    run_trials(search, 12)


def test_tries_a_point_again_if_other_parameters_have_changed_since() -> None:
    old = [replace(trial, differing=("rounds",)) for trial in run_trials(Search(GRID, [LOSS], sampler="grid"), 3)]
    search = Search(GRID, [LOSS], sampler="grid", trials=old)
    assert search.suggest(3) == old[0].point and search.best() == []
    listed = Search(make_space(whole("a", 0, 2)), [LOSS], sampler="grid", trials=[measure(n, {"a": n}) for n in range(3)])
    assert listed.is_exhausted
    changed = [replace(trial, has_other_code=True) for trial in listed.trials]
    assert not Search(make_space(whole("a", 0, 2)), [LOSS], sampler="grid", trials=changed).is_exhausted


def test_gaps_between_numbers_stay() -> None:
    search = Search(make_space(), [LOSS], trials=[measure(7, {"x": 0.1, "y": 0.1}), measure(2, {"x": 0.2, "y": 0.1})])
    assert search.next_number == 8
    search.suggest(11)
    assert search.next_number == 12 and [trial.number for trial in search.trials] == [2, 7]
    with pytest.raises(ValueError, match="number 9 was used before"):
        search.suggest(9)


@pytest.mark.parametrize(
    ("values", "reason"),
    [((math.nan,), "loss = nan is not finite"), ((math.inf,), "loss = inf"), ((), "it has 0 values for loss")],
)
def test_a_trial_without_a_finite_value_failed(values: tuple[float, ...], reason: str) -> None:
    search = Search(make_space(), [LOSS])
    told = search.tell(Trial(0, search.suggest(0), "complete", values))
    assert told.state == "failed" and reason in told.reason and told.values == ()
    restored = Search(make_space(), [LOSS], trials=[replace(told, state="complete", values=values)])
    assert restored.trials == [told] and restored.best() == []


def test_a_trial_is_told_once() -> None:
    search = Search(make_space(), [LOSS])
    trial = measure(0, search.suggest(0))
    search.tell(trial)
    for wrong in (trial, Trial(1, {})):
        with pytest.raises(ValueError, match="is running, or was told before"):
            search.tell(wrong)


def test_several_trials_run_at_once_and_end_in_any_order() -> None:
    for sampler in SPACES:
        search = Search(SPACES[sampler], [LOSS], sampler=sampler)
        running = {number: search.suggest(number) for number in range(4)}
        for number in range(4, 24):
            done = (number * 7) % len(running)
            key = sorted(running)[done]
            search.tell(measure(key, running.pop(key)))
            running[number] = search.suggest(number)
        points = [tuple(map(str, point.values())) for point in [*running.values(), *(trial.point for trial in search.trials)]]
        assert len(set(points)) == 24, sampler


def test_tpe_allows_for_running_trials() -> None:
    done = run_trials(Search(make_space(), [LOSS]), 30)
    alone, beside = (Search(make_space(), [LOSS], trials=done) for _ in range(2))
    beside.suggest(30)
    assert alone.suggest(31) != beside.suggest(31)


@pytest.mark.parametrize("pruner", ["median", "hyperband", "wilcoxon"])
def test_prunes_a_bad_trial_and_not_the_best(pruner: PrunerName) -> None:
    steps = 6 if pruner == "wilcoxon" else STEPS

    def run(search: Search, number: int, level: float) -> bool:
        point, reports = search.suggest(number), {}
        for step in range(steps):
            reports[step] = level + 1 / (1 + step)
            if search.report(number, step, reports[step]):
                search.tell(Trial(number, point, "pruned", reports=reports))
                return True
        search.tell(Trial(number, point, "complete", (level,), reports))
        return False

    search = Search(make_space(), [LOSS], pruner=pruner, n_steps=steps)
    for number in range(12):
        run(search, number, 5 + number / 10)
    assert run(search, 12, 50)
    assert not run(search, 13, 1)


def test_without_a_pruner_nothing_is_pruned() -> None:
    search = Search(make_space(), [LOSS])
    run_trials(search, 12)
    search.suggest(12)
    assert not any(search.report(12, step, 1e9) for step in range(STEPS))


def test_ignores_reports_that_are_not_finite_or_out_of_order() -> None:
    search = Search(make_space(), [LOSS], pruner="median", n_steps=STEPS)
    point = search.suggest(0)
    for step, value in ((0, 1.0), (1, math.nan), (0, 2.0), (2, 1.0), (2, 3.0)):
        assert not search.report(0, step, value)
    assert not search.report(5, 0, 1.0)
    assert search.tell(Trial(0, point, "complete", (1.0,), {0: 1.0, 1: math.nan, 3: 1.0})).state == "complete"
    assert not search.report(0, 4, 1.0)


def test_a_front_has_no_pruning() -> None:
    search = Search(make_space(), [LOSS, SCORE], pruner="median")
    point = search.suggest(0)
    assert not search.report(0, 30, 1.0)
    told = search.tell(Trial(0, point, "pruned", reports={30: 1.0}))
    assert told.state == "failed" and "pruned, which is for one metric" in told.reason


def test_measures_which_parameters_matter() -> None:
    search = Search(NUMBERS, [LOSS], sampler="random")
    run_trials(search, 4, lambda n, p: Trial(n, dict(p), "complete", (p["x"],)))
    assert search.importances() == {}
    run_trials(search, 40, lambda n, p: Trial(n, dict(p), "complete", (p["x"],)))
    shares = search.importances()
    assert list(shares) == sorted(shares, key=shares.__getitem__, reverse=True)
    assert next(iter(shares)) == "x" and shares["x"] > 0.8 and math.isclose(sum(shares.values()), 1)
    assert shares == Search(NUMBERS, [LOSS], trials=search.trials).importances()


def test_equal_values_make_no_parameter_important() -> None:
    search = Search(NUMBERS, [LOSS], sampler="random")
    run_trials(search, 12, lambda n, p: Trial(n, dict(p), "complete", (1.0,)))
    assert search.importances() == {}


def test_parameters_of_a_front_are_measured_by_the_first_metric() -> None:
    search = Search(NUMBERS, [LOSS, SCORE], sampler="random")
    run_trials(search, 40, lambda n, p: Trial(n, dict(p), "complete", (p["x"], p["eta"])))
    assert next(iter(search.importances())) == "x"


def test_finds_how_many_steps_a_trial_has() -> None:
    folds = Objective("cv_rmse", "minimize")
    assert find_steps(make_space(base={"num_boost_round": 300}), [LOSS]) == 300
    assert find_steps(make_space(whole("num_boost_round", 10, 900), base={"num_boost_round": 300}), [LOSS]) == 900
    assert find_steps(make_space(base={"folds": 5, "repeats": 3, "num_boost_round": 300}), [folds]) == 15
    assert find_steps(make_space(), [folds]) == 1 and find_steps(make_space(), [LOSS]) == 100


@pytest.mark.parametrize(
    ("space", "sampler", "words"),
    [
        (make_space(), "grid", "x is a range of any number. Give it a step, as {low: 0, high: 1, step: …}"),
        (make_space(whole("a", 1, 1000), whole("b", 1, 1000)), "grid", "has 1,000,000 points. Allowed: 100,000"),
        (GRID, "grid", ""),
        (make_space(whole("a", 1, 9), Dimension("c", (1, 2))), "cmaes", "c has choices. Use -p sampler tpe"),
        (make_space(whole("a", 1, 9), whole("b", 1, 9, when={"a": (1,)})), "cmaes", "b has a condition"),
        (make_space(whole("a", 1, 9)), "cmaes", "needs at least 2 parameters, and the space made has only a"),
    ],
)
def test_refuses_a_sampler_that_cannot_search_the_space(space: Space, sampler: SamplerName, words: str) -> None:
    if not words:
        assert Search(space, [LOSS], sampler=sampler).next_number == 0
        return
    with pytest.raises(LabError) as refusal:
        Search(space, [LOSS], sampler=sampler)
    assert words in str(refusal.value)


@pytest.mark.parametrize("sampler", SPACES)
def test_one_trial_is_enough(sampler: SamplerName) -> None:
    search = Search(SPACES[sampler], [LOSS], sampler=sampler)
    assert search.best() == []
    assert run_trials(search, 1) == search.best()


def test_optuna_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    run_trials(Search(MIXED, [LOSS]), 15)
    assert capfd.readouterr() == ("", "")
