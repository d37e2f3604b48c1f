"""The search for slices: by the values of each column, and by a shallow tree that looks for pairs of columns."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from boostlab.data.values import as_numbers, format_value, list_labels
from boostlab.models.contract import Contract, Feature

FEWEST = 20  # rows or groups of a slice: with fewer, a few rows decide
BINS = 4  # of a column of numbers or dates
MOST_CATEGORIES = 20  # of a column
DEPTH = 2  # of the tree
LEAF_SHARE = 0.05  # of the rows that the tree is grown on

Array = np.ndarray[Any, Any]
Masks = tuple[str, Array]  # the name of a slice, and which rows it has
LIMITS = ("≤", ">")


class Condition(NamedTuple):
    """A condition on a column: one side of a split of a tree."""

    column: str
    sign: str  #: ``≤`` or ``>`` a limit, ``=`` or ``≠`` a category
    value: str
    or_missing: bool = False  #: whether rows without a value meet it, too


Path = tuple[Condition, ...]


def slice_by_column(frame: pd.DataFrame, contract: Contract) -> Iterator[Masks]:
    """Yield name and rows of each slice of one column."""
    for feature in contract.features:
        numbers = as_numbers(frame[feature.name], feature)
        missing = np.isnan(numbers)
        if missing.any():
            yield f"{feature.name} is missing", missing
        for name, mask in _divide(numbers, feature):
            yield f"{feature.name} {name}", mask


def _divide(numbers: Array, feature: Feature) -> Iterator[Masks]:
    known = numbers[~np.isnan(numbers)]
    distinct, counts = np.unique(known, return_counts=True)
    if feature.type in ("category", "boolean"):
        labels = list_labels(feature)
        frequent = distinct[np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]]
        yield from ((f"= {labels[int(code)]}", numbers == code) for code in frequent)
    elif len(distinct) <= BINS:
        yield from ((f"= {format_value(value, feature)}", numbers == value) for value in distinct)
    else:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1], method="nearest"))
        for low, high in pairwise([None, *edges, None]):
            bounds = [f"> {format_value(low, feature)}"] if low is not None else []
            bounds += [f"≤ {format_value(high, feature)}"] if high is not None else []
            yield (
                " and ".join(bounds),
                (numbers > (-np.inf if low is None else low)) & (numbers <= (np.inf if high is None else high)),
            )


def slice_by_tree(
    rows: pd.DataFrame, losses: Array, weight: Array | None, frame: pd.DataFrame, contract: Contract
) -> Iterator[Masks]:
    """Yield the rows of each leaf of a tree that was grown on the losses of other rows.

    Parameters
    ----------
    rows : DataFrame of shape (n_other_rows, n_features)
        What the tree is grown on, with their `losses` and their `weight`, of shape (n_other_rows,).
    frame : DataFrame of shape (n_rows, n_features)
        What is sliced.
    """
    from sklearn.tree import DecisionTreeRegressor

    least = max(FEWEST, round(LEAF_SHARE * len(rows)))
    if len(rows) < 2 * least or not np.isfinite(losses).all():
        return
    names, inputs = _spread(rows, contract)
    tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=least, random_state=0)
    tree.fit(inputs, losses, sample_weight=weight)
    leaves = tree.apply(_spread(frame, contract)[1])
    paths = dict(_walk(tree.tree_, names))
    yield from ((name_path(path), leaves == leaf) for leaf, path in paths.items() if len(path) > 1)


def _spread(frame: pd.DataFrame, contract: Contract) -> tuple[list[tuple[Feature, str]], Array]:
    """Return the inputs of a tree: a column of numbers for each number and date, of 0 and 1 for each frequent category."""
    names: list[tuple[Feature, str]] = []
    columns = []
    for feature in contract.features:
        numbers = as_numbers(frame[feature.name], feature)
        if feature.type not in ("category", "boolean"):
            names.append((feature, ""))
            columns.append(numbers.astype(np.float32))
            continue
        for code, label in enumerate(list_labels(feature)[:MOST_CATEGORIES]):
            names.append((feature, label))
            columns.append((numbers == code).astype(np.float32))
    return names, np.column_stack(columns)


def _walk(tree: Any, names: list[tuple[Feature, str]], node: int = 0, path: Path = ()) -> Iterator[tuple[int, Path]]:
    """Yield each leaf with the conditions that lead to it."""
    if tree.children_left[node] < 0:
        yield node, path
        return
    (feature, label), limit = names[tree.feature[node]], tree.threshold[node]
    to_left = bool(tree.missing_go_to_left[node])
    for side, child in enumerate((tree.children_left[node], tree.children_right[node])):
        if label:
            condition = Condition(feature.name, "=" if side else "≠", label)
        else:
            missing = to_left != bool(side) and feature.optional
            condition = Condition(feature.name, ">" if side else "≤", format_value(limit, feature), missing)
        yield from _walk(tree, names, int(child), (*path, condition))


def name_path(path: Path) -> str:
    """Return a path in words, without conditions that a later one of the same column includes.

    Examples
    --------
    >>> name_path((Condition("x", "≤", "2"), Condition("x", "≤", "1")))
    'x ≤ 1'
    >>> name_path((Condition("x", "≤", "2", True), Condition("x", ">", "1", True), Condition("kind", "=", "hut")))
    'x ≤ 2 and > 1 (or missing) and kind = hut'
    """
    columns: dict[str, dict[str, Condition]] = {}
    for one in path:
        key = one.sign if one.sign in LIMITS else f"{one.sign} {one.value}"  # a tree's later limit is the closer one
        columns.setdefault(one.column, {})[key] = one
    return " and ".join(_name_column(column, list(kept.values()), path) for column, kept in columns.items())


def _name_column(column: str, kept: list[Condition], path: Path) -> str:
    is_missing = all(one.or_missing for one in path if one.column == column)
    return f"{column} {' and '.join(f'{one.sign} {one.value}' for one in kept)}{' (or missing)' if is_missing else ''}"
