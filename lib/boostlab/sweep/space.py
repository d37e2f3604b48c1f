"""The search space of a sweep: which values each parameter can take, under which condition, and which points are allowed.

A point has the values of the parameters that are active in it. The others keep the notebook's defaults, or the values that the
sweep fixes. A file declares a space: see :mod:`boostlab.sweep.space_file`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from boostlab.sweep.expression import Constraint

Point = dict[str, Any]
SAMPLE_TRIES = 1000  # draws until a point meets the constraints
DIGITS = 12  # significant for the values of a range with a step, which are sums of binary fractions


@dataclass(frozen=True)
class Dimension:
    """The values that one parameter can take: a list of choices, or a range with both of its ends."""

    name: str
    choices: tuple[Any, ...] = ()  #: empty for a range
    low: float = 0
    high: float = 0
    log: bool = False  #: whether values are drawn by their ratios
    step: float | None = None  #: between neighbouring values; None: any number
    is_whole: bool = False  #: whether the values of the range are whole numbers
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  #: values that earlier parameters must have

    @property
    def n_values(self) -> float:
        """The number of values; infinite for a range without a step."""
        if self.choices:
            return len(self.choices)
        return math.inf if self.step is None else round((self.high - self.low) / self.step) + 1

    def values(self) -> list[Any]:
        """Return all values, of which there must be finitely many."""
        return list(self.choices) or [self.tidy(self.low + index * self.step) for index in range(int(self.n_values))]  # type: ignore[operator]

    def sample(self, random: Random) -> Any:
        """Draw a value: each choice alike, numbers evenly or, with `log`, evenly by their logarithms."""
        if self.choices:
            return random.choice(self.choices)
        if self.log:
            half = 0.5 if self.is_whole else 0.0  # the ends have the same share as other whole numbers
            return self.tidy(math.exp(random.uniform(math.log(self.low - half), math.log(self.high + half))))
        if self.step is not None:
            return self.tidy(self.low + random.randrange(int(self.n_values)) * self.step)
        return self.tidy(random.uniform(self.low, self.high))

    def tidy(self, value: float) -> Any:
        """Return a number of the range that is nearest to a number: a whole one, or one of the steps."""
        if self.step is not None:
            value = self.low + round((value - self.low) / self.step) * self.step
        value = min(max(value, self.low), self.high)
        if self.is_whole:
            return int(value)
        return float(value if self.step is None else f"{value:.{DIGITS}g}")

    def contains(self, value: Any) -> bool:
        """Tell whether a value is one of these."""
        if self.choices:
            return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return self.step is None or math.isclose(value, self.tidy(value), rel_tol=1e-9, abs_tol=self.step * 1e-9)

    def is_active(self, point: Mapping[str, Any]) -> bool:
        """Tell whether the parameters before this one meet its condition."""
        return all(name in point and point[name] in values for name, values in self.when.items())


@dataclass(frozen=True)
class Space:
    """The points that a sweep can try."""

    name: str
    dimensions: tuple[Dimension, ...]  #: a parameter on which others depend comes before them
    constraints: tuple[Constraint, ...] = ()
    known: tuple[Point, ...] = ()  #: points to try first
    base: Mapping[str, Any] = field(default_factory=dict)  #: the notebook's defaults, overridden by the fixed values

    @classmethod
    def read(cls, path_or_name: str, *, notebook: Mapping[str, Any], fixed: Mapping[str, Any], folder: Path) -> Space:
        """Read a space from its YAML file, and check it against the notebook that the trials execute.

        Parameters
        ----------
        path_or_name : str
            The path of a file, or the name of a file in ``parameters/sweep``, without ``.yaml``.
        notebook : mapping
            A notebook of format 4, as :func:`nbformat.read` gives it.
        fixed : mapping
            Values of the notebook's parameters that are the same in all trials.
        folder : pathlib.Path
            The project's folder.

        Raises
        ------
        LabError
            If there is no such file, it cannot be read, or the notebook does not take a value of it.
        """
        from boostlab.sweep.space_file import read_space  # which makes spaces

        return read_space(path_or_name, notebook=notebook, fixed=fixed, folder=folder)

    @property
    def n_points(self) -> float:
        """The number of points at most: conditions and constraints leave fewer; infinite with a range without a step."""
        return math.prod(dimension.n_values for dimension in self.dimensions)

    def walk(self, choose: Callable[[Dimension], Any]) -> Point:
        """Return the point whose active parameters have the chosen values; later ones may depend on earlier ones."""
        point: Point = {}
        for dimension in self.dimensions:
            if dimension.is_active(point):
                point[dimension.name] = choose(dimension)
        return point

    def sample(self, random: Random) -> Point | None:
        """Draw a point that meets the constraints; None if none of many draws does."""
        for _ in range(SAMPLE_TRIES):
            point = self.walk(lambda dimension: dimension.sample(random))
            if self.meets(point):
                return point
        return None

    def points(self) -> Iterator[Point]:
        """Return all points that meet the constraints, the last parameter changing first. No range may lack a step."""
        return (point for point in self._extend({}, self.dimensions) if self.meets(point))

    def meets(self, point: Mapping[str, Any]) -> bool:
        """Tell whether a point meets the constraints; a parameter that is not in it has its value without the search."""
        values = {**self.base, **point} if self.constraints else {}
        return all(constraint.is_met(values) for constraint in self.constraints)

    def contains(self, point: Mapping[str, Any]) -> bool:
        """Tell whether a point has exactly the parameters and values of this space, and meets the constraints."""
        active = {dimension.name: dimension for dimension in self.dimensions if dimension.is_active(point)}
        return active.keys() == point.keys() and all(active[n].contains(v) for n, v in point.items()) and self.meets(point)

    def complete(self, given: Mapping[str, Any]) -> Point:
        """Return a point of the given values, of the searched parameters alone; those not given keep the notebook's values.

        The point may lie outside of the space, such as that of the model in production.
        """
        values = {**self.base, **given}
        return self.walk(lambda dimension: values[dimension.name])

    def _extend(self, start: Point, rest: tuple[Dimension, ...]) -> Iterator[Point]:
        if not rest:
            yield start
            return
        values = [{rest[0].name: value} for value in rest[0].values()] if rest[0].is_active(start) else [{}]
        for value in values:
            yield from self._extend({**start, **value}, rest[1:])
