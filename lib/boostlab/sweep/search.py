"""The search: which point the next trial tries, whether a running trial is stopped, and which trials are the best.

Optuna's samplers and pruners decide. Its study is in memory, and made again from the trials when a sweep goes on. A suggestion
depends on the seed, the trial's number and the trials told before it, and on nothing else. A sweep that is resumed therefore
suggests what an uninterrupted one would have, if its trials run one after another.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from random import Random
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState, create_trial

from boostlab.errors import LabError
from boostlab.sweep import samplers
from boostlab.sweep.front import choose_best
from boostlab.sweep.space import Point, Space
from boostlab.sweep.trial import Objective, Trial

if TYPE_CHECKING:
    from boostlab.sweep.settings import PrunerName, SamplerName

TRIES = 20  # of a sampler, until a point meets the constraints and is new
RANDOM_TRIES = 200  # after those
LISTED_POINTS = 10_000  # a space of at most so many points is listed, so that its end is known
DEFAULT_STEPS = 100
MIN_TRIALS = 5  # that importances are computed from
FANOVA_TREES, FANOVA_DEPTH = 16, 8  # 1,000 trials then take a second, and not half a minute as with Optuna's defaults
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass
class _Running:
    """A trial that was suggested and not yet told."""

    point: Point
    asked: optuna.Trial
    is_learned: bool  #: whether its point is in the space, so that the sampler can learn from it
    last_step: int = -1


class Search:
    """A study of a space.

    Parameters
    ----------
    objectives : sequence of Objective
        With two or more, the search looks for the Pareto front, and does not prune.
    trials : sequence of Trial
        Earlier trials of the study, in any order. Those whose points are not in the space are kept, but not learned from. One
        that is still running was interrupted: its point can be suggested again.
    enqueue : sequence of mapping
        Values to try first, before the space's known points, such as those of the model in production. Parameters that are left
        out keep the notebook's values. The points may lie outside of the space.
    n_steps : int
        The most steps that a trial reports; 0: the folds for a metric of a cross-validation, else ``num_boost_round``.

    Attributes
    ----------
    n_ignored : int
        The number of finished trials that are not learned from, as their points are not in the space.

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
        samplers.check_sampler(space, sampler)
        self.space, self.objectives, self.n_ignored = space, tuple(objectives), 0
        self._sampler, self._pruner, self._seed = sampler, pruner if len(objectives) == 1 else "none", seed
        self._n_steps = n_steps or find_steps(space, objectives)
        self._study = self._make_study()
        self._distributions = {dimension.name: samplers.make_distribution(dimension) for dimension in space.dimensions}
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
        return len(self._study.get_trials(deepcopy=False))

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
        asked = self._study.ask()
        try:
            point = self._choose(number)
        except LabError:
            self._study.tell(number, state=TrialState.FAIL)
            raise
        self._mark(point)
        self._running[number] = _Running(point, asked, self.space.contains(point))
        if self._running[number].is_learned:
            self._record_point(asked, point)
        return dict(point)

    def report(self, number: int, step: int, value: float) -> bool:
        """Record the first metric of a running trial, and tell whether to stop the trial.

        Values that are not finite, and steps that do not come after the last one, are left out.
        """
        running = self._running.get(number)
        if (
            running is None
            or not running.is_learned
            or self._pruner == "none"
            or not isfinite(value)
            or step <= running.last_step
        ):
            return False
        running.asked.report(value, step)
        before, running.last_step = running.last_step, step
        if self._pruner == "hyperband" and not samplers.is_rung(step, before, n_steps=self._n_steps):
            return False
        with samplers.without_warnings(UserWarning):
            return running.asked.should_prune()

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
            self._restore(trial)
            return self._trials[trial.number]
        for step in sorted(trial.reports):
            self.report(trial.number, step, trial.reports[step])
        running = self._running.pop(trial.number)
        self._finish(self._keep(trial), is_learned=running.is_learned)
        return self._trials[trial.number]

    def best(self) -> list[Trial]:
        """Return the best complete trial, or those on the Pareto front; of the space's points and the enqueued ones."""
        first = {_key(point) for point in self._first}
        return choose_best(
            [trial for trial in self.trials if self.space.contains(trial.point) or _key(trial.point) in first], self.objectives
        )

    def importances(self) -> dict[str, float]:
        """Return the share of each parameter in the variance of the first metric, the largest first, by fANOVA.

        Parameters with a condition are left out. It is empty with fewer than five complete trials, or if their values are equal.

        References
        ----------
        Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014.
        """
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < MIN_TRIALS or len({trial.values[0] for trial in complete}) == 1:
            return {}
        with samplers.without_warnings():
            evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=FANOVA_TREES, max_depth=FANOVA_DEPTH, seed=self._seed)
            found = optuna.importance.get_param_importances(
                self._study, evaluator=evaluator, target=lambda trial: trial.values[0]
            )
        return {name: float(share) for name, share in found.items()}

    def _make_study(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with samplers.without_warnings():
            return optuna.create_study(
                study_name="sweep",  # Hyperband draws a trial's bracket by it
                directions=[objective.direction for objective in self.objectives],
                sampler=samplers.GivenPoint({}, {}),
                pruner=samplers.make_pruner(self._pruner, n_steps=self._n_steps),
            )

    def _find_first(self) -> Point | None:
        return next((point for point in self._first if _key(point) not in self._seen), None)

    def _choose(self, number: int) -> Point:
        first = self._find_first()
        if first is not None:
            if self._sampler == "cmaes":
                self._propose(number, 0)  # it keeps its state with the trials
            return first
        if self._sampler == "grid":
            return next(iter((self._rest or {}).values()))
        for attempt in range(0 if self._sampler == "random" else TRIES):
            point = self._propose(number, attempt)
            if _key(point) not in self._seen and self.space.meets(point):
                return point
        return self._draw(number)

    def _propose(self, number: int, attempt: int) -> Point:
        seed = samplers.make_seed(self._seed, number, attempt)
        with samplers.without_warnings():
            sampler = samplers.make_sampler("cmaes" if self._sampler == "cmaes" else "tpe", seed=seed)
            running = self._study.get_trials(deepcopy=False)[number]
            return samplers.propose(sampler, self._study, running, space=self.space)

    def _draw(self, number: int) -> Point:
        """Return a point that is new, drawn at random."""
        random = Random(samplers.make_seed(self._seed, number))  # noqa: S311  # no secret
        for _ in range(RANDOM_TRIES):
            point = self.space.sample(random)
            if point is not None and _key(point) not in self._seen:
                return point
        if not self._rest:
            raise LabError(f"No new point of the space {self.space.name} was found by chance. Widen the space to go on.")
        return random.choice(list(self._rest.values()))

    def _restore(self, trial: Trial) -> None:
        """Make a finished trial again in Optuna's study, with the state that its sampler and pruner keep with it."""
        self._skip_to(trial.number)
        self._mark(trial.point)
        trial, is_learned = self._keep(trial), self.space.contains(trial.point)
        if not is_learned:
            self.n_ignored += trial.state != "failed"
            self._study.add_trial(create_trial(state=TrialState.FAIL))
            return
        params = self._to_optuna(trial.point)
        reports = {step: value for step, value in sorted(trial.reports.items()) if isfinite(value)}
        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=params,
                distributions={name: self._distributions[name] for name in params},
                intermediate_values=reports if len(self.objectives) == 1 else {},
            )
        )
        if self._sampler == "cmaes":
            self._propose(trial.number, 0)
        if self._pruner == "hyperband":
            self._climb(trial.number, reports)
        self._finish(trial, is_learned=True)

    def _climb(self, number: int, reports: Mapping[int, float]) -> None:
        """Ask Hyperband at each of its rungs, as it keeps the values there with the trial."""
        before = -1
        for step in reports:
            if samplers.is_rung(step, before, n_steps=self._n_steps):
                seen = copy.copy(self._study.get_trials(deepcopy=False)[number])
                seen.intermediate_values = {other: value for other, value in reports.items() if other <= step}
                self._study.pruner.prune(self._study, seen)
            before = step

    def _skip_to(self, number: int) -> None:
        """Leave out the numbers below this one, so that Optuna's numbers are those of the trials."""
        if number < self.next_number:
            raise ValueError(f"number {number} was used before: the next one is {self.next_number}")
        while self.next_number < number:
            self._study.add_trial(create_trial(state=TrialState.FAIL))

    def _mark(self, point: Mapping[str, Any]) -> None:
        self._seen.add(_key(point))
        if self._rest:
            self._rest.pop(_key(point), None)

    def _to_optuna(self, point: Mapping[str, Any]) -> dict[str, Any]:
        return {
            dimension.name: samplers.to_optuna(dimension, point[dimension.name])
            for dimension in self.space.dimensions
            if dimension.name in point
        }

    def _record_point(self, asked: optuna.Trial, point: Point) -> None:
        self._study.sampler = samplers.GivenPoint(self._to_optuna(point), self._distributions)
        for dimension in self.space.dimensions:
            if dimension.name in point:
                samplers.record(dimension, asked)

    def _keep(self, trial: Trial) -> Trial:
        """Keep a finished trial, as failed if it is complete without a finite value of each metric; return it."""
        if trial.state == "complete":
            fault = self._find_fault(trial.values)
            trial = replace(trial, state="failed", values=(), reason=fault) if fault else trial
        if trial.state == "pruned" and len(self.objectives) > 1:
            trial = replace(trial, state="failed", reason=trial.reason or "pruned, which is for one metric")
        self._trials[trial.number] = trial
        return trial

    def _find_fault(self, values: Sequence[float]) -> str:
        names = [objective.metric for objective in self.objectives]
        if len(values) != len(names):
            return f"the trial has {len(values)} values for {', '.join(names)}"
        return next(
            (f"{name} = {value} is not finite" for name, value in zip(names, values, strict=True) if not isfinite(value)), ""
        )

    def _finish(self, trial: Trial, *, is_learned: bool) -> None:
        state = STATES[trial.state] if is_learned else TrialState.FAIL
        self._study.tell(trial.number, list(trial.values) if state == TrialState.COMPLETE else None, state=state)


def find_steps(space: Space, objectives: Sequence[Objective]) -> int:
    """Return the most steps that a trial reports: the folds for a metric of a cross-validation, else the rounds of boosting."""
    if objectives[0].metric.startswith("cv_"):
        return max(1, _find_most(space, "folds")) * max(1, _find_most(space, "repeats"))
    return _find_most(space, "num_boost_round") or DEFAULT_STEPS


def _find_most(space: Space, name: str) -> int:
    """Return the largest value of a parameter that counts something; 0 if there is none."""
    searched = next((dimension for dimension in space.dimensions if dimension.name == name), None)
    value = max(searched.choices or (searched.high,)) if searched else space.base.get(name, 0)
    return int(value) if isinstance(value, int | float) else 0


def _key(point: Mapping[str, Any]) -> str:
    """Return a text that is the same for equal points, whether a number is written as 1 or as 1.0."""
    numbers = {name: float(v) if isinstance(v, int) and not isinstance(v, bool) else v for name, v in point.items()}
    return json.dumps(numbers, sort_keys=True)
