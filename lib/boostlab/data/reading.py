"""Reading tables from CSV and Parquet files: finding the files, their column names, and the columns to read.

pyarrow reads both formats. In CSV, an empty cell and the usual markers (``NA``, ``null``, …) are missing values.
"""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from boostlab.errors import DataError
from boostlab.models.contract import MISSING_MARKERS

TEXT = (".csv", ".csv.gz")
ENDINGS = (*TEXT, ".parquet")
NUMBER_TO_TEXT = re.compile(r"In CSV column #(\d+)")


def convert_options(column_types: Mapping[str, pa.DataType], columns: Sequence[str] = ()) -> csv.ConvertOptions:
    """Return how the fields of a CSV file become values: by the given types, else by pyarrow's inference.

    Parameters
    ----------
    columns : sequence of str
        The columns to read; empty: all.
    """
    return csv.ConvertOptions(
        column_types=column_types,
        include_columns=list(columns),
        null_values=sorted(MISSING_MARKERS),
        strings_can_be_null=True,
    )


def find_files(dataset: str) -> list[Path]:
    """Return the files of a path, a folder of Parquet files or a glob, all of one format.

    Raises
    ------
    DataError
        If there is no file, or the format is unknown or differs between the files.
    """
    path = Path(dataset).expanduser()
    if path.is_dir():
        found = sorted(item for item in path.rglob("*.parquet") if item.is_file())
        if not found:
            raise DataError(f"The folder {dataset} holds no .parquet file. Name a folder with .parquet files, a file or a glob.")
    else:
        found = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
    if not found:
        raise DataError(f"There is no file {dataset}. Relative paths start from the current folder.")
    formats = {next((ending for ending in ENDINGS if item.name.endswith(ending)), item.suffix) for item in found}
    if not formats <= set(ENDINGS) or len(formats) > 1:
        raise DataError(f"{dataset} has the format {', '.join(sorted(formats))}. Allowed: one of {', '.join(ENDINGS)}.")
    return found


def is_text(path: Path) -> bool:
    """Tell whether a file is a CSV file."""
    return path.name.endswith(TEXT)


def read_names(paths: Sequence[Path]) -> list[str]:
    """Return the column names of the first file.

    Raises
    ------
    DataError
        If the file is empty, unreadable, or has two columns of one name.
    """
    path = paths[0]
    if not path.stat().st_size:
        raise DataError(f"{path} is empty.")
    try:
        if is_text(path):
            with csv.open_csv(path) as reader:
                names: list[str] = reader.schema.names
        else:
            names = pq.read_schema(path).names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{path} has more than one column {twice[0]!r}. Rename them: column names are unique.")
    return names


def read_files(paths: Sequence[Path], columns: Sequence[str]) -> pa.Table:
    """Read the given columns of all files, and concatenate the rows.

    Raises
    ------
    DataError
        If a file cannot be read, lacks a column, or changes while it is read.
    """
    parts = []
    for path in paths:
        before = path.stat()
        try:
            parts.append(_read_csv(path, columns) if is_text(path) else pq.read_table(path, columns=list(columns)))
        except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from None
        after = path.stat()
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise DataError(f"{path} changed while it was read. Run again when the file is complete.")
    try:
        return pa.concat_tables(parts, promote_options="permissive").select(list(columns))
    except (pa.ArrowException, KeyError) as error:
        raise DataError(f"The files of this table do not fit together: {_first_line(error)}") from None


def _read_csv(path: Path, columns: Sequence[str]) -> pa.Table:
    """Read a CSV file; a column that begins with numbers and continues with text is text."""
    as_text: dict[str, pa.DataType] = {}
    while True:
        try:
            table = csv.read_csv(path, convert_options=convert_options(as_text, columns))
            if any(pa.types.is_binary(kind) for kind in table.schema.types):  # pyarrow's result for other encodings
                raise pa.ArrowInvalid("invalid UTF8 data")
            return table
        except pa.ArrowInvalid as error:
            position = NUMBER_TO_TEXT.search(str(error))
            if position is None or "UTF8" in str(error):
                raise
            name = read_names([path])[int(position[1])]
            if name in as_text:
                raise
            as_text[name] = pa.string()


def _unreadable(path: Path, error: Exception) -> DataError:
    text = _first_line(error)
    if "UTF8" in text or "utf-8" in text:
        return DataError(f"{path} is not encoded in UTF-8. Save it as UTF-8 and run again.")
    return DataError(f"{path} cannot be read as a table: {text}")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
