"""Slices: parts of the test rows, by the values of one or two columns, and whether the error is larger there than elsewhere.

:mod:`boostlab.evaluation.slice_plots` draws them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from boostlab.data.chance import ALPHA, average, correct_holm, find_units, space_rows
from boostlab.data.splits import Part
from boostlab.display.numbers import format_number
from boostlab.display.tables import Table
from boostlab.evaluation.losses import LOSSES, Loss, find_loss
from boostlab.evaluation.metrics import Evaluation, find_true
from boostlab.evaluation.slice_search import FEWEST, slice_by_column, slice_by_tree
from boostlab.models.contract import Contract
from boostlab.models.predictor import Predictor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 20_000
MOST_SHOWN = 12
MOST_FINDINGS = 3
WORTH = 1.1  # of many rows, also a difference that does not matter is sure

Array = np.ndarray[Any, Any]


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
        """Whether the error is larger than elsewhere, more than chance allows, and by enough to matter."""
        return self.p < ALPHA and self.value > WORTH * self.rest


@dataclass(frozen=True)
class Slices:
    """The slices of a test part, the surest difference first."""

    slices: tuple[Slice, ...]
    metric: str  #: a mean over rows: lower is better
    value: float  #: the metric on all rows

    @property
    def findings(self) -> list[str]:
        """A sentence on each slice with a larger error, at most three."""
        return [
            f"The error is larger where {one.name}: {self.metric} {format_number(one.value)} on {one.rows:,} test rows, "
            f"{format_number(one.rest)} elsewhere."
            for one in self.slices[:MOST_FINDINGS]
            if one.is_worse
        ]

    def to_json(self) -> str:
        """Return all slices as the artifact of a run."""
        facts = {"metric": self.metric, "value": self.value}
        return json.dumps(facts | {"slices": [asdict(one) | {"is_worse": one.is_worse} for one in self.slices]}, indent=1)

    def plot(self, *, wanted: bool = True) -> Figure | None:
        """Draw the first slices; None if there is none, or the figure is not `wanted`."""
        from boostlab.evaluation.slice_plots import plot_slices

        return plot_slices(self) if wanted else None

    def tabulate(self) -> Table:
        """Return the first slices as a table for people."""
        worse = sum(one.is_worse for one in self.slices)
        shown = self.slices[:MOST_SHOWN]
        return Table(
            f"Slices: {len(self.slices)}, {worse} of them with a larger error",
            ["slice", "rows", self.metric, "95 % interval: from", "to", "elsewhere", "p"],
            [[one.name, one.rows, one.value, one.low, one.high, one.rest, one.p] for one in shown],
            marked=[place for place, one in enumerate(shown) if one.is_worse],
            empty=f"none: at least {FEWEST} test rows make a slice, and as many must be outside of it",
        )


def find_slices(evaluation: Evaluation, predictor: Predictor, valid: Part) -> Slices:
    """Return the metric of each slice of the test part with at least 20 rows, or groups of rows.

    Slices are the values of each column: its categories, quarters of its numbers and dates, and its missing values. More are the
    leaves of a shallow tree that looks for large losses among the validation rows, so that the test rows judge what other rows
    suggest.

    Notes
    -----
    A slice is compared with the other rows by the mean of the rows' losses (Welch's test, one-sided). On each side, the variance
    is at least that of all rows: twenty rows without a rare class have almost none. Rows of one group count together, and so do
    equal rows. The p-values are corrected for the number of slices by Holm's method, which holds for slices that overlap
    (``benchmarks/calibration`` measures how often). A metric that is no mean over rows is replaced by the RMSE or the log loss.
    """
    contract, part = evaluation.contract, evaluation.part
    metric, loss = choose_loss(contract)
    chosen = space_rows(part, MOST_ROWS)
    frame = _read(part, contract, chosen)
    losses = loss.rows(find_true(part, contract)[chosen], evaluation.answers[chosen])
    weight = np.ones(len(chosen)) if part.weight is None else part.weight[chosen].astype(float)
    units = find_units(part.table, part.rows[chosen])
    other = space_rows(valid, MOST_ROWS)
    rows = _read(valid, contract, other)
    others = loss.rows(find_true(valid, contract)[other], predictor.answers(rows))
    other_weight = None if valid.weight is None else valid.weight[other]
    masks = dict(slice_by_column(frame, contract)) | dict(
        slice_by_tree(rows, others, other_weight, frame=frame, contract=contract)
    )
    whole, error, count = average(losses, weight, units)
    judge = partial(_judge, losses=losses, weight=weight, units=units, loss=loss, least=error**2 * count)
    found = [judge(name, mask) for name, mask in masks.items() if _is_enough(mask, weight, units)]
    return Slices(_correct(found), metric, _root(whole, loss))


def choose_loss(contract: Contract) -> tuple[str, Loss]:
    """Return the metric of the training and its loss, or if it has none the usual one."""
    if contract.labels:
        return "log_loss", Loss(_log_loss, lambda *_: np.empty(0))
    loss = find_loss(contract.metric)
    return (contract.metric, loss) if loss else ("rmse", LOSSES["rmse"]())


def _log_loss(true: Array, probabilities: Array) -> Array:
    tiny = np.finfo(np.float64).eps
    chosen = probabilities[np.arange(len(true)), true] / probabilities.sum(axis=1)
    return np.asarray(-np.log(np.clip(chosen, tiny, 1)))


def _read(part: Part, contract: Contract, chosen: Array) -> pd.DataFrame:
    return pd.concat(list(part.table.batches(contract.names, part.rows[chosen])), ignore_index=True)


def _is_enough(mask: Array, weight: Array, units: Array) -> bool:
    """Tell whether a slice and the other rows have enough rows that count."""
    return all(len(np.unique(units[side & (weight > 0)])) >= FEWEST for side in (mask, ~mask))


def _judge(name: str, mask: Array, *, losses: Array, weight: Array, units: Array, loss: Loss, least: float) -> Slice:
    """Compare a slice with the other rows; `p` is not corrected. `least` is the least variance of a unit."""
    inside, error, count = average(losses[mask], weight[mask], units[mask])
    outside, other, rest = average(losses[~mask], weight[~mask], units[~mask])
    own, others = max(error**2, least / count), max(other**2, least / rest)
    variance = own + others
    freedom = variance**2 / (own**2 / (count - 1) + others**2 / (rest - 1)) if variance else 1.0
    p = float(stats.t.sf((inside - outside) / variance**0.5, freedom)) if variance else 1.0
    margin = error * float(stats.t.isf(ALPHA / 2, count - 1))
    low, high = (_root(max(value, 0.0), loss) for value in (inside - margin, inside + margin))
    return Slice(name, int(mask.sum()), _root(inside, loss), low, high, _root(outside, loss), p)


def _root(mean: float, loss: Loss) -> float:
    return mean**0.5 if loss.is_root else mean


def _correct(slices: list[Slice]) -> tuple[Slice, ...]:
    """Return the slices by their p-value, corrected by Holm's method; of equal ones, the worse slice first."""
    ordered = sorted(slices, key=lambda one: (one.p, one.rest - one.value))
    corrected = correct_holm(np.array([one.p for one in ordered])).tolist()
    return tuple(replace(one, p=p) for one, p in zip(ordered, corrected, strict=True))
