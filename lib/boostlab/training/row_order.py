"""The order in which training rows join a growing training part: each beginning of it is like the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from boostlab.data.chance import find_units
from boostlab.data.duplicates import find_duplicates
from boostlab.data.settings import SplitSettings
from boostlab.data.splits import Part, keep_together
from boostlab.data.table import to_series
from boostlab.data.times import check_times

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class RowOrder:
    """Positions in a part, the first to join first."""

    order: Array  #: shape (n_rows,)
    place: Array  #: the place of each row's unit, ascending: rows of one unit join together; shape (n_rows,)

    @property
    def rows(self) -> int:
        """The number of rows that can join."""
        return len(self.order)

    @property
    def units(self) -> int:
        """The number of groups, or of sets of equal rows."""
        return len(np.unique(self.place))

    def take(self, share: float) -> Array:
        """Return the positions of the first rows, ascending; the last unit is whole."""
        last = self.place[max(1, round(share * self.rows)) - 1]
        return np.sort(self.order[: np.searchsorted(self.place, last, side="right")])


def order_rows(part: Part, settings: SplitSettings, *, seed: int) -> RowOrder:
    """Return the rows with a weight in the order in which they join.

    By time, the latest join first. Else the order is drawn, so that each beginning has nearly the shares of the classes, and
    groups or equal rows join together. A unit of each class comes first of all: a model knows all classes.
    """
    known = np.arange(len(part)) if part.weight is None else np.flatnonzero(part.weight > 0)
    table, rows = part.table, part.rows[known]
    is_class = table.task == "classification"
    classes = pd.factorize(part.target.iloc[known])[0] if is_class else np.zeros(len(known), int)
    if settings.split == "time":
        times = check_times(to_series(table.take([table.roles.time], rows), table.roles.time))
        units = np.arange(len(rows))
        place = -times.rank(method="first").to_numpy()
    else:
        sets = keep_together(find_duplicates(table), settings).code[rows]
        units = find_units(table, rows) if table.roles.group else pd.factorize(sets)[0]
        place = _draw(units, classes if settings.stratify else np.zeros_like(classes), seed)[units].astype(float)
    first = np.unique(classes[np.argsort(place, kind="stable")], return_index=True)[1]
    ahead = units[np.argsort(place, kind="stable")[first]]
    place[np.isin(units, ahead)] -= 2 * len(rows)
    order = np.argsort(place, kind="stable")
    return RowOrder(known[order], place[order])


def _draw(units: Array, classes: Array, seed: int) -> Array:
    """Return the place of each unit; those of each class, the most frequent one of the unit, are spread evenly."""
    generator, count = np.random.default_rng(seed), int(units.max()) + 1
    pairs, sizes = np.unique(units * (classes.max() + 1) + classes, return_counts=True)
    by_size = pairs[np.argsort(sizes, kind="stable")]
    frequent = np.empty(count, int)
    frequent[by_size // (classes.max() + 1)] = by_size % (classes.max() + 1)  # the last one stays
    drawn = generator.permutation(count)
    strata = pd.Series(frequent[drawn])
    share = (strata.groupby(strata).cumcount() + generator.random(count)) / strata.map(strata.value_counts())
    place = np.empty(count, int)
    place[drawn[np.argsort(share.to_numpy(), kind="stable")]] = np.arange(count)
    return place
