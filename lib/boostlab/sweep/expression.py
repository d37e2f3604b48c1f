"""Constraints of a search space: comparisons between parameters, such as ``max_leaves <= 2 ** max_depth``.

An expression is parsed with :mod:`ast` and evaluated node by node. It can compare and calculate, and nothing else: there are no
calls, no attributes and no indices.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from boostlab.errors import LabError
from boostlab.notebook.expression import parse_expression

ALLOWED = "names of parameters, numbers, text in quotes, + - * / // % **, < <= > >= == != in, and, or, not"
MOST_EXPONENT = 1024  # a larger power is taken as infinite, so that no expression takes long
OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
OTHERS = (ast.Name, ast.BoolOp, ast.List, ast.Tuple, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)


@dataclass(frozen=True)
class Constraint:
    """A comparison that each point of a space meets."""

    text: str
    names: tuple[str, ...] = field(init=False)  #: of the parameters in it, each once

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(dict.fromkeys(n.id for n in ast.walk(self._tree) if isinstance(n, ast.Name))))

    @cached_property
    def _tree(self) -> ast.expr:
        return _parse(self.text)

    def is_met(self, values: Mapping[str, Any]) -> bool:
        """Tell whether these values meet the constraint; a division by zero does not meet it.

        Raises
        ------
        LabError
            If the values cannot be compared, such as text with a number.

        Examples
        --------
        >>> Constraint("max_leaves <= 2 ** max_depth").is_met({"max_leaves": 20, "max_depth": 4})
        False
        """
        try:
            return bool(_evaluate(self._tree, values))
        except (ZeroDivisionError, OverflowError):
            return False
        except TypeError:
            named = ", ".join(f"{name} = {values[name]!r}" for name in self.names)
            raise LabError(f"The constraint {self.text!r} compares what cannot be compared: {named}.") from None


def _parse(text: str) -> ast.expr:
    try:
        tree = parse_expression(text, _is_allowed, takes=ALLOWED)
    except ValueError as error:
        raise LabError(f"The constraint {text!r} {error}") from None
    if not isinstance(tree, ast.Compare | ast.BoolOp) and not (isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not)):
        raise LabError(f"The constraint {text!r} compares nothing. Write a comparison, such as max_leaves <= 2 ** max_depth.")
    return tree


def _is_allowed(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=value):
            return isinstance(value, int | float | str | None)
        case ast.BinOp(op=op):
            return isinstance(op, ARITHMETIC)
        case ast.UnaryOp(op=op):
            return type(op) in OPERATORS
        case ast.Compare(ops=ops):
            return all(type(op) in OPERATORS for op in ops)
    return isinstance(node, OTHERS)


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return values[name]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_evaluate(item, values) for item in items]
        case ast.UnaryOp(op=op, operand=operand):
            return OPERATORS[type(op)](_evaluate(operand, values))
        case ast.BoolOp(op=op, values=parts):
            combine = all if isinstance(op, ast.And) else any
            return combine(_evaluate(part, values) for part in parts)
        case ast.BinOp(left=left, op=op, right=right):
            return _calculate(op, _evaluate(left, values), _evaluate(right, values))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [_evaluate(side, values) for side in (left, *comparators)]
            return all(OPERATORS[type(op)](one, other) for op, one, other in zip(ops, sides, sides[1:], strict=False))
    raise AssertionError(node)  # _parse lets nothing else pass


def _calculate(op: ast.operator, left: Any, right: Any) -> Any:
    """Return the result of an operation on two numbers; text and lists have none, and grow without limit."""
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise TypeError
    if not isinstance(op, ast.Pow):
        return OPERATORS[type(op)](left, right)
    try:
        found = left**right if abs(left) <= MOST_EXPONENT and abs(right) <= MOST_EXPONENT else float(left) ** float(right)
    except OverflowError:
        return float("inf")
    if isinstance(found, complex):
        raise OverflowError
    return found
