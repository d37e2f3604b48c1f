"""The YAML file of a search space: where it is found, how it is read, and what of it a notebook takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import yaml

from boostlab.errors import LabError, ParameterError, locate, suggest
from boostlab.notebook.explanation import explain_unknown
from boostlab.notebook.kit import KIT
from boostlab.sweep.dimension_file import read_dimension
from boostlab.sweep.expression import Constraint
from boostlab.sweep.space import SAMPLE_TRIES, Dimension, Point, Space
from boostlab.sweep.target import Target, read_target

FOLDER = Path("parameters") / "sweep"
CONSTRAINTS, KNOWN = "constraints", "known"  # the keys of a file that name no parameter
CHECKED_POINTS = 100  # drawn at random, whose values the notebook must take together
EXAMPLE = "eta: {low: 0.01, high: 0.3, log: true}"


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: 1e-3 is a number, and a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for index, key in enumerate(keys) if key in keys[:index]), None)
        if twice is not None:
            line = next(key.start_mark.line for key, _ in reversed(node.value) if key.value == str(twice)) + 1
            raise LabError(f"{twice} stands twice, the second time in line {line}. Remove one of them.")
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d[\d_]*(\.[\d_]*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_space(path_or_name: str, *, notebook: Mapping[str, Any], fixed: Mapping[str, Any], folder: Path) -> Space:
    """Read a space from its YAML file, and check it: see :meth:`boostlab.sweep.space.Space.read`."""
    path = find_space(path_or_name, folder=folder)
    target = read_target(notebook, fixed)
    try:
        return _read(path, target)
    except LabError as error:
        raise type(error)(f"The space {path}: {error}") from None


def find_space(given: str, *, folder: Path) -> Path:
    """Return the file of a space: the given path, or the file of that name in the project, else in the kit.

    Raises
    ------
    LabError
        If there is no such file.
    """
    if Path(given).suffix in (".yaml", ".yml") or "/" in given or "\\" in given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise LabError(f"There is no space {locate(given)}. Correct the path, or name a file of {FOLDER}: {_list(folder)}.")
        return path
    found = [root / FOLDER / f"{given}.yaml" for root in (folder, KIT) if (root / FOLDER / f"{given}.yaml").is_file()]
    if not given or not found:
        known = _list(folder)
        raise LabError(
            f"No space {given!r} in {folder / FOLDER}.{suggest(given, known.split(', '))} It takes: {known}, "
            "or the path of a .yaml file."
        )
    return found[0]


def _list(folder: Path) -> str:
    return ", ".join(sorted({path.stem for root in (folder, KIT) for path in (root / FOLDER).glob("*.yaml")}))


def _read(path: Path, target: Target) -> Space:
    content = _load(path)
    given = {name: value for name, value in content.items() if name not in (CONSTRAINTS, KNOWN)}
    if not given:
        raise LabError(f"no parameter to search. Write one in each line, such as {EXAMPLE}")
    dimensions: list[Dimension] = []
    for name, value in given.items():
        dimensions.append(read_dimension(name, value, target=target, before=dimensions, later=given))
    constraints = _read_constraints(content.get(CONSTRAINTS), target)
    space = Space(path.stem, tuple(dimensions), constraints, base=target.base)
    _check_points(space, target)
    return Space(space.name, space.dimensions, constraints, _read_known(content.get(KNOWN), space, target), target.base)


def _load(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  # a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise LabError(f"the file cannot be read: {' '.join(str(error).split())}") from None
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise LabError(f"the file is not a mapping. Write a parameter in each line, such as {EXAMPLE}")
    return {str(name): value for name, value in content.items()}


def _read_constraints(given: Any, target: Target) -> tuple[Constraint, ...]:
    if not isinstance(given, list | None) or not all(isinstance(text, str) for text in given or ()):
        raise LabError(f"constraints takes a list of comparisons, not {given!r}. Write: ['max_leaves <= 2 ** max_depth']")
    constraints = tuple(Constraint(text) for text in given or ())
    for constraint in constraints:
        for name in constraint.names:
            if name not in target.base:
                unknown = explain_unknown(name, target.base, subject="No parameter")
                raise ParameterError(f"the constraint {constraint.text!r}: {unknown}")
    return constraints


def _check_points(space: Space, target: Target) -> None:
    """Refuse constraints that no point meets, and points whose values the notebook does not take together."""
    random = Random(0)  # noqa: S311  # no secret
    for _ in range(CHECKED_POINTS):
        point = space.sample(random)
        if point is None:
            shown = " and ".join(repr(constraint.text) for constraint in space.constraints)
            raise LabError(f"none of {SAMPLE_TRIES:,} random points meets {shown}. Correct the constraint, or widen the ranges.")
        fault = target.find_fault(point)
        if fault:
            raise ParameterError(
                f"{target.notebook} does not take the point {point}: {fault.message} "
                "Exclude such points by a condition (when), a constraint or other ranges, or change what is fixed."
            )


def _read_known(given: Any, space: Space, target: Target) -> tuple[Point, ...]:
    if not isinstance(given, list | None) or not all(isinstance(point, dict) for point in given or ()):
        raise LabError(f"known takes a list of points, not {given!r}. Write: [{{eta: 0.1}}]; others keep the notebook's values.")
    points = [_read_point(f"known[{index}]", values, space, target) for index, values in enumerate(given or ())]
    return tuple(point for index, point in enumerate(points) if point not in points[:index])


def _read_point(where: str, given: Mapping[str, Any], space: Space, target: Target) -> Point:
    names = {dimension.name: dimension for dimension in space.dimensions}
    for name in given:
        if name not in names:
            raise ParameterError(f"{where}: {explain_unknown(str(name), names, subject='The space has no parameter')}")
    point = space.complete({name: target.convert(name, value) for name, value in given.items()})
    fault = target.find_fault(point)
    if fault:
        raise ParameterError(f"{where}: {fault.message}")
    for name, value in point.items():
        if not names[name].contains(value):
            kept = "" if name in given else ", the notebook's value,"
            raise LabError(f"{where}: {name} = {value!r}{kept} is not in the space. State another value, or widen the space.")
    idle = next((name for name in given if name not in point), None)
    if idle:
        raise LabError(f"{where}: {idle} has a condition that this point does not meet. Leave it out.")
    if not space.meets(point):
        raise LabError(f"{where}: {point} does not meet the constraints. State another point, or none.")
    return point
