"""Expressions in parameters: read by Python's own parser, and limited to what their owner allows. Nothing is ever executed."""

from __future__ import annotations

import ast
from collections.abc import Callable


def parse_expression(text: str, is_allowed: Callable[[ast.AST], bool], *, takes: str) -> ast.expr:
    """Return the syntax tree of an expression.

    Parameters
    ----------
    is_allowed : callable
        Tells whether a node of the tree may be part of it.
    takes : str
        What an expression may consist of, in words.

    Raises
    ------
    ValueError
        If it is no expression, or has a part that is not allowed.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"cannot be read. It takes {takes}.") from None
    for node in ast.walk(tree):
        if not is_allowed(node):
            raise ValueError(f"has {ast.unparse(node)!r}, which is not allowed. It takes {takes}.")
    return tree
