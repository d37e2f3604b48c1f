"""The best trials: of one metric, and of several."""

from __future__ import annotations

from random import Random

from boostlab.sweep.ranking import choose_best
from boostlab.sweep.trial import Objective, Trial

LOSS, SCORE = Objective("loss", "minimize"), Objective("score", "maximize")


def make_trials(*values: tuple[float, ...]) -> list[Trial]:
    return [Trial(number, {}, "complete", item) for number, item in enumerate(values)]


def test_the_earliest_of_the_best_wins() -> None:
    trials = make_trials((2,), (1,), (1,))
    assert [trial.number for trial in choose_best(trials, [LOSS])] == [1]
    assert [trial.number for trial in choose_best(trials, [SCORE])] == [0]


def test_only_complete_trials_count() -> None:
    assert choose_best([Trial(0, {}, "failed"), Trial(1, {}, "pruned"), Trial(2, {})], [LOSS]) == []


def test_the_front_has_each_trial_that_no_other_beats() -> None:
    random = Random(0)
    trials = make_trials(*((random.randrange(9), random.randrange(9), random.randrange(9)) for _ in range(200)))

    def beats(one: Trial, other: Trial) -> bool:
        a, b = ((t.values[0], -t.values[1], t.values[2]) for t in (one, other))
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    expected = [trial.number for trial in trials if not any(beats(other, trial) for other in trials)]
    assert [trial.number for trial in choose_best(trials, [LOSS, SCORE, LOSS])] == expected
    assert 0 < len(expected) < 200
