"""The split of a table: rows to learn from, rows that stop the training, and rows for the final test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from boostlab.data.settings import SplitSettings
from boostlab.data.table import Table, to_series
from boostlab.errors import DataError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Part:
    """The rows of one part of a split, by position: the table is not copied.

    Attributes
    ----------
    table : Table
    rows : ndarray of int, ascending
        Positions in the table.
    target : Series of length n_rows
    weight : ndarray of shape (n_rows,), or None
    """

    table: Table
    rows: Array
    target: pd.Series
    weight: Array | None

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        """Yield the part's rows as frames of at most 65,536 rows."""
        return self.table.batches(columns, self.rows)

    def head(self, count: int) -> pd.DataFrame:
        """Return the part's first rows with all columns that may become features."""
        frames = list(self.table.batches(list(self.table.features), self.rows[:count]))
        return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True)
class Split:
    """Three parts without a common row."""

    train: Part
    valid: Part
    test: Part

    def sizes(self) -> pd.DataFrame:
        """Return the number and the share of each part's rows, as a table for people."""
        rows = {name: len(part) for name, part in (("train", self.train), ("valid", self.valid), ("test", self.test))}
        total = sum(rows.values())
        shares = [f"{count / total:.0%}" for count in rows.values()]
        return pd.DataFrame({"rows": list(rows.values()), "share": shares}, index=list(rows))


def split_table(table: Table, settings: SplitSettings) -> Split:
    """Split the rows by time, by group or at random, as the settings and the table's roles say.

    A random split of a classification table keeps the shares of the classes if `settings.stratify` is set. A split by time trains
    on the past and tests on the future, and keeps rows of equal time together. Sizes are fractions of all rows, or of all groups.

    Raises
    ------
    DataError
        If a part would be empty, or a class would be missing in the training part.
    """
    classes = table.target if table.task == "classification" else None
    if classes is not None:
        _check_classes(classes)
    sizes = settings.test_size, settings.valid_size
    if settings.split == "time":
        parts = _split_by_time(table, sizes)
    elif table.roles.group:
        parts = _split_by_group(table, sizes, settings.seed)
    else:
        parts = _split_at_random(table, classes if settings.stratify else None, sizes, settings.seed)
    _check_parts(table, parts, classes)
    weight = _read_weights(table) if table.roles.weight else None
    return Split(*(Part(table, rows, table.target.iloc[rows], None if weight is None else weight[rows]) for rows in parts))


def _split_at_random(table: Table, strata: pd.Series | None, sizes: tuple[float, float], seed: int) -> list[Array]:
    rows = np.arange(len(table))
    test, valid = (round(len(rows) * size) for size in sizes)
    fewest = 1 if strata is None else strata.nunique()
    _check_sizes(table, {"test": test, "validation": valid, "training": len(rows) - test - valid}, fewest)
    try:
        rest, tested = train_test_split(rows, test_size=test, random_state=seed, stratify=strata)
        strata = None if strata is None else strata.iloc[rest]
        train, validated = train_test_split(rest, test_size=valid, random_state=seed, stratify=strata)
    except ValueError as error:  # a class too rare for its share of each part
        raise DataError(f"{table.name!r} cannot be split by class: {error} Change the sizes, or set stratify to False.") from None
    return [np.sort(part) for part in (train, validated, tested)]


def _split_by_group(table: Table, sizes: tuple[float, float], seed: int) -> list[Array]:
    groups = to_series(table.data.column(table.roles.group), table.roles.group)
    if groups.isna().any():
        raise DataError(
            f"The group column {table.roles.group!r} has {groups.isna().sum()} missing values. Fill them, or drop those rows."
        )
    codes, distinct = pd.factorize(groups)
    test, valid = (round(len(distinct) * size) for size in sizes)
    _check_sizes(table, {"test": test, "validation": valid, "training": len(distinct) - test - valid}, 1, what="groups")
    rows = np.arange(len(table))
    rest, tested = next(GroupShuffleSplit(1, test_size=test, random_state=seed).split(rows, groups=codes))
    train, validated = next(GroupShuffleSplit(1, test_size=valid, random_state=seed).split(rest, groups=codes[rest]))
    return [np.sort(part) for part in (rest[train], rest[validated], tested)]


def _split_by_time(table: Table, sizes: tuple[float, float]) -> list[Array]:
    times = to_series(table.data.column(table.roles.time), table.roles.time)
    if times.isna().any():
        raise DataError(
            f"The time column {table.roles.time!r} has {times.isna().sum()} missing values. Fill them, or drop those rows."
        )
    codes = pd.factorize(times, sort=True)[0]
    order = np.sort(codes)
    bounds = []
    for share in (1 - sum(sizes), 1 - sizes[0]):
        position = min(round(len(order) * share), len(order) - 1)
        bounds.append(order[position])
    rows = np.arange(len(table))
    return [
        rows[codes < bounds[0]],
        rows[(codes >= bounds[0]) & (codes < bounds[1])],
        rows[codes >= bounds[1]],
    ]


def _missing_error(role: str, values: pd.Series) -> DataError:
    count = values.isna().sum()
    return DataError(f"The {role} column {values.name!r} has {count} missing values. Fill them, or drop those rows.")


def _read_weights(table: Table) -> Array:
    weight = to_series(table.data.column(table.roles.weight), table.roles.weight)
    if not pd.api.types.is_numeric_dtype(weight) or not np.isfinite(weight.to_numpy(float)).all() or (weight < 0).any():
        raise DataError(f"The sample weights {table.roles.weight!r} must be numbers of at least 0, without missing values.")
    return weight.to_numpy(np.float32)


def _check_sizes(table: Table, counts: dict[str, int], fewest: int, what: str = "rows") -> None:
    for name, count in counts.items():
        if count < fewest:
            raise DataError(
                f"The {name} part of {table.name!r} would have {count} of {sum(counts.values())} {what}, and needs at least "
                f"{fewest}. Change test_size or valid_size."
            )


def _check_parts(table: Table, parts: list[Array], target: pd.Series | None) -> None:
    _check_sizes(table, dict(zip(("training", "validation", "test"), map(len, parts), strict=True)), 1)
    if target is None:
        return
    learned = set(target.iloc[parts[0]].unique().tolist())
    for label in target.unique().tolist():
        if label not in learned:
            raise DataError(
                f"The class {label!r} of {target.name!r} has no row in the training part. "
                "Change the split or the seed, or drop the class."
            )


def _check_classes(target: pd.Series) -> None:
    counts = target.value_counts()
    labels = counts.index.tolist()
    if len(counts) < 2:
        raise DataError(f"The target {target.name!r} has one class only, {labels[0]!r}. Classification takes two or more.")
    if counts.iloc[-1] < 3:
        raise DataError(
            f"The class {labels[-1]!r} of {target.name!r} has {counts.iloc[-1]} row(s), too few for a training, a "
            "validation and a test part. Drop it, or merge it with another."
        )
