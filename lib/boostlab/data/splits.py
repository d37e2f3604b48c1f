"""The split of a table: rows to learn from, rows that stop the training, and rows for the final test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from boostlab.data.digest import DIGITS
from boostlab.data.duplicates import Duplicates, find_duplicates
from boostlab.data.findings import NAMES, check_classes, check_counts, check_parts
from boostlab.data.partition import (
    TEST,
    TRAIN,
    VALID,
    Partition,
    add_test_rows,
    cut_times,
    draw_groups,
    draw_rows,
    read_complete,
)
from boostlab.data.settings import SplitSettings
from boostlab.data.table import Table, to_series
from boostlab.data.tags import JUDGING_TAG, LEFT_OUT_TAG, ROWS_TAG, TIME_FORMAT_TAG
from boostlab.data.times import check_times
from boostlab.errors import DataError

APART = "Set duplicates to together to keep equal rows in one part."
COARSE_ROWS = "Rows repeat so often that equal rows count as different cases."

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

    def take(self, chosen: Array) -> Part:
        """Return a part of the rows at ascending positions in this part."""
        return Part(self.table, self.rows[chosen], self.target.iloc[chosen], None if self.weight is None else self.weight[chosen])

    def batches(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        """Yield the part's rows as frames of at most 65,536 rows."""
        return self.table.batches(columns, self.rows)

    def head(self, count: int) -> pd.DataFrame:
        """Return the part's first rows with all columns that may become features."""
        frames = list(self.table.batches(list(self.table.features), self.rows[:count]))
        return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True)
class Split:
    """Three parts without a common row, and what was found when they were made."""

    train: Part
    valid: Part
    test: Part
    findings: tuple[str, ...] = ()  #: sentences on what makes the figures of the parts doubtful
    left_out: Mapping[str, int] = field(default_factory=dict)  #: the number of rows that no part has, by reason
    times: tuple[str, ...] = ()  #: the first and the last time of each part, of a split by time
    time_format: str = ""  #: the format in which a time column of text was read

    def sizes(self) -> pd.DataFrame:
        """Return the number and the share of each part's rows, and its times, as a table for people."""
        parts = {"train": len(self.train), "valid": len(self.valid), "test": len(self.test)}
        rows = pd.Series(parts | {f"left out: {reason}": count for reason, count in self.left_out.items()})
        table = pd.DataFrame({"rows": rows, "share": (rows / rows.sum()).map("{:.0%}".format)})
        if self.times:
            name = f"time, read as {self.time_format}" if self.time_format else "time"
            table[name] = [*self.times, *[""] * len(self.left_out)]
        return table

    def digest(self, start: bytes = b"") -> str:
        """Return a digest of the rows that judge a model, after other bytes: the valid and the test part, target and weight."""
        digest = hashlib.sha256(start)
        for part in (self.valid, self.test):
            content, roles = part.table.content, part.table.roles
            digest.update(f"{content.columns[roles.target]} {content.columns.get(roles.weight, '')} ".encode())
            digest.update(np.asarray(part.rows, np.int64).tobytes())
        return digest.hexdigest()[:DIGITS]

    def tags(self) -> dict[str, str]:
        """Return what a run records about the split besides its findings."""
        rows = {"train": len(self.train), "valid": len(self.valid), "test": len(self.test)}
        left_out = json.dumps(self.left_out) if self.left_out else ""
        tags = {ROWS_TAG: json.dumps(rows), JUDGING_TAG: self.digest(), TIME_FORMAT_TAG: self.time_format, LEFT_OUT_TAG: left_out}
        return {name: text for name, text in tags.items() if text}


def split_table(table: Table, settings: SplitSettings) -> Split:
    """Split the rows by time, by group or at random, as the settings and the table's roles say.

    A random split and a split by group keep the shares of the classes of a classification if `settings.stratify` is set. A split
    by time trains on the past and tests on the future, and keeps rows of equal time together. A random split keeps rows that are
    equal in target and features together if `settings.duplicates` says so. Sizes are fractions of all rows, or of all groups.

    Raises
    ------
    DataError
        If a part would have fewer than two rows, or only weights of zero; if the training part would lack a class; if the column
        of times holds no times.
    """
    duplicates = find_duplicates(table)
    sets = keep_together(duplicates, settings)
    if table.task == "classification":
        check_classes(table.target.iloc[sets.first])
    split = make_split(table, divide(table, settings, sets), settings)
    if not len(duplicates):
        return split
    remedy = APART
    if settings.split == "time" or table.roles.group:
        remedy = f"They are of other {'times' if settings.split == 'time' else 'groups'}."
    elif duplicates.is_coarse:
        remedy = COARSE_ROWS
    rest = np.concatenate([split.train.rows, split.valid.rows])
    finding = duplicates.describe(test=split.test.rows, rest=rest, remedy=remedy)
    return replace(split, findings=(finding, *split.findings))


def keep_together(duplicates: Duplicates, settings: SplitSettings) -> Duplicates:
    """Return the sets of rows that a random split keeps in one part."""
    return duplicates.separate() if settings.duplicates == "apart" or duplicates.is_coarse else duplicates


def make_split(table: Table, partition: Partition, settings: SplitSettings) -> Split:
    """Return the parts of a partition after a check, with their findings.

    Raises
    ------
    DataError
        If a part has fewer than two rows, or only weights of zero; if the training part lacks a class.
    """
    target, weight = table.target, read_weights(table)
    chosen = [np.flatnonzero(partition.part == number) for number in (TRAIN, VALID, TEST)]
    check_counts(table.name, dict(zip(NAMES, map(len, chosen), strict=True)), fewest=2, left_out=partition.left_out)
    parts = [Part(table, rows, target.iloc[rows], None if weight is None else weight[rows]) for rows in chosen]
    findings = check_parts([part.target for part in parts], [part.weight for part in parts], table.task)
    train, valid, test = parts
    return Split(
        train,
        valid,
        test,
        findings=tuple(findings),
        left_out={reason: count for reason, count in partition.left_out.items() if count},
        times=tuple(_format_spans(table, chosen)) if settings.split == "time" else (),
        time_format=table.formats.get(table.roles.time, "") if settings.split == "time" else "",
    )


def divide(table: Table, settings: SplitSettings, duplicates: Duplicates) -> Partition:
    """Return the part of each row; a random split keeps `duplicates` together."""
    if table.test_rows:
        own = table.without_test_rows()
        sets = Duplicates.of(duplicates.code[: len(own)])
        partition = divide(own, settings.model_copy(update={"test_size": 0.0}), sets)
        return add_test_rows(table, partition, settings, duplicates)
    if settings.split == "time":
        return cut_times(table, settings)
    return draw_groups(table, settings) if table.roles.group else draw_rows(table, settings, duplicates)


def _format_spans(table: Table, parts: Sequence[Array]) -> Iterator[str]:
    times = check_times(read_complete(table, "time"))
    for rows in parts:
        span = times.iloc[rows].agg(["min", "max"])
        yield " to ".join(str(time).removesuffix(" 00:00:00") for time in span)


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
