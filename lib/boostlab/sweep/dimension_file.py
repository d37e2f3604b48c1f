"""One entry of a search space's file: a parameter, and the range or the choices that it is searched in."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from boostlab.errors import LabError, ParameterError
from boostlab.notebook.explanation import explain_unknown
from boostlab.notebook.parameters import refuse_unknown
from boostlab.notebook.settings import Tracked
from boostlab.sweep.space import Dimension
from boostlab.sweep.target import Target

RANGE = ("low", "high", "log", "step")
OPTIONS = (*RANGE, "choices", "when")
FORMS = "{low: 1, high: 9} or a list of choices"
NEVER_SEARCHED = {*Tracked.model_fields, "register_as"}  # they say where a trial is recorded, not what it does


def read_dimension(name: str, given: Any, *, target: Target, before: Sequence[Dimension], later: Mapping[str, Any]) -> Dimension:
    """Return the values in which a parameter is searched.

    Parameters
    ----------
    given : object
        What the file says: a mapping of options, or a list of choices.
    before : sequence of Dimension
        The parameters before it in the file.
    later : mapping
        All entries of the file, to explain a condition that cannot be decided.

    Raises
    ------
    LabError
        If the entry cannot be read, or the notebook does not take a value of it.
    """
    refuse_unknown([name], target.parameters)
    if name in target.fixed:
        raise ParameterError(f"{name} is searched, and fixed to {target.fixed[name]!r}. Take it out of the space, or of fixed.")
    if name in NEVER_SEARCHED:
        raise ParameterError(f"{name} says where a trial is recorded, and cannot be searched. Take it out of the space.")
    options = {"choices": given} if isinstance(given, list) else given
    if not isinstance(options, dict):
        raise LabError(f"{name}: {given!r} is neither a range nor choices. Write {FORMS}; a single value belongs in fixed.")
    for option in options:
        if option not in OPTIONS:
            raise LabError(explain_unknown(str(option), OPTIONS, subject=f"{name} has no option"))
    if ("choices" in options) == any(option in options for option in RANGE):
        raise LabError(f"{name} needs either low and high, or choices. Write {FORMS}.")
    read = _read_choices if "choices" in options else _read_range
    return read(name, options, target, _read_when(name, options.get("when"), before, later))


def _read_choices(name: str, options: Mapping[str, Any], target: Target, when: Mapping[str, tuple[Any, ...]]) -> Dimension:
    choices = options["choices"]
    if not isinstance(choices, list) or not choices:
        raise LabError(f"{name}.choices takes a list of at least one value, not {choices!r}.")
    choices = [target.convert(name, choice) for choice in choices]
    for index, choice in enumerate(choices):
        _check_value(f"{name}.choices[{index}]", name, choice, target)
        try:
            texts = [json.dumps(item, allow_nan=False) for item in choices[: index + 1]]
        except (TypeError, ValueError):
            raise LabError(f"{name}.choices[{index}] = {choice!r} is no value of JSON, as numbers, text and lists are.") from None
        if texts[-1] in texts[:-1]:
            raise LabError(f"{name}.choices has {choice!r} twice. Remove one of them.")
    return Dimension(name, tuple(choices), when=when)


def _read_range(name: str, options: Mapping[str, Any], target: Target, when: Mapping[str, tuple[Any, ...]]) -> Dimension:
    number = target.find_number(name)
    if number is None:
        raise LabError(f"{name} takes no numbers (its type is {target.parameters[name].annotation}). Write choices: […].")
    low, high = (_read_number(name, end, options.get(end), number) for end in ("low", "high"))
    log, step = options.get("log", False), options.get("step")
    if not isinstance(log, bool):
        raise LabError(f"{name}.log takes true or false, not {log!r}.")
    if low >= high:
        raise LabError(f"{name}: low = {low:g} is not below high = {high:g}. A single value belongs in fixed.")
    if log and low <= 0:
        raise LabError(f"{name}: log needs low above 0, not {low:g}. Raise low, or leave log out.")
    if log and step is not None:
        raise LabError(f"{name}: log and step do not go together. Leave one of them out, or list the choices.")
    if step is not None:
        step = _read_step(name, step, number, low=low, high=high)
    is_any = target.parameters[name].type is Any
    whole = number is int or (is_any and isinstance(low, int) and isinstance(high, int) and isinstance(step, int | None))
    if not whole:
        low, high = float(low), float(high)
    for end, value in (("low", low), ("high", high)):
        _check_value(f"{name}.{end}", name, value, target)
    return Dimension(name, (), low, high, log, 1 if whole and step is None else step, whole, when)


def _read_number(name: str, end: str, value: Any, number: type) -> float:
    if value is None:
        raise LabError(f"{name} has no {end}. Write both ends, as {{low: 1, high: 9}}.")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LabError(f"{name}.{end} takes a number, not {value!r}.")
    if number is int and value != int(value):
        raise LabError(f"{name}.{end} takes a whole number, not {value!r}.")
    return int(value) if number is int else value


def _read_step(name: str, value: Any, number: type, *, low: float, high: float) -> float:
    step = _read_number(name, "step", value, number)
    if not 0 < step <= high - low:
        raise LabError(f"{name}.step = {step:g} is out of range. Allowed: 0 < step <= {high - low:g}, the width of the range.")
    count = math.floor((high - low) / step + 1e-9)
    if not math.isclose(low + count * step, high, rel_tol=1e-9):
        raise LabError(
            f"{name}: no step of {step:g} from {low:g} meets high = {high:g}. Nearest is high: {low + count * step:g}."
        )
    return step


def _read_when(name: str, given: Any, before: Sequence[Dimension], later: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not given:
        raise LabError(
            f"{name}.when takes a mapping of parameters to values, not {given!r}. Write: when: {{grow_policy: lossguide}}"
        )
    known = {dimension.name: dimension for dimension in before}
    when: dict[str, tuple[Any, ...]] = {}
    for other, value in given.items():
        if other not in known:
            raise LabError(_explain_condition(name, str(other), later, known))
        when[other] = tuple(value) if isinstance(value, list) else (value,)
        wrong = [item for item in when[other] if not known[other].contains(item)]
        if wrong or not when[other]:
            shown = repr(wrong[0]) if wrong else "an empty list"
            raise LabError(f"{name}.when: {other} is never {shown} in this space. Correct the condition, or leave it out.")
    return when


def _explain_condition(name: str, other: str, later: Mapping[str, Any], known: Mapping[str, Dimension]) -> str:
    if other == name:
        return f"{name}.when: {name} depends on itself. Leave the condition out."
    if other not in later:
        return f"{name}.when: {explain_unknown(other, known, subject='The space has no parameter')}"
    condition = later[other].get("when") if isinstance(later[other], dict) else None
    if isinstance(condition, dict) and name in condition:
        return f"{name} and {other} depend on each other. Leave one of the two conditions out."
    return f"{name}.when: {other} comes later. Move {other} before {name}."


def _check_value(where: str, name: str, value: Any, target: Target) -> None:
    """Refuse a value that the notebook never takes; whether it takes it next to others is seen on whole points."""
    fault = target.find_fault({name: value})
    if fault and fault.is_of_one:
        raise ParameterError(f"{where}: {fault.message}")
