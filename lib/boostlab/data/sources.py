"""The source of a table, opened: files of this machine or of object storage, or the answer of a query."""

from __future__ import annotations

import pyarrow.dataset as ds

from boostlab.data.contents import copy_here
from boostlab.data.dialect import find_dialect
from boostlab.data.files import find_files, open_parquet
from boostlab.data.iceberg import find_metadata, open_iceberg
from boostlab.data.lakes import DELTA, ICEBERG, find_format, open_delta
from boostlab.data.locations import is_metadata, is_query
from boostlab.data.query import run_query
from boostlab.data.reading import EVERYTHING, Source
from boostlab.data.selection import Selection
from boostlab.data.settings import ReadSettings
from boostlab.data.storage import File
from boostlab.errors import DataError

INDEX = "__index_level_"  # how pandas names a stored index that has no name


def open_source(dataset: str, read: ReadSettings, *, where: Selection = EVERYTHING, connection: str = "") -> Source:
    """Find the files of a path, a folder of Parquet files or a glob, or ask a query, and find the column names.

    Parameters
    ----------
    where : Selection
        The rows that are wanted.
    connection : str
        The address of the PostgreSQL database that answers a query; empty: DuckDB does.

    Raises
    ------
    DataError
        If there is no file, `where` names a column that is not there, the format is unknown, a file is empty or unreadable, two
        columns have the same name, or the files do not have the same columns.
    """
    source = _open_query(dataset, read, where, connection) if is_query(dataset) else _open_files(dataset, read, where)
    where.check(source.names, dataset)
    return source


def _open_query(dataset: str, read: ReadSettings, where: Selection, connection: str) -> Source:
    answer, content = run_query(dataset, connection, read)
    form = f"the answer of {'PostgreSQL' if connection else 'DuckDB'}"
    return Source(
        (),
        _list_columns(answer),
        read,
        dataset=answer,
        form=form,
        location=dataset,
        connection=connection,
        content=content,
        selection=where,
    )


def _open_files(dataset: str, read: ReadSettings, where: Selection) -> Source:
    files = [] if is_metadata(dataset) else find_files(dataset)
    lake = _open_lake(dataset, files, read, where)
    if lake is not None:
        return lake
    if not files[0].is_text:
        found, partial = open_parquet(files)
        names = _list_columns(found)
        known = tuple(name for name in partial if name in names)
        return Source(tuple(files), names, read, dataset=found, partial=known, location=dataset, selection=where)
    files = [file if file.is_here else copy_here(file) for file in files]
    dialects = tuple(find_dialect(file, read) for file in files)
    names = tuple(name for name in dialects[0].names if name)
    for file, dialect in zip(files, dialects, strict=True):
        lacking = sorted(set(names) ^ set(filter(None, dialect.names)))
        if lacking:
            raise DataError(
                f"{files[0]} and {file} do not have the same columns: {', '.join(lacking[:5])} is in one of them only."
            )
    return Source(tuple(files), names, read, dialects, location=dataset, selection=where)


def _open_lake(dataset: str, files: list[File], read: ReadSettings, where: Selection) -> Source | None:
    """Return a table of Iceberg, which has no `files` if its metadata file is named, or of Delta Lake; None if it is neither."""
    found = find_format(files, dataset) if files else ICEBERG
    content = None
    if found == ICEBERG:
        rows, form, content = open_iceberg(find_metadata(files[0], dataset) if files else dataset, read)
    elif found == DELTA:
        rows, form = open_delta(dataset)
    else:
        return None
    return Source((), _list_columns(rows), read, dataset=rows, form=form, location=dataset, content=content, selection=where)


def _list_columns(rows: ds.Dataset) -> tuple[str, ...]:
    """Return the columns without a stored index, which numbers the rows of one file."""
    return tuple(name for name in rows.schema.names if not name.startswith(INDEX))
