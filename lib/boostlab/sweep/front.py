"""The best trials of a study: one for one metric, the Pareto front for several."""

from __future__ import annotations

from collections.abc import Sequence

from boostlab.sweep.trial import Objective, Trial


def choose_best(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Return the best complete trial, the earliest of equal ones; for several objectives those on the Pareto front, by number.

    A trial is on the front if no other is at least as good in each objective and better in one. Of equal ones all are on it.
    """
    signs = [1 if objective.direction == "minimize" else -1 for objective in objectives]
    losses = {
        trial.number: tuple(sign * value for sign, value in zip(signs, trial.values, strict=True))
        for trial in trials
        if trial.state == "complete"
    }
    ordered = sorted(
        (trial for trial in trials if trial.number in losses), key=lambda trial: (losses[trial.number], trial.number)
    )
    if len(objectives) == 1:
        return ordered[:1]
    front: list[Trial] = []
    for trial in ordered:  # one that comes later never dominates an earlier one
        own = losses[trial.number]
        if not any(losses[other.number] != own and _is_no_worse(losses[other.number], own) for other in front):
            front.append(trial)
    return sorted(front, key=lambda trial: trial.number)


def _is_no_worse(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))
