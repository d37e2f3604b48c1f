"""The number of each row's part: rows are drawn at random, drawn by group, or cut by time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.model_selection import ShuffleSplit, train_test_split

from boostlab.data.duplicates import Duplicates
from boostlab.data.findings import NAMES, check_counts
from boostlab.data.settings import SplitSettings
from boostlab.data.table import Table, to_series
from boostlab.data.times import check_times, parse_gap
from boostlab.errors import DataError

LEFT_OUT, TRAIN, VALID, TEST = -1, 0, 1, 2
MOST_DRAWS = 100
MOST_DRAWN = 1_000_000  # groups of all draws: many groups need no choice among draws

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Partition:
    """Which part each row belongs to, and what was found when the rows were divided."""

    part: Array  #: -1 (left out), 0 (train), 1 (valid) or 2 (test) of each row; shape (n_rows,)
    left_out: dict[str, int] = field(default_factory=dict)  #: the number of rows that no part has, by reason


def draw_rows(table: Table, settings: SplitSettings, duplicates: Duplicates) -> Partition:
    """Draw the rows of each part at random; `duplicates` stay together. A classification keeps the shares of its classes."""
    stratify = settings.stratify and table.task == "classification"
    # positions of the sorted classes: scikit-learn would sort the texts of all rows, for each part
    strata = pd.factorize(table.target, sort=True)[0][duplicates.first] if stratify else None
    left = np.arange(len(duplicates.first))
    part = np.full(len(left), TRAIN, np.int8)
    unit = "different rows" if len(duplicates) else "rows"
    counts = count_parts(table, len(left), settings, fewest=1 if strata is None else strata.max() + 1, unit=unit)
    try:
        for number, count in counts.items():
            remaining = None if strata is None else strata[left]
            left, drawn = train_test_split(left, test_size=count, random_state=settings.split_seed, stratify=remaining)
            part[drawn] = number
    except ValueError as error:  # a class too rare for its share of each part
        raise DataError(f"{table.name!r} cannot be split by class: {error} Change the sizes, or set stratify to False.") from None
    return Partition(part[duplicates.code])


def draw_groups(table: Table, settings: SplitSettings) -> Partition:
    """Draw the groups of each part: of up to 100 draws, the one with the best shares of rows, or of each class if stratified."""
    codes, groups = pd.factorize(read_complete(table, "group"))
    stratify = settings.stratify and table.task == "classification"
    classes = pd.factorize(table.target)[0] if stratify else np.zeros(len(table), np.int64)
    totals = np.bincount(classes)
    left = np.arange(len(groups))
    part = np.full(len(groups), TRAIN, np.int8)
    for number, count in count_parts(table, len(groups), settings, unit="groups").items():
        share = settings.test_size if number == TEST else settings.valid_size
        draws = ShuffleSplit(max(1, min(MOST_DRAWS, MOST_DRAWN // len(left))), test_size=count, random_state=settings.split_seed)
        candidates = [np.isin(np.arange(len(groups)), left[drawn]) for _, drawn in draws.split(left)]
        errors = [np.abs(np.bincount(classes[one[codes]], minlength=len(totals)) / totals - share).max() for one in candidates]
        part[candidates[int(np.argmin(errors))]] = number
        left = np.flatnonzero(part == TRAIN)
    return Partition(part[codes])


def cut_times(table: Table, settings: SplitSettings) -> Partition:
    """Train on the past and test on the future; rows of equal time stay together.

    A gap leaves out the last rows of the earlier part. A group that has rows in several parts keeps those of the last one only
    ("purging"): no group is in two parts, and no row that the model learns from is later than a test row.
    """
    times = check_times(read_complete(table, "time"))
    ordered = times.sort_values(ignore_index=True)
    part, left_out = np.full(len(times), TRAIN, np.int8), {}
    starts: dict[int, Any] = {VALID: 1 - settings.test_size - settings.valid_size}
    if settings.test_size:
        starts[TEST] = 1 - settings.test_size
    for number, share in starts.items():
        starts[number] = ordered.iloc[min(round(len(ordered) * share), len(ordered) - 1)]
        part[times >= starts[number]] = number
    if settings.time_gap:
        gap = parse_gap(settings.time_gap, times)
        in_gap = np.any([(part < number) & (times > start - gap) for number, start in starts.items()], axis=0)
        part[in_gap] = LEFT_OUT
        left_out["in the gap of time"] = int(in_gap.sum())
    if table.roles.group:
        codes, _ = pd.factorize(read_complete(table, "group"))
        again = (part >= TRAIN) & (part < pd.Series(part).groupby(codes).transform("max"))
        part[again] = LEFT_OUT
        left_out["of groups that continue in a later part"] = int(again.sum())
    return Partition(part, left_out)


def add_test_rows(table: Table, partition: Partition, settings: SplitSettings, duplicates: Duplicates) -> Partition:
    """Add the test part, which is the last rows of `table`; leave out the other rows that repeat them or are of their groups."""
    part = np.concatenate([partition.part, np.full(table.test_rows, TEST, np.int8)])
    clashes = {"equal to a test row": duplicates.code} if settings.split == "random" and not table.roles.group else {}
    if table.roles.group:
        clashes = {"of groups in the test part": pd.factorize(read_complete(table, "group"))[0]}
    left_out = dict(partition.left_out)
    for reason, codes in clashes.items():
        clash = (part >= TRAIN) & (part < TEST) & np.isin(codes, codes[part == TEST])
        part[clash] = LEFT_OUT
        left_out[reason] = int(clash.sum())
    return Partition(part, left_out)


def read_complete(table: Table, role: Literal["group", "time"]) -> pd.Series:
    """Return the column with a role, which must have no missing values."""
    values = to_series(table.data, getattr(table.roles, role))
    missing = values.isna().sum()
    if missing:
        raise DataError(f"The {role} column {values.name!r} has {missing} missing values. Fill them, or drop those rows.")
    return values


def count_parts(table: Table, total: int, settings: SplitSettings, *, fewest: int = 1, unit: str = "rows") -> dict[int, int]:
    """Return how many rows or groups the test part and the validation part take."""
    sizes = {TEST: settings.test_size, VALID: settings.valid_size}
    counts = {number: round(total * size) for number, size in sizes.items() if size}  # a test table leaves no test size
    named = {NAMES[number]: count for number, count in counts.items()} | {NAMES[TRAIN]: total - sum(counts.values())}
    check_counts(table.name, named, fewest=fewest, unit=unit)
    return counts
