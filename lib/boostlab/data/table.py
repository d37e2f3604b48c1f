"""The table of a training: Arrow columns with a target, its task and its content digest.

:mod:`boostlab.data.columns` profiles the columns, and :mod:`boostlab.data.splits` divides the rows.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from boostlab.data.batches import BATCH_ROWS, join
from boostlab.data.digest import Content, hash_table
from boostlab.data.locations import find_scheme, is_query
from boostlab.data.placement import Placement, choose_placement, widen_limit
from boostlab.data.reading import Source
from boostlab.data.selection import Selection
from boostlab.data.settings import Dataset, ReadSettings, TableSettings
from boostlab.data.sources import open_source
from boostlab.data.task import find_task, format_rows
from boostlab.data.types import convert, find_type
from boostlab.display.markdown import escape
from boostlab.errors import DataError, suggest
from boostlab.models.contract import Task

SHOWN_NAMES = 30


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
    """Rows with a target."""

    data: pa.Table  #: features and the columns with a role; each row has a target; shape (n_rows, n_columns)
    roles: Roles
    features: tuple[str, ...]  #: the columns that may become features, in the order of the file or of `settings.features`
    name: str
    source: str  #: the path, the address or the query of the table, or the function that loads it
    task: Task
    kept: frozenset[str] = frozenset()  #: the features that the user named: no rule leaves them out
    from_text: bool = False  #: whether the file was CSV, which does not state types
    rows_without_target: int = 0  #: number of rows that were dropped because their target is missing
    rows_not_selected: int = 0  #: number of rows that do not meet `where`
    test_rows: int = 0  #: number of the last rows, which are those of `test_dataset`
    unusable: Mapping[str, str] = field(
        default_factory=dict
    )  #: the columns that were not read, and their type: no tree splits it
    formats: Mapping[str, str] = field(default_factory=dict)  #: of dates that the file holds as text or as numbers
    missing: tuple[float, ...] = ()  #: the numbers that mean a missing value
    reading: str = ""  #: how the file was read, in words
    placement: Placement = field(default_factory=Placement)  #: whether the rows are in memory or on disk

    def __len__(self) -> int:
        return int(self.data.num_rows)

    @property
    def target(self) -> pd.Series:
        """The target of each row: numbers, booleans or text."""
        return to_series(self.data, self.roles.target)

    @cached_property
    def content(self) -> Content:
        """The hashes of the table's content, its columns and its rows, computed once."""
        return hash_table(self.data)

    @property
    def digest(self) -> str:
        """The digest of the table's content."""
        return self.content.digest

    def without_test_rows(self) -> Table:
        """Return the table without the rows of `test_dataset`, which are its last."""
        return replace(self, data=self.data.slice(0, len(self) - self.test_rows), test_rows=0)

    def batches(self, columns: Sequence[str], rows: np.ndarray[Any, Any]) -> Iterator[pd.DataFrame]:
        """Yield the rows at ascending positions as frames of at most 65,536 rows: the table is not copied as a whole."""
        return (piece.to_pandas() for piece in self._pieces(columns, rows))

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

    def tags(self) -> dict[str, str]:
        """Return the task, and where the rows are, as tags of the run."""
        return {"boostlab.task": self.task, "boostlab.memory": self.placement.name}

    def describe_reading(self) -> str:
        """Return a sentence on how the table was read, in Markdown."""
        dropped = f" {self.rows_not_selected:,} rows that do not meet `where` were left out." if self.rows_not_selected else ""
        dropped += f" {self.rows_without_target:,} rows without a target were dropped." if self.rows_without_target else ""
        how = f" ({escape(self.reading)})" if self.reading else ""
        where = f" {escape(self.placement.reason)}" if self.placement.reason else ""
        return f"{len(self):,} rows and {len(self.features)} columns that may become features{how}.{dropped}{where}"

    def describe(self) -> dict[str, str]:
        """Return the fields of MLflow's record of a data set: name, source, schema, size and content digest."""
        schema = [{"name": column.name, "type": str(column.type)} for column in self.data.schema]
        in_code = self.source.startswith("sklearn.") or is_query(self.source)
        return {
            "name": self.name,
            "digest": self.digest,
            "source_type": "code" if in_code else find_scheme(self.source) or "local",
            "source": json.dumps({"tags": {"mlflow.source.name": self.source}} if in_code else {"uri": self.source}),
            "schema": json.dumps({"mlflow_colspec": schema}),
            "profile": json.dumps({"num_rows": len(self), "num_elements": len(self) * len(self.features)}),
        }


def load_table(settings: TableSettings) -> Table:
    """Read the table that the settings name.

    Raises
    ------
    DataError
        If the file cannot be read as a table, a named column is not in it or has values of another type, a number is infinite, no
        row has a target, or the target does not fit the task.
    """
    return _load_builtin(settings) if settings.dataset in get_args(Dataset) else _load_files(settings)


def _load_files(settings: TableSettings) -> Table:
    """Return the table of files, with its test rows at its end."""
    limit = widen_limit(ReadSettings(**settings.read), settings.requested_memory)
    where = Selection(settings.where, settings.column_types)
    names = [name for name in (settings.dataset, settings.test_dataset) if name]
    source, *tests = [open_source(name, limit, where=where, connection=settings.connection) for name in names]
    table = _read(settings, source, tests)
    return _add_test_rows(table, settings, tests[0]) if tests else table


def _read(settings: TableSettings, source: Source, tests: Sequence[Source] = (), *, like: Table | None = None) -> Table:
    """Return the table of a source. Its place has room for the `tests` too; `like` is the table whose test rows it holds."""
    roles = Roles(settings.target, settings.sample_weight, settings.group, settings.time)
    read, known = ReadSettings(**settings.read), like.formats if like else {}
    features = _choose_features(settings, source.names, roles)
    types = {name: settings.column_types.get(name) for name in source.names if name in features or name in roles.names()}
    unusable = source.find_unusable(types)
    for name in unusable:
        if name in [*roles.names(), *settings.features, *settings.keep]:
            raise DataError(f"The column {name!r} holds values of type {unusable[name]}, which no tree can split. Leave it out.")
    wanted = {name: kind for name, kind in types.items() if name not in unusable}
    placement = like.placement if like else choose_placement([source, *tests], list(wanted), settings.requested_memory)
    source = replace(source, in_pieces=True) if placement.cache else replace(source, read_settings=read)
    data, formats = source.read(wanted, formats=known, gather=placement.gather)
    left_out = source.count_not_selected(data.num_rows)
    if not data.num_rows and left_out:
        raise _no_row_left(settings, left_out)
    if not data.num_rows:
        raise DataError(f"{settings.dataset} has column names and no rows.")
    if find_type(data.schema.field(roles.target).type) == "date":
        raise DataError(f"The target {roles.target!r} holds dates, and a model predicts numbers or classes. Name another target.")
    _refuse_infinite(data.select([name for name in features if name not in unusable]))
    no_target = pc.is_null(data.column(roles.target), nan_is_null=True)
    kept = placement.filter(data, pc.invert(no_target)) if pc.any(no_target).as_py() else data
    if not kept.num_rows:
        raise DataError(f"The target {roles.target!r} of {settings.dataset} is missing in all {data.num_rows} rows.")
    if roles.time and find_type(kept.schema.field(roles.time).type) == "category":  # text would be ordered by the alphabet
        kept, found = convert(kept, {roles.time: "date"}, read, formats=known, gather=placement.gather)
        formats |= found
    return Table(
        data=kept,
        roles=roles,
        features=tuple(name for name in features if name not in unusable),
        name=source.name,
        source=source.address,
        task=find_task(to_series(kept, roles.target), settings.requested_task),
        kept=frozenset(settings.features or settings.keep),
        from_text=source.is_text,
        rows_without_target=data.num_rows - kept.num_rows,
        rows_not_selected=left_out,
        unusable=unusable,
        formats=formats,
        missing=source.missing_numbers,
        reading=source.describe(),
        placement=placement,
    )


def find_labels(target: pd.Series) -> list[Any]:
    """Return the classes of a target in sorted order, as plain Python values."""
    return sorted(target.unique().tolist())


def encode_labels(target: pd.Series, labels: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Return each row's position in `labels`, of shape (n_rows,)."""
    return np.asarray(pd.Index(labels).get_indexer(target), np.int64)


def to_series(data: pa.Table, name: str) -> pd.Series:
    """Return an Arrow column as a pandas Series; dictionaries as the values that they stand for."""
    column = data.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pd.Series(column.to_pandas(), name=name)


def _add_test_rows(table: Table, settings: TableSettings, source: Source) -> Table:
    """Return the table with the rows of `test_dataset` at its end, whose columns are read as the table's types."""
    types: dict[str, Any] = {column.name: find_type(column.type) for column in table.data.schema}
    source = replace(source, selection=Selection(settings.where, settings.column_types | types))
    own = {"dataset": settings.test_dataset, "test_dataset": "", "features": list(table.features), "task": table.task}
    wanted = settings.model_copy(update={**own, "drop": [], "keep": [], "column_types": types})
    test = _read(wanted, source, like=table)
    columns = pa.table({column.name: _cast(test.data.column(column.name), column.type) for column in table.data.schema})
    lost = table.rows_without_target + test.rows_without_target
    try:
        data = join([table.data, columns])
    except pa.ArrowException as error:
        raise DataError(f"{settings.test_dataset} does not fit {settings.dataset}: {error}. State column_types.") from None
    left_out = table.rows_not_selected + test.rows_not_selected
    return replace(table, data=data, test_rows=len(test), rows_without_target=lost, rows_not_selected=left_out)


def _cast(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """Return a column of the test rows with the type of the training rows, or as it is: it may have fractions."""
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    with contextlib.suppress(pa.ArrowException):
        return plain.cast(wanted)
    return plain


def _load_builtin(settings: TableSettings) -> Table:
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{settings.dataset}")(as_frame=True)
    target: pd.Series = bunch.target
    labels = bunch.get("target_names")
    if labels is not None and isinstance(labels[0], str):
        target = pd.Series(np.asarray(labels, dtype=object)[target.to_numpy()], name=target.name)
    features, roles = _choose_features(settings, list(bunch.data.columns), Roles()), Roles(str(target.name))
    where = Selection(settings.where, settings.column_types)
    where.check([*bunch.data.columns, roles.target], settings.dataset)
    whole = pa.Table.from_pandas(bunch.data.astype(float).assign(**{roles.target: target}), preserve_index=False)
    whole, formats = convert(whole, settings.column_types, ReadSettings(**settings.read))
    data = where.apply(whole).select([*features, roles.target])
    if not data.num_rows:
        raise _no_row_left(settings, len(whole))
    placement = choose_placement([], [], settings.requested_memory)
    return Table(
        data=placement.gather([data]),
        roles=roles,
        features=tuple(features),
        name=settings.dataset,
        source=f"sklearn.datasets.load_{settings.dataset}",
        task=find_task(to_series(data, roles.target), settings.requested_task),
        rows_not_selected=len(whole) - len(data),
        kept=frozenset(settings.features or settings.keep),
        formats=formats,
        placement=placement,
    )


def _no_row_left(settings: TableSettings, left_out: int) -> DataError:
    return DataError(
        f"where = {settings.where!r}: none of the {left_out:,} rows of {settings.dataset} meets it. "
        "Correct it, or leave it empty."
    )


def _choose_features(settings: TableSettings, names: Sequence[str], roles: Roles) -> list[str]:
    """Return the columns that may become features, after a check that the table has every column that the settings name."""
    for name in [*roles.names(), *settings.features, *settings.drop, *settings.keep, *settings.column_types]:
        if name not in names:
            more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
            known = ", ".join(names[:SHOWN_NAMES]) + more
            raise DataError(f"{settings.dataset} has no column {name!r}.{suggest(name, names)} It has: {known}.")
    candidates = settings.features or [name for name in names if name not in roles.names()]
    return [name for name in candidates if name not in settings.drop]


def _refuse_infinite(data: pa.Table) -> None:
    for name, column in zip(data.column_names, data.columns, strict=True):
        if pa.types.is_floating(column.type) and pc.any(pc.is_inf(column)).as_py():
            rows = np.flatnonzero(np.isinf(column.to_numpy()))
            raise DataError(f"The column {name!r} is infinite in {format_rows(rows)}. Correct those values, or drop the column.")
