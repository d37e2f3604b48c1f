"""A notebook's parameters: what its parameters cell declares, and whether given values fit.

The cell tagged ``parameters`` is the one place that names a parameter, its type, its default and its help. It is read
with :mod:`ast`, never run. Ranges and rules between parameters stand in a :class:`Settings` class that the notebook's
metadata names (``"boostlab": {"schema": "boostlab.training.settings:Train"}``); a notebook without one has its types checked.
Opening stores and files is left to others.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import tokenize
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import StringIO
from types import NoneType, UnionType
from typing import Any, Self, Union, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from boostlab.errors import ParameterError, suggest

TYPES: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict, "object": Any}
KINDS = {int: "a whole number", float: "a number", str: "text", bool: "True or False", list: "a list", dict: "a mapping"}
INNER_KINDS = {f"{kind.__name__.replace('str', 'string')}_type": words for kind, words in KINDS.items()} | {
    "int_from_float": KINDS[int]
}
PAPERMILL_PATHS = ("PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH")
OLD_SCHEMAS = {  # by the names that notebooks of version 0.1 carry
    "boostlab.schemas:Train": "boostlab.training.settings:Train",
    "boostlab.schemas:Compare": "boostlab.comparison.settings:Compare",
    "boostlab.schemas:Registry": "boostlab.registry.settings:Registry",
    "boostlab.schemas:Deploy": "boostlab.deployment.settings:Deploy",
    "boostlab.schemas:Score": "boostlab.scoring.settings:Score",
}
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell.

    Attributes
    ----------
    name, annotation, help : str
        As written in the cell; `help` is the comment behind the default.
    type : type or generic alias
        What `annotation` stands for.
    default : object
        The literal behind the equals sign.
    """

    name: str
    annotation: str
    type: Any
    default: Any
    help: str


class Settings(pydantic.BaseModel):
    """Checked values of a notebook's parameters: immutable, strictly typed, without NaN or infinity."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings that `values` make.

        Parameters
        ----------
        values : mapping of str to object
            At least one value per field; other names are ignored, so that a notebook passes its ``globals()``.

        Raises
        ------
        ParameterError
            If a value is missing, ill-typed or out of range. The message names every such value.
        """
        missing = [name for name in cls.model_fields if name not in values]
        if missing:
            raise ParameterError(f"No value for {', '.join(missing)}: run the notebook's parameters cell first.")
        try:
            return cls(**{name: values[name] for name in cls.model_fields})
        except pydantic.ValidationError as error:
            faults = dict.fromkeys(_explain(cls, fault) for fault in error.errors())
            raise ParameterError("\n".join(faults)) from None


def read_parameters(notebook: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """Read the declarations in a notebook's parameters cell, without running it.

    Parameters
    ----------
    notebook : mapping
        A notebook of format 4, as :func:`nbformat.read` gives it.

    Raises
    ------
    ParameterError
        If no cell is tagged ``parameters``, or a line of it is not ``name: type = literal  # help``.
    """
    cells = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    if not cells:
        raise ParameterError("The notebook has no cell tagged 'parameters'. Tag the cell that declares them.")
    source = "".join(cells[0]["source"])
    try:
        statements = ast.parse(source).body
        comments = _comments(source)
    except (SyntaxError, tokenize.TokenError) as error:
        raise ParameterError(f"The parameters cell is not valid Python: {error}.") from None
    return tuple(_read_statement(statement, comments) for statement in statements)


def check_parameters(notebook: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    """Return all parameter values of a notebook: its defaults, overruled by those given.

    Raises
    ------
    ParameterError
        If a given name is unknown, a value is ill-typed or out of range, or the notebook's schema cannot be found.
    """
    declared = {parameter.name: parameter for parameter in read_parameters(notebook)}
    given = {name: value for name, value in given.items() if name not in PAPERMILL_PATHS or name in declared}
    refuse_unknown(given, declared)
    values = {name: parameter.default for name, parameter in declared.items()} | dict(given)
    return find_schema(notebook).check(values)


def refuse_unknown(given: Collection[str], known: Collection[str]) -> None:
    """Raise a ParameterError that names the first of `given` that is not in `known`, and its nearest neighbour."""
    for name in given:
        if name not in known:
            raise ParameterError(f"No parameter {name!r}.{suggest(name, known)} It takes: {', '.join(known)}.")


def find_schema(notebook: Mapping[str, Any]) -> type[Settings]:
    """Return the Settings class that the notebook's metadata names, else one made of its parameters cell's types."""
    path = notebook["metadata"].get("boostlab", {}).get("schema")
    if path is None:
        fields: dict[str, Any] = {p.name: (p.type, ...) for p in read_parameters(notebook)}
        return pydantic.create_model("Parameters", __base__=Settings, **fields)
    module, _, name = OLD_SCHEMAS.get(path, path).partition(":")
    try:
        schema = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ParameterError(f"The notebook's metadata names the schema {path!r}, which is not there: {error}.") from None
    if not (isinstance(schema, type) and issubclass(schema, Settings)):
        raise ParameterError(f"The notebook's metadata names the schema {path!r}, which is no boostlab Settings class.")
    return schema


def find_bounds(field: FieldInfo) -> dict[str, float]:
    """Return a field's bounds by pydantic's names: ``ge``, ``gt``, ``le``, ``lt``."""
    return {key: getattr(item, key) for item in field.metadata for key in BOUNDS if hasattr(item, key)}


def describe_limits(name: str, field: FieldInfo) -> str:
    """Return what a field allows, such as ``0 <= eta <= 1``, or an empty string if its type says all."""
    bounds = find_bounds(field)
    lower = next((f"{bounds[key]} {BOUNDS[key].replace('>', '<')} " for key in ("ge", "gt") if key in bounds), "")
    upper = next((f" {BOUNDS[key]} {bounds[key]}" for key in ("le", "lt") if key in bounds), "")
    return f"{lower}{name}{upper}" if lower or upper else ""


def to_text(value: Any) -> str:
    """Return a parameter's value as a run's record shows it: text as it is, lists and mappings as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ").rstrip() for token in tokens if token.type == tokenize.COMMENT}


def _read_statement(statement: ast.stmt, comments: Mapping[int, str]) -> Parameter:
    text = ast.unparse(statement)
    if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value):
        raise ParameterError(f"The parameters cell has {text!r}. Each line is `name: type = default  # help`.")
    try:
        default = ast.literal_eval(statement.value)
    except (ValueError, TypeError):
        raise ParameterError(f"The parameters cell has {text!r}. A default is a literal: no call, no name.") from None
    return Parameter(
        name=statement.target.id,
        annotation=ast.unparse(statement.annotation),
        type=_read_type(statement.annotation),
        default=default,
        help=comments.get(statement.end_lineno or statement.lineno, ""),
    )


def _read_type(node: ast.expr) -> Any:
    """Return the type that an annotation stands for, of those that a parameters cell may use."""
    match node:
        case ast.Constant(value=None):
            return NoneType
        case ast.Name(id=name) if name in TYPES:
            return TYPES[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _read_type(left) | _read_type(right)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=item):
            return _read_type(item) | None
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return list[_read_type(item)]  # type: ignore[misc]
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, item])):
            return dict[_read_type(key), _read_type(item)]  # type: ignore[misc]
    allowed = "int, float, str, bool, list[...], dict[..., ...], Optional[...], ... | None"
    raise ParameterError(f"The parameters cell has the type {ast.unparse(node)!r}. It may use: {allowed}.")


def _explain(schema: type[Settings], fault: Any) -> str:
    """Say in one sentence what is wrong with a value, what is allowed and what to do."""
    if not fault["loc"]:
        return str(fault["ctx"]["error"])
    name, value, kind = str(fault["loc"][0]), fault["input"], fault["type"]
    field = schema.model_fields[name]
    is_union = get_origin(field.annotation) in (Union, UnionType)
    inner = () if is_union else [part for part in fault["loc"][1:] if part != "[key]"]
    where = name + "".join(f"[{part!r}]" for part in inner)
    if kind == "literal_error":
        choices = [str(choice) for choice in get_args(field.annotation)]
        return f"{where} has no choice {value!r}.{suggest(str(value), choices)} It takes: {', '.join(choices)}."
    if kind == "value_error":
        return f"{where} = {value!r}: {fault['ctx']['error']}"
    if kind == "finite_number":
        return f"{where} = {value!r} is not a finite number."
    if kind.startswith("string_") and kind != "string_type":
        return f"{where} = {value!r} does not fit. It takes {field.description}."
    limits = describe_limits(name, field)
    if limits and not re.search(r"_(type|parsing|from_float)$", kind):
        return f"{where} = {value!r} is out of range. Allowed: {limits}."
    if inner:
        return f"{where} takes {INNER_KINDS.get(kind, 'another type')}, not {value!r}."
    allowed = f" with {limits}" if limits else ""
    return f"{where} takes {_kind(field.annotation)}{allowed}, not {value!r}.{_how_to_pass(field.annotation, name, value)}"


def _kind(annotation: Any) -> str:
    if annotation in KINDS or get_origin(annotation) in KINDS:
        return KINDS[annotation if annotation in KINDS else get_origin(annotation)]
    parts = [_kind(part) for part in get_args(annotation) if part is not NoneType]
    return " or ".join([*parts, "None"] if NoneType in get_args(annotation) else parts) or str(annotation)


def _how_to_pass(annotation: Any, name: str, value: Any) -> str:
    """Return the papermill option that passes the value as meant, where ``-p`` reads it as something else."""
    if annotation is str and not isinstance(value, list | dict):
        return f" papermill reads numbers and True or False as such: pass text with -r {name} {value}."
    if isinstance(value, str) and (get_origin(annotation) or annotation) in (list, dict):
        example = "[a, b]" if (get_origin(annotation) or annotation) is list else "{key: value}"
        return f" Pass it with -y '{name}: {example}'."
    if annotation is bool:
        return " Write True or False."
    return ""
