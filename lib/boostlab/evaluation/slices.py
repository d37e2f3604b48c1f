"""Slices: parts of the test rows, by the values of one or two columns, on which the model is worse than on the rest.

:mod:`boostlab.evaluation.slice_plots` draws them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from boostlab.data.splits import Part
from boostlab.data.table import to_series
from boostlab.display.numbers import format_number
from boostlab.evaluation.losses import LOSSES, Loss, find_loss
from boostlab.evaluation.metrics import Evaluation, find_true
from boostlab.models.contract import Contract, Feature
from boostlab.models.predictor import ENCODERS, Predictor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 20_000
FEWEST = 20  # rows or groups of a slice: with fewer, a few rows decide
BINS = 4  # of a column of numbers or dates
MOST_CATEGORIES = 20  # of a column
MOST_SHOWN = 12
MOST_FINDINGS = 3
ALPHA = 0.05
DEPTH = 2  # of the tree that looks for pairs of columns
LEAF_SHARE = 0.05  # of the validation rows

Array = np.ndarray[Any, Any]
Path = tuple[str, ...]  # conditions


@dataclass(frozen=True)
class Slice:
    """Some test rows, and the metric on them."""

    name: str  #: what the rows have in common, such as ``kind = flat``
    rows: int
    value: float  #: the metric on the slice
    low: float  #: lower end of its interval, of 95 %
    high: float  #: its upper end
    rest: float  #: the metric on the other rows
    p: float  #: how probable so large a difference is if the model is as good on the slice, corrected for the number of slices

    @property
    def is_worse(self) -> bool:
        """Whether the model is worse on the slice than chance allows."""
        return self.p < ALPHA


@dataclass(frozen=True)
class Slices:
    """The slices of a test part, the surest difference first."""

    slices: tuple[Slice, ...]
    metric: str  #: a mean over rows: lower is better
    value: float  #: the metric on all rows

    @property
    def findings(self) -> list[str]:
        """A sentence on each slice on which the model is worse, at most three."""
        return [
            f"The model is worse where {one.name}: {self.metric} {format_number(one.value)} on {one.rows:,} test rows, "
            f"{format_number(one.rest)} elsewhere."
            for one in self.slices[:MOST_FINDINGS]
            if one.is_worse
        ]

    def to_json(self) -> str:
        """Return all slices as the artifact of a run."""
        facts = {"metric": self.metric, "value": self.value}
        return json.dumps(facts | {"slices": [asdict(one) | {"is_worse": one.is_worse} for one in self.slices]}, indent=1)

    def plot(self) -> Figure | None:
        """Draw the first slices; None if there is none."""
        from boostlab.evaluation.slice_plots import plot_slices

        return plot_slices(self)

    def tabulate(self) -> pd.DataFrame:
        """Return the first slices as a table for people."""
        worse = sum(one.is_worse for one in self.slices)
        table = pd.DataFrame(
            {
                "rows": [one.rows for one in self.slices],
                self.metric: [one.value for one in self.slices],
                "95 % interval: from": [one.low for one in self.slices],
                "to": [one.high for one in self.slices],
                "elsewhere": [one.rest for one in self.slices],
                "p": [one.p for one in self.slices],
            },
            index=pd.Index([one.name for one in self.slices], name=f"{len(self.slices)} slices, {worse} of them worse"),
        )
        return table.head(MOST_SHOWN)


def find_slices(evaluation: Evaluation, predictor: Predictor, valid: Part) -> Slices:
    """Return the metric of each slice of the test part with at least 20 rows, or groups of rows.

    Slices are the values of each column: its categories, quarters of its numbers and dates, and its missing values. More are the
    leaves of a shallow tree that looks for large losses among the validation rows, so that the test rows judge what other rows
    suggest.

    Notes
    -----
    A slice is compared with the other rows by the mean of the rows' losses (Welch's test, one-sided). Rows of one group count
    together, and so do equal rows. The p-values are corrected for the number of slices by Holm's method, which holds for slices
    that overlap. A metric that is no mean over rows is replaced by the RMSE or the log loss.
    """
    contract, part = evaluation.contract, evaluation.part
    metric, loss = _choose_loss(contract)
    chosen = _space(len(part))
    frame = _read(part, contract, chosen)
    losses = loss.rows(find_true(part, contract)[chosen], evaluation.answers[chosen])
    weight = np.ones(len(chosen)) if part.weight is None else part.weight[chosen].astype(float)
    units = _find_units(part, chosen)
    masks = dict(_by_column(frame, contract)) | dict(_by_tree(predictor, valid, loss, frame))
    found = [_judge(name, mask, losses, weight, units, loss) for name, mask in masks.items() if _is_enough(mask, weight, units)]
    whole = _root(float(np.average(losses, weights=weight)), loss)
    return Slices(tuple(_correct(found)), metric, whole)


def _choose_loss(contract: Contract) -> tuple[str, Loss]:
    """Return the metric of the training and its loss, or if it has none the usual one."""
    if contract.labels:
        return "log_loss", Loss(_log_loss, lambda *_: np.empty(0))
    loss = find_loss(contract.metric)
    return (contract.metric, loss) if loss else ("rmse", LOSSES["rmse"]())


def _log_loss(true: Array, probabilities: Array) -> Array:
    tiny = np.finfo(np.float64).eps
    chosen = probabilities[np.arange(len(true)), true] / probabilities.sum(axis=1)
    return np.asarray(-np.log(np.clip(chosen, tiny, 1)))


def _space(count: int) -> Array:
    return np.unique(np.linspace(0, count - 1, min(count, MOST_ROWS)).round().astype(int))


def _read(part: Part, contract: Contract, chosen: Array) -> pd.DataFrame:
    return pd.concat(list(part.table.batches(contract.names, part.rows[chosen])), ignore_index=True)


def _find_units(part: Part, chosen: Array) -> Array:
    """Return the number of the group of each row; without groups, equal rows are one."""
    group = part.table.roles.group
    if not group:
        return np.asarray(pd.factorize(part.table.content.rows[part.rows[chosen]])[0])
    return np.asarray(pd.factorize(to_series(part.table.take([group], part.rows[chosen]), group))[0])


def _is_enough(mask: Array, weight: Array, units: Array) -> bool:
    """Tell whether a slice and the other rows have enough rows that count."""
    return all(len(np.unique(units[side & (weight > 0)])) >= FEWEST for side in (mask, ~mask))


def _judge(name: str, mask: Array, losses: Array, weight: Array, units: Array, loss: Loss) -> Slice:
    """Compare a slice with the other rows; `p` is not corrected."""
    inside, error, count = _average(losses[mask], weight[mask], units[mask])
    outside, other, rest = _average(losses[~mask], weight[~mask], units[~mask])
    variance = error**2 + other**2
    freedom = variance**2 / (error**4 / (count - 1) + other**4 / (rest - 1)) if variance else 1.0
    p = float(stats.t.sf((inside - outside) / variance**0.5, freedom)) if variance else 1.0
    margin = error * float(stats.t.isf(ALPHA / 2, count - 1))
    low, high = (_root(max(value, 0.0), loss) for value in (inside - margin, inside + margin))
    return Slice(name, int(mask.sum()), _root(inside, loss), low, high, _root(outside, loss), p)


def _average(losses: Array, weight: Array, units: Array) -> tuple[float, float, int]:
    """Return the weighted mean of losses, its standard error with rows of one unit together, and the number of units."""
    mean = float(np.average(losses, weights=weight))
    _, codes = np.unique(units, return_inverse=True)
    sums = np.bincount(codes, weights=weight * (losses - mean))
    count = len(sums)
    return mean, float(np.sqrt(count / (count - 1) * (sums**2).sum()) / weight.sum()), count


def _root(mean: float, loss: Loss) -> float:
    return mean**0.5 if loss.is_root else mean


def _correct(slices: list[Slice]) -> Iterator[Slice]:
    """Yield the slices by their p-value, corrected by Holm's method; of equal ones, the worse slice first."""
    highest = 0.0
    ordered = sorted(slices, key=lambda one: (one.p, one.rest - one.value))
    for place, one in enumerate(ordered):
        highest = max(highest, min(1.0, one.p * (len(ordered) - place)))
        yield replace(one, p=highest)


def _by_column(frame: pd.DataFrame, contract: Contract) -> Iterator[tuple[str, Array]]:
    """Yield name and rows of each slice of one column."""
    for feature in contract.features:
        numbers = to_numbers(frame[feature.name], feature)
        missing = np.isnan(numbers)
        if missing.any():
            yield f"{feature.name} is missing", missing
        for name, mask in _divide(numbers, feature):
            yield f"{feature.name} {name}", mask


def _divide(numbers: Array, feature: Feature) -> Iterator[tuple[str, Array]]:
    known = numbers[~np.isnan(numbers)]
    distinct, counts = np.unique(known, return_counts=True)
    if feature.type in ("category", "boolean"):
        labels = feature.categories or ("false", "true")
        frequent = distinct[np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]]
        yield from ((f"= {labels[int(code)]}", numbers == code) for code in frequent)
    elif len(distinct) <= BINS:
        yield from ((f"= {_show(value, feature)}", numbers == value) for value in distinct)
    else:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1], method="nearest"))
        for low, high in pairwise([None, *edges, None]):
            bounds = [f"> {_show(low, feature)}"] if low is not None else []
            bounds += [f"≤ {_show(high, feature)}"] if high is not None else []
            yield (
                " and ".join(bounds),
                (numbers > (-np.inf if low is None else low)) & (numbers <= (np.inf if high is None else high)),
            )


def to_numbers(values: pd.Series, feature: Feature) -> Array:
    """Return a column as numbers: the position of a category, the days of a date; NaN for a missing value."""
    item = replace(feature, parts=("days",)) if feature.type == "date" else feature
    return np.asarray(ENCODERS[item.type](values, item), np.float64).reshape(-1)


def _show(number: float, feature: Feature) -> str:
    if feature.type == "date":
        return str(np.datetime64("1970-01-01") + np.timedelta64(int(number), "D"))
    return format_number(float(number))


def _by_tree(predictor: Predictor, valid: Part, loss: Loss, frame: pd.DataFrame) -> Iterator[tuple[str, Array]]:
    """Yield the test rows of each leaf of a tree that was grown on the losses of the validation rows."""
    from sklearn.tree import DecisionTreeRegressor

    contract, chosen = predictor.contract, _space(len(valid))
    rows = _read(valid, contract, chosen)
    losses = loss.rows(find_true(valid, contract)[chosen], predictor.answers(rows))
    least = max(FEWEST, round(LEAF_SHARE * len(rows)))
    if len(rows) < 2 * least or not np.isfinite(losses).all():
        return
    names, inputs = _spread(rows, contract)
    tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=least, random_state=0)
    tree.fit(inputs, losses, sample_weight=None if valid.weight is None else valid.weight[chosen])
    leaves = tree.apply(_spread(frame, contract)[1])
    paths = dict(_walk(tree.tree_, names))
    yield from ((" and ".join(path), leaves == leaf) for leaf, path in paths.items() if len(path) > 1)


def _spread(frame: pd.DataFrame, contract: Contract) -> tuple[list[tuple[Feature, str]], Array]:
    """Return the inputs of a tree: a column of numbers for each number and date, of 0 and 1 for each frequent category."""
    names: list[tuple[Feature, str]] = []
    columns = []
    for feature in contract.features:
        numbers = to_numbers(frame[feature.name], feature)
        if feature.type not in ("category", "boolean"):
            names.append((feature, ""))
            columns.append(numbers)
            continue
        for code, label in enumerate((feature.categories or ("false", "true"))[:MOST_CATEGORIES]):
            names.append((feature, label))
            columns.append((numbers == code).astype(float))
    return names, np.column_stack(columns).astype(np.float32)


def _walk(tree: Any, names: list[tuple[Feature, str]], node: int = 0, path: Path = ()) -> Iterator[tuple[int, Path]]:
    """Yield each leaf with the conditions that lead to it."""
    if tree.children_left[node] < 0:
        yield node, path
        return
    (feature, label), limit = names[tree.feature[node]], tree.threshold[node]
    to_left = bool(tree.missing_go_to_left[node])
    for side, child in enumerate((tree.children_left[node], tree.children_right[node])):
        if label:
            condition = f"{feature.name} {'=' if side else '≠'} {label}"
        else:
            missing = " or missing" if to_left != bool(side) and feature.optional else ""
            condition = f"{feature.name} {'>' if side else '≤'} {_show(limit, feature)}{missing}"
        yield from _walk(tree, names, int(child), (*path, condition))
