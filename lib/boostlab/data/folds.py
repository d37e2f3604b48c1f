"""Folds for cross-validation: splits of one table, each of which tests other rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

from boostlab.data.duplicates import Duplicates, find_duplicates
from boostlab.data.partition import LEFT_OUT, TEST, Partition, cut_times, read_complete
from boostlab.data.settings import FoldSettings
from boostlab.data.splits import Part, Split, divide, keep_together, make_split, read_weights
from boostlab.data.table import Table
from boostlab.data.times import check_times
from boostlab.errors import DataError

Array = np.ndarray[Any, Any]


def split_folds(table: Table, settings: FoldSettings) -> tuple[Split, ...]:
    """Return a split for each fold, and for each of the repeats.

    Folds keep together what a split keeps together: groups, equal rows, and the shares of classes. The rows outside a fold are
    divided into training and validation in the proportion that `valid_size` and `test_size` state. A split by time cuts the rows
    into ``folds + 1`` blocks of equal size: each block but the first is tested once, by models that know only earlier blocks.
    The rows of `test_dataset` are in no fold. Without folds there is no split.

    Raises
    ------
    DataError
        If there are fewer rows, groups, times, or rows of a class, than folds; or a part of a fold cannot be used.
    """
    if not settings.folds:
        return ()
    own = table.without_test_rows()
    share = settings.valid_size / (1 - (0.0 if table.test_rows else settings.test_size))  # of the rows outside the fold
    partitions = _cut_folds(own, settings, share) if settings.split == "time" else _draw_folds(own, settings, share)
    splits: list[Split] = []
    try:
        splits.extend(make_split(own, partition, settings) for partition in partitions)
    except DataError as error:
        fold = f"Fold {len(splits) % settings.folds + 1} of {settings.folds}"
        raise DataError(f"{fold}: {error} Fewer folds may help, too.") from None
    return tuple(splits)


def use_all_rows(table: Table) -> Split:
    """Return all rows but those of `test_dataset` as each of the three parts: for a model that no row judges."""
    own = table.without_test_rows()
    weight = read_weights(own)
    part = Part(own, np.arange(len(own)), own.target, weight)
    return Split(part, part, part)


def _draw_folds(table: Table, settings: FoldSettings, share: float) -> Iterator[Partition]:
    """Return folds drawn at random; the seed of each repeat follows on that of the one before."""
    sets = keep_together(find_duplicates(table), settings)
    strata = np.zeros(len(table), np.int64)
    if settings.stratify and table.task == "classification":
        strata = pd.factorize(table.target, sort=True)[0]
    groups = pd.factorize(read_complete(table, "group"))[0] if table.roles.group else None
    _check_counts(table, settings.folds, sets=sets, strata=strata, groups=groups)
    rest_settings = settings.model_copy(update={"test_size": 0.0, "valid_size": share})

    def divide_rest(test: Array) -> Partition:
        rest = np.flatnonzero(~test)
        partition = divide(_take(table, rest), rest_settings, Duplicates.of(sets.code[rest]))
        part = np.full(len(table), TEST, np.int8)
        part[rest] = partition.part
        return Partition(part, partition.left_out)

    seeds = range(settings.split_seed, settings.split_seed + settings.repeats)
    return (divide_rest(test) for seed in seeds for test in _draw_tests(settings.folds, seed, sets, strata, groups))


def _draw_tests(folds: int, seed: int, sets: Duplicates, strata: Array, groups: Array | None) -> Iterator[Array]:
    """Yield for each fold which rows it tests, as booleans of shape (n_rows,)."""
    drawn = {"n_splits": folds, "shuffle": True, "random_state": seed}
    if groups is not None:  # without classes, too: it gives the next group to the smallest fold
        for _, test in StratifiedGroupKFold(**drawn).split(strata, strata, groups):
            yield np.isin(np.arange(len(strata)), test)
        return
    of_sets = strata[sets.first]
    splitter = StratifiedKFold if of_sets.any() else KFold
    for _, test in splitter(**drawn).split(of_sets, of_sets):
        yield np.isin(sets.code, test)


def _cut_folds(table: Table, settings: FoldSettings, share: float) -> Iterator[Partition]:
    """Return folds cut by time: each learns from the past of its test block, and leaves out what is later."""
    times = check_times(read_complete(table, "time"))
    ordered = times.sort_values(ignore_index=True)
    starts = [ordered.iloc[round(len(ordered) * block / (settings.folds + 1))] for block in range(settings.folds + 1)]
    if len(set(starts)) < len(starts):
        raise DataError(
            f"folds = {settings.folds} is too many for the times {times.name!r}: a block would begin and end at one time. "
            f"There are {times.nunique()} different times. Choose fewer folds."
        )

    def cut(start: Any, end: Any) -> Partition:
        rows = np.arange(len(times)) if end is None else np.flatnonzero(times < end)
        past = (times.iloc[rows] < start).mean()
        sizes = {"test_size": 1 - past, "valid_size": past * share}
        partition = cut_times(_take(table, rows), settings.model_copy(update=sizes))
        part = np.full(len(table), LEFT_OUT, np.int8)
        part[rows] = partition.part
        return Partition(part, partition.left_out)

    return (cut(start, end) for start, end in pairwise([*starts[1:], None]))


def _take(table: Table, rows: Array) -> Table:
    """Return some rows, with the columns that have a role: what a partition looks at."""
    return replace(table, data=table.data.select(dict.fromkeys(table.roles.names())).take(pa.array(rows)))


def _check_counts(table: Table, folds: int, *, sets: Duplicates, strata: Array, groups: Array | None) -> None:
    units, unit = (len(sets.first), "different rows") if groups is None else (int(groups.max()) + 1, "groups")
    if units < folds:
        raise DataError(f"folds = {folds} is more than the {units} {unit} of {table.name!r}. Choose fewer folds.")
    if not strata.any():
        return
    target = table.target
    counts = target.iloc[sets.first].value_counts() if groups is None else pd.Series(groups).groupby(target).nunique()
    fewest = int(counts.min())
    if fewest < folds:
        fewer = f"Choose at most {fewest} folds, drop" if fewest > 1 else "Drop"
        raise DataError(
            f"folds = {folds} is more than the {fewest} {unit} of the class {counts.idxmin()!r} of {target.name!r}. "
            f"{fewer} the class, or set stratify to False."
        )
