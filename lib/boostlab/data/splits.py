"""The split of a table: rows to learn from, rows that stop the training, and rows for the final test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from boostlab.data.settings import SplitSettings
from boostlab.data.table import Table, to_series
from boostlab.errors import DataError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Part:
    """The rows of one part of a split, by position: the table is not copied."""

    table: Table
    rows: Array  #: positions in the table, ascending
    target: pd.Series  #: length n_rows
    weight: Array | None  #: float32, shape (n_rows,)

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
        rows = pd.Series({"train": len(self.train), "valid": len(self.valid), "test": len(self.test)})
        return pd.DataFrame({"rows": rows, "share": (rows / rows.sum()).map("{:.0%}".format)})


def split_table(table: Table, settings: SplitSettings) -> Split:
    """Split the rows by time, by group or at random, as the settings and the table's roles say.

    A random split of a classification table keeps the shares of the classes if `settings.stratify` is set. A split by time trains
    on the past and tests on the future, and keeps rows of equal time together. Sizes are fractions of all rows, or of all groups.

    Raises
    ------
    DataError
        If a part would be empty, or a class would be missing in the training part.
    """
    target = table.target
    if table.task == "classification":
        _check_classes(target)
    if settings.split == "time":
        parts = _split_by_time(table, settings)
    elif table.roles.group:
        parts = _split_by_group(table, settings)
    else:
        stratify = settings.stratify and table.task == "classification"
        parts = _split_at_random(table, target if stratify else None, settings)
    if table.task == "classification":
        absent = target[~target.isin(target.iloc[parts[0]])].tolist()
        if absent:
            raise DataError(
                f"The class {absent[0]!r} of {target.name!r} has no row in the training part. "
                "Change the split or the seed, or drop the class."
            )
    weight = read_weights(table)
    return Split(*(Part(table, rows, target.iloc[rows], None if weight is None else weight[rows]) for rows in parts))


def _split_at_random(table: Table, strata: pd.Series | None, settings: SplitSettings) -> list[Array]:
    rows = np.arange(len(table))
    test, valid = _count_parts(table, len(rows), settings, fewest=1 if strata is None else strata.nunique())
    try:
        rest, tested = train_test_split(rows, test_size=test, random_state=settings.seed, stratify=strata)
        strata = None if strata is None else strata.iloc[rest]
        train, validated = train_test_split(rest, test_size=valid, random_state=settings.seed, stratify=strata)
    except ValueError as error:  # a class too rare for its share of each part
        raise DataError(f"{table.name!r} cannot be split by class: {error} Change the sizes, or set stratify to False.") from None
    return [np.sort(part) for part in (train, validated, tested)]


def _split_by_group(table: Table, settings: SplitSettings) -> list[Array]:
    codes, distinct = pd.factorize(_read_complete(table, "group"))
    test, valid = _count_parts(table, len(distinct), settings, unit="groups")
    rows = np.arange(len(table))
    rest, tested = next(GroupShuffleSplit(1, test_size=test, random_state=settings.seed).split(rows, groups=codes))
    train, validated = next(GroupShuffleSplit(1, test_size=valid, random_state=settings.seed).split(rest, groups=codes[rest]))
    return [np.sort(part) for part in (rest[train], rest[validated], tested)]


def _split_by_time(table: Table, settings: SplitSettings) -> list[Array]:
    codes, _ = pd.factorize(_read_complete(table, "time"), sort=True)
    shares = 1 - (settings.test_size + settings.valid_size), 1 - settings.test_size
    positions = [min(round(len(codes) * share), len(codes) - 1) for share in shares]
    number = np.searchsorted(np.sort(codes)[positions], codes, side="right")  # of each row's part
    parts = [np.flatnonzero(number == part) for part in range(3)]
    _check_counts(table, dict(zip(("training", "validation", "test"), map(len, parts), strict=True)))
    return parts


def _read_complete(table: Table, role: Literal["group", "time"]) -> pd.Series:
    """Return the column with a role, which must have no missing values."""
    values = to_series(table.data, getattr(table.roles, role))
    missing = values.isna().sum()
    if missing:
        raise DataError(f"The {role} column {values.name!r} has {missing} missing values. Fill them, or drop those rows.")
    return values


def read_weights(table: Table) -> Array | None:
    """Return the weight of each row, float32 of shape (n_rows,); None if the table has no weights.

    Raises
    ------
    DataError
        If a weight is missing, negative or not a number.
    """
    if not table.roles.weight:
        return None
    weight = to_series(table.data, table.roles.weight)
    if not pd.api.types.is_numeric_dtype(weight) or not np.isfinite(weight.to_numpy(float)).all() or (weight < 0).any():
        raise DataError(f"The sample weights {table.roles.weight!r} must be numbers of at least 0, without missing values.")
    return weight.to_numpy(np.float32)


def _count_parts(table: Table, total: int, settings: SplitSettings, *, fewest: int = 1, unit: str = "rows") -> tuple[int, int]:
    """Return how many rows or groups the test part and the validation part take."""
    test, valid = round(total * settings.test_size), round(total * settings.valid_size)
    _check_counts(table, {"test": test, "validation": valid, "training": total - test - valid}, fewest=fewest, unit=unit)
    return test, valid


def _check_counts(table: Table, counts: dict[str, int], *, fewest: int = 1, unit: str = "rows") -> None:
    for name, count in counts.items():
        if count < fewest:
            raise DataError(
                f"The {name} part of {table.name!r} would have {count} of {sum(counts.values())} {unit}, and needs at least "
                f"{fewest}. Change test_size or valid_size."
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
