"""Optuna's study of a sweep, in memory: it suggests points, decides on pruning, and is made again from earlier trials."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState, create_trial

from boostlab.sweep import samplers
from boostlab.sweep.space import Point, Space
from boostlab.sweep.trial import Objective, Trial

if TYPE_CHECKING:
    from boostlab.sweep.settings import PrunerName, SamplerName

DEFAULT_STEPS = 100
MIN_TRIALS = 5  # that importances are computed from
FANOVA_TREES, FANOVA_DEPTH = 16, 8  # 1,000 trials then take a second, and not half a minute as with Optuna's defaults
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Study:
    """The trials as Optuna sees them, by the same numbers. One that it must not learn from is failed there."""

    def __init__(
        self, space: Space, objectives: Sequence[Objective], *, sampler: SamplerName, pruner: PrunerName, seed: int, n_steps: int
    ) -> None:
        self._space, self._sampler, self._pruner, self._seed = space, sampler, pruner, seed
        self._n_steps, self._has_reports = n_steps, len(objectives) == 1
        self._distributions = {dimension.name: samplers.make_distribution(dimension) for dimension in space.dimensions}
        self._last_steps: dict[int, int] = {}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with samplers.without_warnings():
            self._study = optuna.create_study(
                study_name="sweep",  # Hyperband draws a trial's bracket by it
                directions=[objective.direction for objective in objectives],
                sampler=samplers.GivenPoint({}, {}),
                pruner=samplers.make_pruner(pruner, n_steps=n_steps),
            )

    @property
    def n_trials(self) -> int:
        """The number of the next trial."""
        return len(self._study.get_trials(deepcopy=False))

    def skip(self) -> None:
        """Add a failed trial."""
        self._study.add_trial(create_trial(state=TrialState.FAIL))

    def start(self) -> optuna.Trial:
        """Add a running trial."""
        return self._study.ask()

    def propose(self, number: int, attempt: int) -> Point:
        """Return the point that TPE or CMA-ES suggests for a running trial. CMA-ES keeps its state with the trial."""
        seed = samplers.make_seed(self._seed, number, attempt)
        with samplers.without_warnings():
            sampler = samplers.make_sampler("cmaes" if self._sampler == "cmaes" else "tpe", seed=seed)
            running = self._study.get_trials(deepcopy=False)[number]
            return samplers.propose(sampler, self._study, running, space=self._space)

    def record(self, running: optuna.Trial, point: Point) -> None:
        """Record the point of a running trial."""
        self._study.sampler = samplers.GivenPoint(self._to_optuna(point), self._distributions)
        for dimension in self._space.dimensions:
            if dimension.name in point:
                samplers.record(dimension, running)

    def report(self, running: optuna.Trial, step: int, value: float) -> bool:
        """Record a value of a running trial, and tell whether to prune it. Steps that do not come after the last are left out."""
        before = self._last_steps.get(running.number, -1)
        if self._pruner == "none" or not isfinite(value) or step <= before:
            return False
        running.report(value, step)
        self._last_steps[running.number] = step
        if self._pruner == "hyperband" and not samplers.is_rung(step, before, n_steps=self._n_steps):
            return False
        with samplers.without_warnings(UserWarning):
            return running.should_prune()

    def finish(self, trial: Trial) -> None:
        """End a running trial."""
        state = STATES[trial.state]
        self._last_steps.pop(trial.number, None)
        self._study.tell(trial.number, list(trial.values) if state == TrialState.COMPLETE else None, state=state)

    def restore(self, trial: Trial) -> None:
        """Make a finished trial again, with what its sampler and its pruner keep with it."""
        params = self._to_optuna(trial.point)
        reports = {step: value for step, value in sorted(trial.reports.items()) if isfinite(value)} if self._has_reports else {}
        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=params,
                distributions={name: self._distributions[name] for name in params},
                intermediate_values=reports,
            )
        )
        if self._sampler == "cmaes":
            self.propose(trial.number, 0)
        if self._pruner == "hyperband":
            self._climb(trial.number, reports)
        self.finish(trial)

    def importances(self) -> dict[str, float]:
        """Return the share of each parameter in the variance of the first metric: see :meth:`Search.importances`."""
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < MIN_TRIALS or len({trial.values[0] for trial in complete}) == 1:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=FANOVA_TREES, max_depth=FANOVA_DEPTH, seed=self._seed)
        with samplers.without_warnings():
            found = optuna.importance.get_param_importances(
                self._study, evaluator=evaluator, target=lambda trial: trial.values[0]
            )
        return {name: float(share) for name, share in found.items()}

    def _climb(self, number: int, reports: Mapping[int, float]) -> None:
        """Ask Hyperband at each of its rungs, as it keeps the values there with the trial."""
        before = -1
        for step in reports:
            if samplers.is_rung(step, before, n_steps=self._n_steps):
                seen = copy.copy(self._study.get_trials(deepcopy=False)[number])
                seen.intermediate_values = {other: value for other, value in reports.items() if other <= step}
                self._study.pruner.prune(self._study, seen)
            before = step

    def _to_optuna(self, point: Mapping[str, Any]) -> dict[str, Any]:
        found = [dimension for dimension in self._space.dimensions if dimension.name in point]
        return {dimension.name: samplers.to_optuna(dimension, point[dimension.name]) for dimension in found}


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
