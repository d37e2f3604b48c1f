"""Conditions on rows, such as ``year >= 2024 and city in ['Porto', 'Faro']``: read and checked, without a table.

This module is read before a kernel starts and therefore imports nothing heavy. :mod:`boostlab.data.selection` applies conditions.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from boostlab.notebook.expression import parse_expression

TAKES = (
    "comparisons of columns with numbers, texts in quotes, true and false (==, !=, <, <=, >, >=, in [a, b], is null, is not "
    "null), joined by and, or, not; a column whose name is no plain word stands in backticks"
)
Operator = Literal["==", "!=", "<", "<=", ">", ">="]
Value = bool | int | float | str
CONSTANTS = {"null": None, "true": True, "false": False}
OPERATORS: dict[type[ast.cmpop], Operator] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
OPPOSITES: dict[Operator, Operator] = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
MIRRORED: dict[Operator, Operator] = {"==": "==", "!=": "!=", "<": ">", ">=": "<=", ">": "<", "<=": ">="}
NODES = (
    *OPERATORS,
    *(ast.Compare, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd),
    *(ast.In, ast.NotIn, ast.Is, ast.IsNot, ast.Name, ast.Load, ast.List, ast.Tuple, ast.Set),
)
TOKEN = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|`([^`]*)`""")


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    name: str


@dataclass(frozen=True)
class Comparison:
    """A column compared with a value, or with another column. A missing value meets none."""

    column: str
    operator: Operator
    other: Value | Column


@dataclass(frozen=True)
class Membership:
    """A column whose value is one of some values, or none of them. A missing value is neither."""

    column: str
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True)
class Missing:
    """A column whose value is missing, or is not."""

    column: str
    negated: bool


@dataclass(frozen=True)
class Group:
    """Conditions that all hold, or of which one holds."""

    operator: Literal["and", "or"]
    parts: tuple[Condition, ...]


Condition = Comparison | Membership | Missing | Group


def parse_condition(text: str) -> Condition:
    """Return the condition that a text states. It has no negation: ``not`` is turned into the opposite comparisons.

    So a row with a missing value meets ``year >= 2024`` as little as ``not year >= 2024``, as in SQL.

    Raises
    ------
    ValueError
        If the text is no condition.

    Examples
    --------
    >>> parse_condition("not (year < 2024 or `sold on` is null)").parts[0]
    Comparison(column='year', operator='>=', other=2024)
    """
    plain, names = _replace_backticks(text)
    tree = parse_expression(plain, _is_allowed, takes=TAKES)
    try:
        return _Builder(names).build(tree, negated=False)
    except RecursionError:
        raise ValueError(f"is nested too deep. It takes {TAKES}.") from None


def list_columns(condition: Condition) -> tuple[str, ...]:
    """Return the columns of a condition, each once."""
    return tuple(dict.fromkeys(_walk(condition)))


def _walk(condition: Condition) -> Iterator[str]:
    if isinstance(condition, Group):
        for part in condition.parts:
            yield from _walk(part)
        return
    yield condition.column
    if isinstance(condition, Comparison) and isinstance(condition.other, Column):
        yield condition.other.name


def _is_allowed(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool | int | float | str | None)
    return isinstance(node, NODES)


def _replace_backticks(text: str) -> tuple[str, dict[str, str]]:
    """Return a text with a plain word for each name in backticks, and the name of each word."""
    start = "column_"
    while start in text:
        start += "_"
    names: dict[str, str] = {}

    def replace(found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        names[word := f"{start}{len(names)}"] = found[2]
        return word

    return TOKEN.sub(replace, text), names


class _Builder:
    def __init__(self, names: dict[str, str]) -> None:
        self._names = names  # that stood in backticks

    def build(self, node: ast.expr, *, negated: bool) -> Condition:
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.build(operand, negated=not negated)
            case ast.BoolOp(op=op, values=parts):
                return Group(
                    "and" if isinstance(op, ast.And) != negated else "or", tuple(self.build(p, negated=negated) for p in parts)
                )
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [left, *others]
                found = [self._compare(*step, negated=negated) for step in zip(sides, ops, others, strict=False)]
                return found[0] if len(found) == 1 else Group("or" if negated else "and", tuple(found))
            case ast.Name():
                column = self._read(node)
                if isinstance(column, Column):  # of booleans
                    return Comparison(column.name, "==", not negated)
        raise ValueError(f"compares nothing in {self._show(node)}. It takes {TAKES}.")

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr, *, negated: bool) -> Condition:
        one = self._read(left)
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(one, Column) or not isinstance(right, ast.List | ast.Tuple | ast.Set):
                raise ValueError(
                    f"has {self._show(left)} in {self._show(right)}. It takes a column and a list: city in ['Porto', 'Faro']."
                )
            return Membership(one.name, self._read_values(right), isinstance(op, ast.NotIn) != negated)
        other = self._read(right)
        if isinstance(op, ast.Is | ast.IsNot):
            if not isinstance(one, Column) or other is not None:
                raise ValueError("has an 'is' without null. It takes: column is null, column is not null.")
            return Missing(one.name, isinstance(op, ast.IsNot) != negated)
        operator = OPERATORS[type(op)]
        if not isinstance(one, Column):
            one, other, operator = other, one, MIRRORED[operator]
        if one is None or other is None:
            raise ValueError("compares with null, which nothing equals. It takes: column is null, column is not null.")
        if not isinstance(one, Column):
            raise ValueError(f"compares {one!r} with {other!r}, and no column. It takes {TAKES}.")
        return Comparison(one.name, OPPOSITES[operator] if negated else operator, other)

    def _read(self, node: ast.expr) -> Column | Value | None:
        match node:
            case ast.Name(id=name) if name in self._names:
                return Column(self._names[name])
            case ast.Name(id=name):
                return CONSTANTS[name] if name in CONSTANTS else Column(name)
            case ast.Constant(value=bool() | str() | None as value):
                return value
            case ast.Constant(value=int() | float() as value) if math.isfinite(value):
                return value
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=ast.Constant(value=int() | float() as value)) if (
                not isinstance(value, bool) and math.isfinite(value)
            ):
                return -value if isinstance(op, ast.USub) else value
        raise ValueError(f"has {self._show(node)} where a column, a number or a text stands. It takes {TAKES}.")

    def _read_values(self, node: ast.List | ast.Tuple | ast.Set) -> tuple[Value, ...]:
        values = [self._read(item) for item in node.elts]
        plain = tuple(value for value in values if value is not None and not isinstance(value, Column))
        if not values or len(plain) < len(values):
            raise ValueError(
                f"has the list {self._show(node)}. It takes values, and neither columns nor null (write: or column is null)."
            )
        return plain

    def _show(self, node: ast.AST) -> str:
        text = ast.unparse(node)
        for word, name in self._names.items():
            text = text.replace(word, f"`{name}`")
        return text
