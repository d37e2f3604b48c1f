"""Optuna's samplers and pruners, as a sweep uses them: made anew for each trial, for a :class:`~boostlab.sweep.space.Space`."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, CmaEsSampler, TPESampler

from boostlab.errors import LabError
from boostlab.sweep.space import Dimension, Point, Space

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

    from boostlab.sweep.settings import PrunerName, SamplerName

MOST_GRID_POINTS = 100_000
MIN_DIMENSIONS = 2  # of CMA-ES
REDUCTION = 3  # of trials from one rung of Hyperband to the next
RUNGS = REDUCTION**3  # the first rung is at this part of all steps
WARM_UP = 20  # the median pruner stops no trial in this part of all steps


class GivenPoint(BaseSampler):
    """Hands a point to Optuna that was chosen before."""

    def __init__(self, values: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> None:
        self._values, self._distributions = dict(values), dict(distributions)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return self._values

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        raise AssertionError(f"{param_name} is not in the point")


def check_sampler(space: Space, sampler: SamplerName) -> None:
    """Refuse a sampler that cannot search a space.

    Raises
    ------
    LabError
        For ``grid`` on a range without steps or on too many points, and for ``cmaes`` on choices, conditions or one parameter.
    """
    if sampler == "grid":
        _check_grid(space)
    if sampler != "cmaes":
        return
    choices = [dimension.name for dimension in space.dimensions if dimension.choices]
    conditional = [dimension.name for dimension in space.dimensions if dimension.when]
    if choices or conditional:
        name, what = (choices[0], "choices") if choices else (conditional[0], "a condition")
        raise LabError(
            f"sampler cmaes searches ranges without conditions, and {name} has {what}. Use -p sampler tpe, or take {name} out of "
            f"the space {space.name} and fix it."
        )
    if len(space.dimensions) < MIN_DIMENSIONS:
        raise LabError(
            f"sampler cmaes needs at least {MIN_DIMENSIONS} parameters, and the space {space.name} has only "
            f"{space.dimensions[0].name}. Use -p sampler tpe."
        )


def make_sampler(name: Literal["tpe", "cmaes"], *, seed: int) -> BaseSampler:
    """Return a new TPE or CMA-ES sampler. It holds no state of earlier trials, and reads them from the study."""
    return CmaEsSampler(seed=seed) if name == "cmaes" else TPESampler(seed=seed, multivariate=True, constant_liar=True)


def make_pruner(name: PrunerName, *, n_steps: int) -> BasePruner:
    """Return a pruner for trials of at most `n_steps` steps."""
    if name == "median":
        return MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, n_steps // WARM_UP), n_min_trials=3)
    if name == "hyperband":
        return HyperbandPruner(min_resource=find_first_rung(n_steps), max_resource=n_steps, reduction_factor=REDUCTION)
    return WilcoxonPruner() if name == "wilcoxon" else NopPruner()


def find_first_rung(n_steps: int) -> int:
    """Return the step of Hyperband's first decision."""
    return max(1, n_steps // RUNGS)


def is_rung(step: int, before: int, *, n_steps: int) -> bool:
    """Tell whether Hyperband decides at a step, the step before it being `before`: its other answers are always no."""
    rung = find_first_rung(n_steps)
    while rung <= before:
        rung *= REDUCTION
    return rung <= step


def make_distribution(dimension: Dimension) -> BaseDistribution:
    """Return what Optuna calls the values of a parameter; choices are JSON, so that each kind of value can be one."""
    if dimension.choices:
        return CategoricalDistribution([json.dumps(choice) for choice in dimension.choices])
    if dimension.is_whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log, step=int(dimension.step or 1))
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def to_optuna(dimension: Dimension, value: Any) -> Any:
    """Return a parameter's value as Optuna has it."""
    return json.dumps(value) if dimension.choices else value


def record(dimension: Dimension, trial: Trial) -> None:
    """Record a parameter's value with a running trial, whose study has a :class:`GivenPoint` as sampler."""
    match make_distribution(dimension):
        case CategoricalDistribution(choices=choices):
            trial.suggest_categorical(dimension.name, choices)
        case IntDistribution(low=low, high=high, log=log, step=step):
            trial.suggest_int(dimension.name, low, high, log=log, step=step)
        case FloatDistribution(low=low, high=high, log=log, step=step):
            trial.suggest_float(dimension.name, low, high, log=log, step=step)


def propose(sampler: BaseSampler, study: Study, trial: FrozenTrial, *, space: Space) -> Point:
    """Return the point that a sampler suggests for a running trial; it need not meet the constraints.

    Parameters under the same condition are sampled together. Optuna would find these groups from all trials each time, which
    takes as long as the sampling.
    """
    groups: dict[str, dict[str, Any]] = {}

    def choose(dimension: Dimension) -> Any:
        condition, distribution = repr(dimension.when), make_distribution(dimension)
        if condition not in groups:
            together = {
                d.name: make_distribution(d) for d in space.dimensions if repr(d.when) == condition and len(d.choices) != 1
            }
            groups[condition] = sampler.sample_relative(study, trial, together)
        if distribution.single():
            return dimension.choices[0]
        name, values = dimension.name, groups[condition]
        value = values[name] if name in values else sampler.sample_independent(study, trial, name, distribution)
        return json.loads(value) if dimension.choices else dimension.tidy(value)

    return space.walk(choose)


def make_seed(*parts: int) -> int:
    """Return a seed of 32 bits from several numbers; neighbouring numbers give unrelated seeds."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4])


@contextmanager
def without_warnings(*categories: type[Warning]) -> Iterator[None]:
    """Drop Optuna's warnings that a feature is experimental, and those of the given categories."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        for category in categories:
            warnings.simplefilter("ignore", category)
        yield


def _check_grid(space: Space) -> None:
    endless: Sequence[Dimension] = [
        dimension for dimension in space.dimensions if not dimension.choices and dimension.step is None
    ]
    if endless:
        name = endless[0].name
        raise LabError(
            f"sampler grid tries each point, and {name} is a range of any number. Give it a step, as {{low: {endless[0].low:g}, "
            f"high: {endless[0].high:g}, step: …}}, list its choices, or use -p sampler random."
        )
    if space.n_points > MOST_GRID_POINTS:
        raise LabError(
            f"The grid of the space {space.name} has {space.n_points:,} points. Allowed: {MOST_GRID_POINTS:,}. Widen the steps, "
            "or use -p sampler random."
        )
