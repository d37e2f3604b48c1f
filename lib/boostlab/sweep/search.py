"""The search: which point the next trial tries, whether a running trial is stopped, and which trials are the best.

A suggestion depends on the seed, the trial's number and the trials told before it, and on nothing else. A sweep that is resumed
therefore suggests what an uninterrupted one would have, if its trials run one after another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from random import Random
from typing import TYPE_CHECKING, Any

from boostlab.errors import LabError
from boostlab.sweep.ranking import choose_best
from boostlab.sweep.samplers import check_sampler, make_seed
from boostlab.sweep.space import Point, Space
from boostlab.sweep.study import Study, find_steps
from boostlab.sweep.trial import Objective, Trial

if TYPE_CHECKING:
    import optuna

    from boostlab.sweep.settings import PrunerName, SamplerName

TRIES = 20  # of a sampler, until a point meets the constraints and is new
RANDOM_TRIES = 200  # after those
LISTED_POINTS = 10_000  # a space of at most so many points is listed, so that its end is known


@dataclass(frozen=True)
class _Running:
    """A trial that was suggested and not yet told."""

    trial: optuna.Trial
    is_learned: bool  #: whether its point is in the space, so that the sampler can learn from it


class Search:
    """A study of a space. It is used from one thread, however many trials run at once.

    Parameters
    ----------
    objectives : sequence of Objective
        With two or more, the search looks for the Pareto front, and does not prune.
    trials : sequence of Trial
        Earlier trials of the study, in any order. Those whose points are not in the space, or whose other parameters differ, are
        kept, but not learned from. One that is still running was interrupted: its point can be suggested again.
    enqueue : sequence of mapping
        Values to try first, before the space's known points, such as those of the model in production. Parameters that are left
        out keep the notebook's values. The points may lie outside of the space.
    n_steps : int
        The most steps that a trial reports; 0: the folds for a metric of a cross-validation, else ``num_boost_round``.

    Raises
    ------
    LabError
        If the sampler cannot search the space.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[Objective],
        *,
        sampler: SamplerName = "tpe",
        pruner: PrunerName = "none",
        seed: int = 0,
        trials: Sequence[Trial] = (),
        enqueue: Sequence[Mapping[str, Any]] = (),
        n_steps: int = 0,
    ) -> None:
        check_sampler(space, sampler)
        self.space, self.objectives = space, tuple(objectives)
        self._sampler, self._seed = sampler, seed
        pruner = pruner if len(objectives) == 1 else "none"
        self.prunes = pruner != "none"
        n_steps = n_steps or find_steps(space, objectives)
        self._study = Study(space, objectives, sampler=sampler, pruner=pruner, seed=seed, n_steps=n_steps)
        self._trials: dict[int, Trial] = {}
        self._running: dict[int, _Running] = {}
        self._first = [*map(space.complete, enqueue), *space.known]
        self._seen: set[str] = set()
        is_listed = sampler == "grid" or space.n_points <= LISTED_POINTS
        self._rest = {_key(point): point for point in space.points()} if is_listed else None
        for trial in sorted(trials, key=lambda trial: trial.number):
            if trial.state != "running":
                self._restore(trial)

    @property
    def next_number(self) -> int:
        """The number of the next trial: one more than the largest so far."""
        return self._study.n_trials

    @property
    def trials(self) -> list[Trial]:
        """The finished trials by number, also those that are not learned from."""
        return [self._trials[number] for number in sorted(self._trials)]

    @property
    def is_exhausted(self) -> bool:
        """Whether all points have been suggested."""
        return self._rest is not None and not self._rest and self._find_first() is None

    def suggest(self, number: int) -> Point:
        """Return the point of a new trial, which then runs until it is told.

        Parameters
        ----------
        number : int
            At least :attr:`next_number`. Numbers that are left out stay so.

        Raises
        ------
        LabError
            If no point is left.
        """
        if self.is_exhausted:
            raise LabError(f"All points of the space {self.space.name} have been tried. Widen the space to go on.")
        self._skip_to(number)
        running = self._study.start()
        try:
            point = self._choose(number)
        except LabError:
            self._study.finish(Trial(number, {}, "failed"))
            raise
        self._begin(number, running, point)
        return dict(point)

    def resume(self, number: int, point: Mapping[str, Any]) -> None:
        """Take a trial that is running already, with its point; see :meth:`suggest` for the number."""
        self._skip_to(number)
        self._begin(number, self._study.start(), point)

    def report(self, number: int, step: int, value: float) -> bool:
        """Record the first metric of a running trial, and tell whether to stop the trial.

        Values that are not finite, and steps that do not come after the last one, are left out. A trial whose point is not in
        the space is never stopped.
        """
        running = self._running.get(number)
        return running is not None and running.is_learned and self._study.report(running.trial, step, value)

    def tell(self, trial: Trial) -> Trial:
        """Record a finished trial, and return it: as failed if it is complete without a finite value of each metric.

        Raises
        ------
        ValueError
            If the trial is running, or its number was told before.
        """
        if trial.state == "running" or trial.number in self._trials:
            raise ValueError(f"trial {trial.number} is running, or was told before")
        if trial.number not in self._running:
            return self._restore(trial)
        for step in sorted(trial.reports):
            self.report(trial.number, step, trial.reports[step])
        trial = self._keep(trial)
        is_learned = self._running.pop(trial.number).is_learned
        self._study.finish(trial if is_learned else Trial(trial.number, {}, "failed"))
        return trial

    def best(self) -> list[Trial]:
        """Return the best complete trial, or those on the Pareto front; of the space's points and the enqueued ones."""
        return choose_best([trial for trial in self.trials if self.counts(trial)], self.objectives)

    def counts(self, trial: Trial) -> bool:
        """Tell whether a trial is of this search: its point is in the space or was given, and all else is the same."""
        is_known = any(_key(point) == _key(trial.point) for point in self._first)
        return trial.is_comparable and (is_known or self.space.contains(trial.point))

    def importances(self) -> dict[str, float]:
        """Return the share of each parameter in the variance of the first metric, the largest first, by fANOVA.

        Parameters with a condition are left out. It is empty with fewer than five complete trials, or if their values are equal.

        References
        ----------
        Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014.
        """
        return self._study.importances()

    def _begin(self, number: int, running: optuna.Trial, point: Mapping[str, Any]) -> None:
        self._mark(point)
        self._running[number] = _Running(running, self.space.contains(point))
        if self._running[number].is_learned:
            self._study.record(running, dict(point))

    def _find_first(self) -> Point | None:
        return next((point for point in self._first if _key(point) not in self._seen), None)

    def _choose(self, number: int) -> Point:
        first = self._find_first()
        if first is not None:
            if self._sampler == "cmaes":
                self._study.propose(number, 0)  # for the state that it keeps
            return first
        if self._sampler == "grid":
            return next(iter((self._rest or {}).values()))
        for attempt in range(0 if self._sampler == "random" else TRIES):
            point = self._study.propose(number, attempt)
            if _key(point) not in self._seen and self.space.meets(point):
                return point
        return self._draw(number)

    def _draw(self, number: int) -> Point:
        """Return a point that is new, drawn at random."""
        random = Random(make_seed(self._seed, number))  # noqa: S311  # no secret
        for _ in range(RANDOM_TRIES):
            point = self.space.sample(random)
            if point is not None and _key(point) not in self._seen:
                return point
        if not self._rest:
            raise LabError(f"No new point of the space {self.space.name} was found by chance. Widen the space to go on.")
        return random.choice(list(self._rest.values()))

    def _restore(self, trial: Trial) -> Trial:
        self._skip_to(trial.number)
        if trial.is_comparable:  # else its point is new with the present code and values of the other parameters
            self._mark(trial.point)
        trial = self._keep(trial)
        if self.space.contains(trial.point) and trial.is_comparable:
            self._study.restore(trial)
        else:
            self._study.skip()
        return trial

    def _skip_to(self, number: int) -> None:
        """Leave out the numbers below this one."""
        if number < self.next_number:
            raise ValueError(f"number {number} was used before: the next one is {self.next_number}")
        while self.next_number < number:
            self._study.skip()

    def _mark(self, point: Mapping[str, Any]) -> None:
        self._seen.add(_key(point))
        if self._rest:
            self._rest.pop(_key(point), None)

    def _keep(self, trial: Trial) -> Trial:
        """Keep a finished trial, as failed if it is complete without a finite value of each metric; return it."""
        fault = self._find_fault(trial)
        self._trials[trial.number] = replace(trial, state="failed", values=(), reason=fault) if fault else trial
        return self._trials[trial.number]

    def _find_fault(self, trial: Trial) -> str:
        names = [objective.metric for objective in self.objectives]
        if trial.state == "pruned" and len(names) > 1:
            return "it was pruned, which is for one metric"
        if trial.state != "complete":
            return ""
        if len(trial.values) != len(names):
            return f"it has {len(trial.values)} values for {', '.join(names)}"
        pairs = zip(names, trial.values, strict=True)
        return next((f"{name} = {value} is not finite" for name, value in pairs if not isfinite(value)), "")


def _key(point: Mapping[str, Any]) -> str:
    """Return a text that is the same for equal points, whether a number is written as 1 or as 1.0."""
    numbers = {name: float(v) if isinstance(v, int) and not isinstance(v, bool) else v for name, v in point.items()}
    return json.dumps(numbers, sort_keys=True)
