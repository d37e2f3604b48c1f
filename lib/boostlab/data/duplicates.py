"""Rows that repeat another row exactly: found by their hashes, so that equal rows can stay on one side of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from boostlab.data.digest import hash_table
from boostlab.data.table import Table

COARSE = 20  # rows per different row: so many repeats come from columns with few values, not from copies

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Duplicates:
    """Sets of equal rows; a row without an equal one is a set of its own."""

    first: Array  #: the position of the first row of each set, shape (n_sets,)
    code: Array  #: the number of each row's set, shape (n_rows,)

    @classmethod
    def of(cls, hashes: Array) -> Duplicates:
        """Return the sets of equal values of a hash, or of another code."""
        repeats = pd.Series(hashes).duplicated().to_numpy()
        code = pd.factorize(hashes)[0] if repeats.any() else np.arange(len(hashes))
        return cls(np.flatnonzero(~repeats), code)

    def __len__(self) -> int:
        """Return how many rows repeat an earlier row."""
        return len(self.code) - len(self.first)

    @property
    def is_coarse(self) -> bool:
        """Whether rows repeat so often that equal rows are different cases."""
        return len(self.code) > COARSE * len(self.first)

    def separate(self) -> Duplicates:
        """Return sets of one row each."""
        rows = np.arange(len(self.code))
        return Duplicates(rows, rows)

    def describe(self, *, test: Array, rest: Array, remedy: str) -> str:
        """Return a sentence on the repeated rows.

        Parameters
        ----------
        test, rest : ndarray of int
            The positions of the test rows, and of the training and validation rows.
        remedy : str
            What to say if test rows equal others.
        """
        repeated = f"{len(self):,} of {len(self.code):,} rows repeat an earlier row in target and features."
        equal = np.isin(self.code[test], self.code[rest]).sum()
        if not equal:
            return f"{repeated} Equal rows are in one part. If they are different cases, set duplicates to apart."
        return f"{repeated} {equal:,} of {len(test):,} test rows equal a row of training or validation. {remedy}"


def find_duplicates(table: Table) -> Duplicates:
    """Return the sets of rows that are equal in target and features, in the order of their first rows."""
    return Duplicates.of(hash_columns(table, [*table.features, table.roles.target]))


def hash_columns(table: Table, names: Sequence[str]) -> Array:
    """Return a hash of each row's values in some columns; uint64, shape (n_rows,)."""
    others = [name for name in table.data.column_names if name not in names]
    return table.content.rows - hash_table(table.data.select(others)).rows if others else table.content.rows
