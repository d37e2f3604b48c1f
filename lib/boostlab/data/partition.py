"""The number of each row's part: rows are drawn at random, drawn by group, or cut by time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.model_selection import ShuffleSplit, train_test_split

from boostlab.data.duplicates import Duplicates
from boostlab.data.findings import check_counts
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
    times: pd.Series | None = None  #: the time of each row, length n_rows


def draw_rows(table: Table, settings: SplitSettings, duplicates: Duplicates) -> Partition:
    """Draw the rows of each part at random; `duplicates` stay together. A classification keeps the shares of its classes."""
    strata = table.target.iloc[duplicates.first] if settings.stratify and table.task == "classification" else None
    left = np.arange(len(duplicates.first))
    part = np.full(len(left), TRAIN, np.int8)
    try:
        for number, count in count_parts(table, len(left), settings, fewest=1 if strata is None else strata.nunique()).items():
            remaining = None if strata is None else strata.iloc[left]
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
    part, left_out, share = np.full(len(times), TRAIN, np.int8), {}, 1.0 - settings.test_size - settings.valid_size
    starts = {VALID: share, TEST: 1.0 - settings.test_size}
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
    return Partition(part, left_out, times)


def read_complete(table: Table, role: Literal["group", "time"]) -> pd.Series:
    """Return the column with a role, which must have no missing values."""
    values = to_series(table.data, getattr(table.roles, role))
    missing = values.isna().sum()
    if missing:
        raise DataError(f"The {role} column {values.name!r} has {missing} missing values. Fill them, or drop those rows.")
    return values


def count_parts(table: Table, total: int, settings: SplitSettings, *, fewest: int = 1, unit: str = "rows") -> dict[int, int]:
    """Return how many rows or groups the test part and the validation part take."""
    test, valid = round(total * settings.test_size), round(total * settings.valid_size)
    check_counts(table.name, [total - test - valid, valid, test], fewest=fewest, unit=unit)
    return {TEST: test, VALID: valid}
