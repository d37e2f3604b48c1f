"""What the trials of a study say together: which are the best, how the best went on, and how each parameter was varied.

The tables, the figures and the progress of a sweep share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from statistics import median
from typing import Any, get_args

import numpy as np

from boostlab.sweep.trial import Objective, Trial, TrialState

Array = np.ndarray[Any, Any]
LOG_RATIO = 100  # positive values that differ by a larger factor are shown on a logarithmic scale


@dataclass(frozen=True)
class Column:
    """A searched parameter and its value in each of some trials."""

    name: str
    values: Sequence[Any]  #: one per trial that has the parameter
    given: Array  #: bool, shape (n_trials,): whether a trial has the parameter, which may depend on another
    log: bool = False  #: whether the values are named as logarithmic

    @property
    def is_number(self) -> bool:
        """Whether all values are finite numbers; all else are categories, truth values too."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) for value in self.values)

    @cached_property
    def distinct(self) -> list[str]:
        """The texts of the categories, in the order of the alphabet."""
        return sorted(set(map(str, self.values)))

    @property
    def is_log(self) -> bool:
        """Whether the scale is logarithmic: the values are positive, and named so or wider than two decades."""
        return self.is_number and spans_decades(self.values, named=self.log)

    def to_places(self) -> Array:
        """Return a number per value: the value, or the position of its category."""
        if self.is_number:
            return np.array([float(value) for value in self.values])
        places = {text: place for place, text in enumerate(self.distinct)}
        return np.array([places[str(value)] for value in self.values], float)


def spans_decades(values: Sequence[float], *, named: bool = False) -> bool:
    """Tell whether numbers are positive and, unless `named` as logarithmic, differ by a factor of more than 100."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    return low > 0 and (named or high / LOG_RATIO > low) and high > low


def list_columns(
    trials: Sequence[Trial], *, importances: Mapping[str, float] | None = None, log: Collection[str] = ()
) -> list[Column]:
    """Return the parameters that differ between trials, the most important first; without importances, in their order."""
    names = dict.fromkeys(name for trial in trials for name in trial.point)
    shares = importances or {}
    found = []
    for name in sorted(names, key=lambda name: -shares.get(name, 0.0)):
        given = np.array([name in trial.point for trial in trials], bool)
        column = Column(name, [trial.point[name] for trial in trials if name in trial.point], given, name in log)
        if len(column.distinct) > 1 or not given.all():
            found.append(column)
    return found


def list_complete(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Return the complete trials with a finite value of each metric, by their numbers."""
    complete = [trial for trial in trials if trial.state == "complete" and len(trial.values) >= len(objectives) > 0]
    return sorted((trial for trial in complete if all(map(isfinite, trial.values))), key=lambda trial: trial.number)


def to_costs(trials: Sequence[Trial], objectives: Sequence[Objective]) -> Array:
    """Return the values of complete trials, the less the better, of shape (n_trials, n_objectives)."""
    signs = [1.0 if objective.direction == "minimize" else -1.0 for objective in objectives]
    return np.array([trial.values[: len(signs)] for trial in trials], float).reshape(-1, len(signs)) * signs


def find_best(trials: Sequence[Trial], objectives: Sequence[Objective], *, position: int = 0) -> Trial | None:
    """Return the best trial by one metric, the first of equal ones; None if no trial is complete."""
    complete = list_complete(trials, objectives)
    return complete[int(to_costs(complete, objectives)[:, position].argmin())] if complete else None


def choose_best(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Return the best complete trial, the first of equal ones; with several metrics those on the Pareto front, by number."""
    if len(objectives) == 1:
        best = find_best(trials, objectives)
        return [] if best is None else [best]
    complete = list_complete(trials, objectives)
    return [trial for trial, kept in zip(complete, find_front(to_costs(complete, objectives)), strict=True) if kept]


def find_front(costs: Array) -> Array:
    """Return for each row of costs whether no other row is at least as good in each and better in one, as bool."""
    kept = np.ones(len(costs), bool)
    for place, row in enumerate(costs):
        kept[place] = not ((costs <= row).all(axis=1) & (costs < row).any(axis=1)).any()
    return kept


def rank_trials(trials: Sequence[Trial], objectives: Sequence[Objective], *, how_many: int) -> list[tuple[int, Trial]]:
    """Return at least `how_many` complete trials with their ranks from 1, the best first.

    With several metrics, the trials of the Pareto front have rank 1, those of the front without these rank 2, and so on.
    """
    left, rank = list_complete(trials, objectives), 1
    ranked: list[tuple[int, Trial]] = []
    left.sort(key=lambda trial: (to_costs([trial], objectives)[0, 0], trial.number) if objectives else (0.0, trial.number))
    if len(objectives) == 1:
        return list(enumerate(left, 1))
    while left and len(ranked) < how_many:
        front = find_front(to_costs(left, objectives))
        ranked += [(rank, trial) for trial, kept in zip(left, front, strict=True) if kept]
        left = [trial for trial, kept in zip(left, front, strict=True) if not kept]
        rank += 1
    return ranked


def trace_best(trials: Sequence[Trial], objectives: Sequence[Objective], *, position: int = 0) -> dict[int, float]:
    """Return the best value so far of one metric, by the number of each trial that improved it."""
    complete, found = list_complete(trials, objectives), {}
    least = np.inf
    for trial, cost in zip(complete, to_costs(complete, objectives)[:, position], strict=True):
        if cost < least:
            least, found[trial.number] = cost, trial.values[position]
    return found


def count_states(trials: Sequence[Trial]) -> dict[TrialState, int]:
    """Return the number of trials in each state."""
    counts = Counter(trial.state for trial in trials)
    states: tuple[TrialState, ...] = get_args(TrialState)
    return {state: counts[state] for state in states}


def describe_lack(trials: Sequence[Trial]) -> str:
    """Return a sentence that says why the trials have no value to show."""
    if not trials:
        return "There is no trial yet."
    counts = count_states(trials)
    said = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    return f"No trial has a value yet: {said}."


def measure_s(trial: Trial) -> float | None:
    """Return how long an ended trial took, in seconds; None if that is not known."""
    return (trial.end_ms - trial.start_ms) / 1000 if trial.end_ms >= trial.start_ms > 0 else None


def find_median_s(trials: Sequence[Trial]) -> float | None:
    """Return the median duration of the ended trials in seconds, without failed ones, which may have ended early."""
    known = [measure_s(trial) for trial in trials if trial.state in ("complete", "pruned")]
    return median(seconds) if (seconds := [each for each in known if each is not None]) else None


def format_duration(seconds: float) -> str:
    """Return a duration with a unit that fits.

    Examples
    --------
    >>> [format_duration(seconds) for seconds in (0.25, 59.96, 90, 5400, 86400 * 3)]
    ['0.2 s', '60 s', '90 s', '90 min', '72 h']
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
