"""The table of a training: Arrow columns with a target, its task and its content digest.

:mod:`boostlab.data.columns` profiles the columns, and :mod:`boostlab.data.splits` divides the rows.
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

from boostlab.data import reading
from boostlab.data.datasets import Dataset
from boostlab.data.digest import BATCH_ROWS, compute_digest
from boostlab.data.settings import TableSettings
from boostlab.errors import DataError, suggest
from boostlab.models.contract import Task

MOST_CLASSES = 50
SHOWN_ROWS = 3


@dataclass(frozen=True)
class Roles:
    """The columns with a role besides features; an empty name means that there is none."""

    target: str = ""
    weight: str = ""
    group: str = ""
    time: str = ""

    def names(self) -> list[str]:
        """Return the names that are not empty."""
        return [name for name in (self.target, self.weight, self.group, self.time) if name]


@dataclass(frozen=True)
class Table:
    """Rows with a target.

    Attributes
    ----------
    data : pyarrow.Table of shape (n_rows, n_columns)
        Features and the columns with a role; each row has a target.
    roles : Roles
    features : tuple of str
        The columns that may become features, in the file's order.
    name, source : str
        The table's name, and its path or the function that loads it.
    task : str
        ``regression`` or ``classification``.
    chosen : bool
        Whether the user named the features; then no feature is left out.
    from_text : bool
        Whether the file was CSV, which does not state types.
    rows_without_target : int
        Number of rows that were dropped because their target is missing.
    """

    data: pa.Table
    roles: Roles
    features: tuple[str, ...]
    name: str
    source: str
    task: Task
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
        """Return the given rows as frames of at most 65,536 rows, so that no second copy of the table is made.

        Parameters
        ----------
        rows : ndarray of int, ascending
            Positions.
        """
        return map(to_frame, self._pieces(columns, rows))

    def take(self, columns: Sequence[str], rows: np.ndarray[Any, Any]) -> pa.Table:
        """Return a copy of the rows at ascending positions, with the table's types."""
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
        """The digest of the table's content, computed once."""
        return compute_digest(self.data)

    def describe(self) -> dict[str, str]:
        """Return the fields of MLflow's record of a data set: name, source, schema, size and content digest."""
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
        """Whether the table was read from a user's file."""
        return not self.source.startswith("sklearn.")


def load_table(settings: TableSettings) -> Table:
    """Read the table that the settings name.

    Raises
    ------
    DataError
        If the file cannot be read as a table, a named column is not in it, a number is infinite, no row has a target, or the
        target does not fit the task.
    """
    if settings.dataset in get_args(Dataset):
        return _load_builtin(settings)
    roles = Roles(settings.target, settings.sample_weight, settings.group, settings.time)
    paths = reading.find_files(settings.dataset)
    names = reading.read_names(paths)
    _check_names([*roles.names(), *settings.features, *settings.drop], names, settings.dataset)
    chosen = _choose(settings, [name for name in names if settings.features or name not in roles.names()])
    data = reading.read_files(paths, [name for name in names if name in chosen or name in roles.names()])
    if not data.num_rows:
        raise DataError(f"{settings.dataset} has column names and no rows.")
    _refuse_infinite(data.select([name for name in chosen if name != roles.target]))
    has_target = _has_value(data.column(roles.target))
    kept = data if pc.all(has_target).as_py() else data.filter(has_target)
    if not kept.num_rows:
        raise DataError(f"The target {roles.target!r} of {settings.dataset} is missing in all {data.num_rows} rows.")
    return Table(
        data=kept,
        roles=roles,
        features=tuple(name for name in chosen if name != roles.target),
        name=Path(settings.dataset).name,
        source=str(Path(settings.dataset).resolve()),
        task=find_task(to_series(kept.column(roles.target), roles.target), settings.task),
        chosen=bool(settings.features),
        from_text=reading.is_text(paths[0]),
        rows_without_target=data.num_rows - kept.num_rows,
    )


def find_task(target: pd.Series, requested: str = "auto") -> Task:
    """Return the task of a target: the requested one, or the one that fits its values if `requested` is ``auto``.

    Text, booleans and up to 50 different whole numbers are classes; other numbers are a quantity.

    Raises
    ------
    DataError
        If the target does not fit the requested task, has an infinite value, or mixes numbers with a few texts.
    """
    numeric = pd.api.types.is_numeric_dtype(target) and not pd.api.types.is_bool_dtype(target)
    if numeric and not np.isfinite(target.to_numpy(float)).all():
        rows = np.flatnonzero(~np.isfinite(target.to_numpy(float)))
        raise DataError(f"The target {target.name!r} is infinite in {_rows(rows)}. Correct or drop those rows.")
    distinct = target.nunique()
    countable = not numeric or (distinct <= MOST_CLASSES and bool((target == target.round()).all()))
    if requested != "classification":
        _check_number(target, requested)
    if requested == "classification" and numeric and not countable:
        raise DataError(
            f"task = 'classification' does not fit the target {target.name!r}: {distinct} different numbers, such as "
            f"{_some(target)}. Classes are text, booleans or at most {MOST_CLASSES} whole numbers: set task to regression."
        )
    if requested != "auto":
        return "regression" if requested == "regression" else "classification"
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


def _load_builtin(settings: TableSettings) -> Table:
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{settings.dataset}")(as_frame=True)
    target: pd.Series = bunch.target
    labels = bunch.get("target_names")
    if labels is not None and isinstance(labels[0], str):
        target = pd.Series(np.asarray(labels, dtype=object)[target.to_numpy()], name=target.name)
    names, name = list(bunch.data.columns), str(target.name)
    _check_names([*settings.features, *settings.drop], names, settings.dataset)
    features = _choose(settings, names)
    return Table(
        data=pa.Table.from_pandas(bunch.data[features].astype(float).assign(**{name: target}), preserve_index=False),
        roles=Roles(name),
        features=tuple(features),
        name=settings.dataset,
        source=f"sklearn.datasets.load_{settings.dataset}",
        task=find_task(target, settings.task),
        chosen=bool(settings.features),
    )


def _check_names(wanted: Sequence[str], names: Sequence[str], dataset: str) -> None:
    for name in wanted:
        if name not in names:
            raise DataError(f"{dataset} has no column {name!r}.{suggest(name, names)} It has: {_few(names)}.")


def _choose(settings: TableSettings, names: Sequence[str]) -> list[str]:
    """Return the columns that may become features."""
    return [name for name in (settings.features or names) if name not in settings.drop]


def _refuse_infinite(data: pa.Table) -> None:
    for name, column in zip(data.column_names, data.columns, strict=True):
        if pa.types.is_floating(column.type) and pc.any(pc.is_inf(column)).as_py():
            rows = np.flatnonzero(np.isinf(column.to_numpy()))
            raise DataError(f"The column {name!r} is infinite in {_rows(rows)}. Correct those values, or drop the column.")


def _has_value(column: pa.ChunkedArray) -> pa.ChunkedArray:
    valid = pc.is_valid(column)
    return pc.and_(valid, pc.invert(pc.fill_null(pc.is_nan(column), False))) if pa.types.is_floating(column.type) else valid


def _check_number(target: pd.Series, requested: str) -> None:
    """Refuse a text target if regression is requested, or if most of its many values read as numbers."""
    if pd.api.types.is_numeric_dtype(target) and not pd.api.types.is_bool_dtype(target):
        return
    numbers = pd.to_numeric(target, errors="coerce") if not pd.api.types.is_bool_dtype(target) else target * np.nan
    wrong = np.flatnonzero(numbers.isna().to_numpy())
    if requested == "regression" or (0 < len(wrong) < len(target) / 2 and target.nunique() > MOST_CLASSES):
        subject = "task = 'regression' does not fit the target" if requested == "regression" else "The target"
        raise DataError(
            f"{subject} {target.name!r}: it is not a number in {_rows(wrong)}: {_some(target.iloc[wrong])}. "
            "Regression takes numbers: correct the table, or set task to classification."
        )


def _some(target: pd.Series) -> str:
    return ", ".join(repr(value) for value in target.unique()[:SHOWN_ROWS].tolist())


def _rows(positions: np.ndarray[Any, Any]) -> str:
    shown = ", ".join(str(position + 1) for position in positions[:SHOWN_ROWS])
    return f"row {shown}" if len(positions) == 1 else f"{len(positions)} rows (first: {shown})"


def _few(names: Sequence[str], most: int = 30) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
