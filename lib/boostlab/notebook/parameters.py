"""A notebook's parameters: read the cell that declares them, and check given values.

Only the cell tagged ``parameters`` names a parameter, its type, its default and its help. It is parsed with :mod:`ast`
and never run. The notebook's metadata names a :class:`~boostlab.notebook.settings.Settings` class with the ranges and
the rules between parameters (``"boostlab": {"schema": "boostlab.training.settings:Train"}``); without one, only types
are checked.
"""

from __future__ import annotations

import ast
import importlib
import json
import tokenize
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import StringIO
from types import NoneType
from typing import Any

import pydantic

from boostlab.errors import ParameterError
from boostlab.notebook.explanation import explain_unknown
from boostlab.notebook.settings import Settings

TYPES: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict, "object": Any}
PAPERMILL_PATHS = ("PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH")
OLD_SCHEMAS = {  # by the names that notebooks of version 0.1 carry
    "boostlab.schemas:Train": "boostlab.training.settings:Train",
    "boostlab.schemas:Compare": "boostlab.comparison.settings:Compare",
    "boostlab.schemas:Registry": "boostlab.registry.settings:Registry",
    "boostlab.schemas:Deploy": "boostlab.deployment.settings:Deploy",
    "boostlab.schemas:Score": "boostlab.scoring.settings:Score",
}


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell."""

    name: str
    annotation: str  #: as written in the cell
    type: Any  #: the type that `annotation` names
    default: Any  #: the literal after the equals sign
    help: str  #: the comment after the default
    group: str = ""  #: the heading above it, a comment line such as ``## Data``; empty without one


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
    lines = source.splitlines()
    headings = {line: lines[line - 1][3:].strip() for line in comments if lines[line - 1].startswith("## ")}
    return tuple(_read_statement(statement, comments, headings) for statement in statements)


def check_parameters(notebook: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    """Return the settings of a notebook: its defaults, overridden by the given values.

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
    """Raise a ParameterError on the first name in `given` that is not in `known`; it suggests the nearest one."""
    for name in given:
        if name not in known:
            raise ParameterError(explain_unknown(name, known))


def find_schema(notebook: Mapping[str, Any]) -> type[Settings]:
    """Return the Settings class that the notebook's metadata names, else one made from the types in its parameters cell."""
    path = notebook["metadata"].get("boostlab", {}).get("schema")
    if path is None:
        fields: dict[str, Any] = {p.name: (p.type, ...) for p in read_parameters(notebook)}
        return pydantic.create_model("Parameters", __base__=Settings, **fields)
    module, _, name = OLD_SCHEMAS.get(path, path).partition(":")
    try:
        schema = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ParameterError(f"The notebook's metadata names the schema {path!r}, which cannot be imported: {error}.") from None
    if not (isinstance(schema, type) and issubclass(schema, Settings)):
        raise ParameterError(f"The notebook's metadata names the schema {path!r}, which is not a Settings class of boostlab.")
    return schema


def to_text(value: Any) -> str:
    """Return a parameter's value as text for the run: text unchanged, lists and mappings as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def _read_statement(statement: ast.stmt, comments: Mapping[int, str], headings: Mapping[int, str]) -> Parameter:
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
        help=comments.get(statement.end_lineno or statement.lineno, "").lstrip("# ").rstrip(),
        group=next((headings[line] for line in sorted(headings, reverse=True) if line < statement.lineno), ""),
    )


def _read_type(node: ast.expr) -> Any:
    """Return the type that an annotation names, if a parameters cell may use it."""
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
