"""A table in: scikit-learn's own data sets, CSV and Parquet, as Arrow columns; its target, task and content digest.

What the columns mean for a model is the concern of :mod:`boostlab.data.columns`, which rows learn of :mod:`boostlab.data.splits`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from boostlab.data import files
from boostlab.data.datasets import Dataset
from boostlab.data.digest import BATCH_ROWS, compute_digest
from boostlab.errors import DataError, suggest
from boostlab.models.contract import Task

MOST_CLASSES = 50
SHOWN_ROWS = 3


@dataclass(frozen=True)
class Roles:
    """The columns that are more than a feature; an empty name means that there is none."""

    target: str = ""
    weight: str = ""
    group: str = ""
    time: str = ""

    def names(self) -> list[str]:
        """Return the names that are set."""
        return [name for name in (self.target, self.weight, self.group, self.time) if name]


@dataclass(frozen=True)
class Table:
    """Rows with a target.

    Attributes
    ----------
    data : pyarrow.Table of shape (n_rows, n_columns)
        Features and the columns that have a role; no row lacks a target.
    roles : Roles
    features : tuple of str
        The columns that may become features, in the file's order.
    name, source : str
        What the data is called and where it came from.
    chosen : bool
        Whether the user named the features, so that none is left out.
    from_text : bool
        Whether the file was CSV, which has no types of its own.
    rows_without_target : int
        Rows that were read and dropped.
    """

    data: pa.Table
    roles: Roles
    features: tuple[str, ...]
    name: str
    source: str
    chosen: bool = False
    from_text: bool = False
    rows_without_target: int = 0

    def __len__(self) -> int:
        return int(self.data.num_rows)

    @property
    def target(self) -> pd.Series:
        """Return the target of each row: numbers, booleans or text."""
        return to_series(self.data.column(self.roles.target), self.roles.target)

    def batches(self, columns: Sequence[str], rows: np.ndarray[Any, Any]) -> Iterator[pd.DataFrame]:
        """Return the given rows as frames of at most 65,536 of them, so that no second copy of the table is made.

        Parameters
        ----------
        rows : ndarray of int, ascending
            Positions.
        """
        return map(to_frame, self._pieces(columns, rows))

    def take(self, columns: Sequence[str], rows: np.ndarray[Any, Any]) -> pa.Table:
        """Return a copy of the given rows, by ascending positions, with the types that the table has."""
        return pa.concat_tables([self.data.select(columns).slice(0, 0), *self._pieces(columns, rows)])

    def _pieces(self, columns: Sequence[str], rows: np.ndarray[Any, Any]) -> Iterator[pa.Table]:
        start = 0
        for batch in self.data.select(columns).to_batches(max_chunksize=BATCH_ROWS):
            first, last = np.searchsorted(rows, [start, start + batch.num_rows])
            if last > first:
                yield pa.Table.from_batches([batch]).take(pa.array(rows[first:last] - start))
            start += batch.num_rows

    @cached_property
    def digest(self) -> str:
        """The digest of the table's content, read once."""
        return compute_digest(self.data)

    def describe(self) -> dict[str, str]:
        """Return the table as MLflow's record of a data set has it: name, source, schema, size and content digest."""
        schema = [{"name": column.name, "type": str(column.type)} for column in self.data.schema]
        profile = {"num_rows": len(self), "num_elements": len(self) * len(self.features)}
        return {
            "name": self.name,
            "digest": self.digest,
            "source_type": "local" if self.from_file else "code",
            "source": json.dumps({"uri": self.source} if self.from_file else {"tags": {"mlflow.source.name": self.source}}),
            "schema": json.dumps({"mlflow_colspec": schema}),
            "profile": json.dumps(profile),
        }

    @property
    def from_file(self) -> bool:
        """Whether the table came from a file of the user's."""
        return not self.source.startswith("sklearn.")


def load_table(dataset: str, *, roles: Roles = Roles(), features: Sequence[str] = (), drop: Sequence[str] = ()) -> Table:
    """Read a table and the roles of its columns.

    Parameters
    ----------
    dataset : str
        Name of a data set that ships with scikit-learn; or a ``.csv``, ``.csv.gz`` or ``.parquet`` file, a folder of
        Parquet files, or a glob of files.
    features : sequence of str
        Columns to use, and no others; empty: all.
    drop : sequence of str
        Columns not to use.

    Raises
    ------
    DataError
        If the file cannot be read as a table, a named column is not in it, a number is infinite, or no row has a target.
    """
    if dataset in get_args(Dataset):
        return _choose(_load_builtin(dataset), features, drop)
    if not roles.target:
        raise DataError(f"{dataset} needs a target: name the column to predict as -p target NAME.")
    paths = files.find_files(dataset)
    names = files.read_names(paths)
    for name in [*roles.names(), *features, *drop]:
        if name not in names:
            raise DataError(f"{dataset} has no column {name!r}.{suggest(name, names)} It has: {_few(names)}.")
    chosen = [name for name in (features or names) if name not in drop and (features or name not in roles.names())]
    wanted = [name for name in names if name in chosen or name in roles.names()]
    data = files.read_files(paths, wanted)
    if not data.num_rows:
        raise DataError(f"{dataset} has column names and no rows.")
    _refuse_infinite(data.select([name for name in chosen if name != roles.target]))
    has_target = _has_value(data.column(roles.target))
    kept = data if pc.all(has_target).as_py() else data.filter(has_target)
    if not kept.num_rows:
        raise DataError(f"The target {roles.target!r} of {dataset} is missing in all {data.num_rows} rows.")
    return Table(
        data=kept,
        roles=roles,
        features=tuple(name for name in chosen if name != roles.target),
        name=Path(dataset).name,
        source=str(Path(dataset).resolve()),
        chosen=bool(features),
        from_text=files.is_text(paths[0]),
        rows_without_target=data.num_rows - kept.num_rows,
    )


def find_task(target: pd.Series, asked: str = "auto") -> Task:
    """Return the task that a target is for, or the one asked for if the target fits it.

    Text, booleans and up to 50 different whole numbers are classes; other numbers are a quantity.

    Raises
    ------
    DataError
        If the target does not fit, is infinite somewhere, or is a number but for some rows of text.
    """
    numeric = pd.api.types.is_numeric_dtype(target) and not pd.api.types.is_bool_dtype(target)
    if numeric and not np.isfinite(target.to_numpy(float)).all():
        rows = np.flatnonzero(~np.isfinite(target.to_numpy(float)))
        raise DataError(f"The target {target.name!r} is infinite in {_rows(rows)}. Correct or drop those rows.")
    distinct = target.nunique()
    countable = not numeric or (distinct <= MOST_CLASSES and bool((target == target.round()).all()))
    if asked != "classification":
        _check_number(target, asked)
    if asked == "classification" and numeric and not countable:
        raise DataError(
            f"task = 'classification' does not fit the target {target.name!r}: {distinct} different numbers, such as "
            f"{_some(target)}. Classes are text, booleans or at most {MOST_CLASSES} whole numbers: set task to regression."
        )
    if asked != "auto":
        return "regression" if asked == "regression" else "classification"
    return "classification" if countable else "regression"


def find_labels(target: pd.Series) -> list[Any]:
    """Return the classes of a target in sorted order, as plain Python values."""
    return sorted(target.unique().tolist())


def encode_labels(target: pd.Series, labels: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Return each row's position in `labels`, of shape (n_rows,)."""
    return np.asarray(pd.Index(labels).get_indexer(target), np.int64)


def to_frame(data: pa.Table) -> pd.DataFrame:
    """Return Arrow columns as pandas has them when it reads the same file."""
    frame: pd.DataFrame = data.to_pandas(strings_to_categorical=False)
    return frame


def to_series(column: pa.ChunkedArray, name: str) -> pd.Series:
    """Return an Arrow column as a pandas Series; dictionaries as the values that they stand for."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pd.Series(column.to_pandas(), name=name)


def _load_builtin(dataset: str) -> Table:
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{dataset}")(as_frame=True)
    target: pd.Series = bunch.target
    labels = bunch.get("target_names")
    if labels is not None and isinstance(labels[0], str):
        target = pd.Series(np.asarray(labels, dtype=object)[target.to_numpy()], name=target.name)
    names = tuple(bunch.data.columns)
    data = pa.Table.from_pandas(bunch.data.astype(float).assign(**{str(target.name): target}), preserve_index=False)
    return Table(data, Roles(target=str(target.name)), names, name=dataset, source=f"sklearn.datasets.load_{dataset}")


def _choose(table: Table, features: Sequence[str], drop: Sequence[str]) -> Table:
    for name in [*features, *drop]:
        if name not in table.features:
            raise DataError(
                f"{table.name} has no column {name!r}.{suggest(name, table.features)} It has: {_few(table.features)}."
            )
    kept = tuple(name for name in (features or table.features) if name not in drop)
    data = table.data.select([*kept, table.roles.target])
    return Table(data, table.roles, kept, name=table.name, source=table.source, chosen=bool(features))


def _refuse_infinite(data: pa.Table) -> None:
    for name, column in zip(data.column_names, data.columns, strict=True):
        if pa.types.is_floating(column.type) and pc.any(pc.is_inf(column)).as_py():
            rows = np.flatnonzero(np.isinf(column.to_numpy()))
            raise DataError(f"The column {name!r} is infinite in {_rows(rows)}. Correct those values, or drop the column.")


def _has_value(column: pa.ChunkedArray) -> pa.ChunkedArray:
    valid = pc.is_valid(column)
    return pc.and_(valid, pc.invert(pc.fill_null(pc.is_nan(column), False))) if pa.types.is_floating(column.type) else valid


def _check_number(target: pd.Series, asked: str) -> None:
    """Refuse text where a number is meant: as regression is asked for, or nearly all of the text reads as numbers."""
    if pd.api.types.is_numeric_dtype(target) and not pd.api.types.is_bool_dtype(target):
        return
    numbers = pd.to_numeric(target, errors="coerce") if not pd.api.types.is_bool_dtype(target) else target * np.nan
    wrong = np.flatnonzero(numbers.isna().to_numpy())
    if asked == "regression" or (0 < len(wrong) < len(target) / 2 and target.nunique() > MOST_CLASSES):
        asked_for = "task = 'regression' does not fit the target" if asked == "regression" else "The target"
        raise DataError(
            f"{asked_for} {target.name!r}: it is not a number in {_rows(wrong)}: {_some(target.iloc[wrong])}. "
            "Regression takes numbers: correct the table, or set task to classification."
        )


def _some(target: pd.Series) -> str:
    return ", ".join(repr(value) for value in target.unique()[:SHOWN_ROWS].tolist())


def _rows(positions: np.ndarray[Any, Any]) -> str:
    shown = ", ".join(str(position + 1) for position in positions[:SHOWN_ROWS])
    return f"row {shown}" if len(positions) == 1 else f"{len(positions)} rows (first: {shown})"


def _few(names: Sequence[str], most: int = 30) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
