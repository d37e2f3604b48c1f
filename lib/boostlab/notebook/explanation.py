"""Explain in one sentence what a field allows, and why a value does not fit: for parameters and for the gate's file."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from boostlab.errors import suggest
from boostlab.redaction import SecretError, redact

TYPE_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "True or False", list: "a list", dict: "a mapping"}
TYPE_WORDS |= {tuple: "a list", set: "a list", frozenset: "a list", date: "a date"}
INNER_WORDS = {f"{type_.__name__.replace('str', 'string')}_type": words for type_, words in TYPE_WORDS.items()} | {
    "int_from_float": TYPE_WORDS[int]
}
Model = type[pydantic.BaseModel]
LONGEST_SHOWN = 300  # characters of a text
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def explain_errors(model: Model, error: pydantic.ValidationError, *, noun: str = "parameter") -> str:
    """Return one line for each value that does not fit: what is wrong, what is allowed, what to do.

    Parameters
    ----------
    noun : str
        What a field of `model` is called. A ``parameter`` can be passed by papermill, and the line says how.
    """
    return "\n".join(dict.fromkeys(_explain(model, fault, noun) for fault in error.errors()))


def explain_unknown(name: str, known: Collection[str], *, subject: str = "No parameter") -> str:
    """Return one line on a name that does not exist, with the nearest one that does.

    Examples
    --------
    >>> explain_unknown("max_dept", ["eta", "max_depth"])
    "No parameter 'max_dept'. Did you mean 'max_depth'? It takes: eta, max_depth."
    """
    return f"{subject} {name!r}.{suggest(name, known)} It takes: {', '.join(known)}."


def find_bounds(field: FieldInfo) -> dict[str, float]:
    """Return a field's bounds by pydantic's names: ``ge``, ``gt``, ``le``, ``lt``."""
    return {key: getattr(item, key) for item in field.metadata for key in BOUNDS if hasattr(item, key)}


def describe_limits(name: str, field: FieldInfo) -> str:
    """Return what a field allows, such as ``0 <= eta <= 1``; empty if the type says all."""
    bounds = find_bounds(field)
    lower = next((f"{bounds[key]} {BOUNDS[key].replace('>', '<')} " for key in ("ge", "gt") if key in bounds), "")
    upper = next((f" {BOUNDS[key]} {bounds[key]}" for key in ("le", "lt") if key in bounds), "")
    return f"{lower}{name}{upper}" if lower or upper else ""


def _explain(model: Model, fault: Any, noun: str) -> str:
    if not fault["loc"]:  # a rule between fields
        return str(fault["ctx"]["error"])
    value, kind = _shorten(redact(fault["input"], ())), fault["type"]
    owner, path, inner = _locate(model, fault["loc"])
    if kind == "extra_forbidden":
        subject = f"{'.'.join(path)} has no option" if path else f"No {noun}"
        return explain_unknown(str(inner[0]), owner.model_fields, subject=subject)
    field = owner.model_fields[path[-1]]
    inner = () if get_origin(field.annotation) in (Union, UnionType) else inner
    where = ".".join(path) + "".join(f"[{part!r}]" for part in inner)
    if kind in ("literal_error", "enum"):
        choices = [choice.strip("'") for choice in re.split(", | or ", fault["ctx"]["expected"])]
        return f"{where} has no choice {value!r}.{suggest(str(value), choices)} It takes: {', '.join(choices)}."
    if kind == "value_error" and isinstance(fault["ctx"]["error"], SecretError):
        return f"{where}: {fault['ctx']['error']}"
    if kind == "value_error":
        return f"{where} = {value!r}: {fault['ctx']['error']}"
    if kind == "finite_number":
        return f"{where} = {value!r} is not a finite number."
    if kind.startswith("string_") and kind != "string_type" and field.description:
        return f"{where} = {value!r} does not fit. It takes {field.description}."
    limits = describe_limits(path[-1], field)
    if limits and not re.search(r"_(type|parsing|from_float)$", kind):
        return f"{where} = {value!r} is out of range. Allowed: {limits}."
    if not limits and not re.search(r"_(type|parsing|from_float)$", kind):
        return f"{where} = {value!r} does not fit: {fault['msg']}."
    if inner:
        return f"{where} takes {INNER_WORDS.get(kind, 'another type')}, not {value!r}."
    allowed = f" with {limits}" if limits else ""
    hint = _how_to_pass(field.annotation, where, value) if noun == "parameter" else ""
    return f"{where} takes {_name_type(field.annotation)}{allowed}, not {value!r}.{hint}"


def _shorten(value: Any) -> Any:
    return f"{value[:LONGEST_SHOWN]}…" if isinstance(value, str) and len(value) > LONGEST_SHOWN else value


def _locate(model: Model, place: tuple[Any, ...]) -> tuple[Model, list[str], tuple[Any, ...]]:
    """Return the model that has the field at a place, the names of fields down to it, and what the place has below it."""
    path: list[str] = []
    for depth, name in enumerate(place):
        nested = _find_model(model.model_fields[path[-1]].annotation) if path else model
        if nested is None or name not in nested.model_fields:
            return nested or model, path, tuple(part for part in place[depth:] if part != "[key]")
        model = nested
        path.append(str(name))
    return model, path, ()


def _find_model(annotation: Any) -> Model | None:
    return next((item for item in (annotation, *get_args(annotation)) if _is_model(item)), None)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)


def _name_type(annotation: Any) -> str:
    if annotation in TYPE_WORDS or get_origin(annotation) in TYPE_WORDS:
        return TYPE_WORDS[annotation if annotation in TYPE_WORDS else get_origin(annotation)]
    if _is_model(annotation):
        return TYPE_WORDS[dict]
    parts = [_name_type(part) for part in get_args(annotation) if part is not NoneType]
    words = dict.fromkeys([*parts, "None"] if NoneType in get_args(annotation) else parts)
    return " or ".join(words) or getattr(annotation, "__name__", str(annotation))


def _how_to_pass(annotation: Any, name: str, value: Any) -> str:
    """Return the papermill option that passes the value as intended, where ``-p`` reads it as another type."""
    if annotation is str and not isinstance(value, list | dict):
        return f" papermill reads numbers and True or False as such: pass text with -r {name} {value}."
    if isinstance(value, str) and (get_origin(annotation) or annotation) in (list, dict):
        example = "[a, b]" if (get_origin(annotation) or annotation) is list else "{key: value}"
        return f" Pass it with -y '{name}: {example}'."
    return " Write True or False." if annotation is bool else ""
