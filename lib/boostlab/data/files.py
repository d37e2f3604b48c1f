"""The files of a table: found by a path, a folder or a glob, and Parquet files opened as one."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from boostlab.data.settings import ReadSettings
from boostlab.errors import DataError, locate

TEXT = (".csv", ".csv.gz")
ENDINGS = (*TEXT, ".parquet")
LEADING_ZERO = r"^[+-]?0[0-9]"


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
        raise DataError(f"There is no file {locate(dataset)}. Correct the path.")
    formats = {next((ending for ending in ENDINGS if item.name.endswith(ending)), item.suffix) for item in found}
    if not formats <= set(ENDINGS) or len(formats) > 1:
        raise DataError(f"{dataset} has the format {', '.join(sorted(formats))}. Allowed: one of {', '.join(ENDINGS)}.")
    return found


def is_text(path: Path) -> bool:
    """Tell whether a file is a CSV file."""
    return path.name.endswith(TEXT)


def open_parquet(paths: Sequence[Path], folder: Path | None) -> tuple[ds.Dataset, list[str]]:
    """Open Parquet files with one type for each column; folders such as ``year=2024`` become columns.

    Returns
    -------
    pyarrow.dataset.Dataset
        All files as one table.
    list of str
        The columns that some files do not have: their rows have missing values.
    """
    for path in paths:
        if not path.stat().st_size:
            raise DataError(f"{path} is empty.")
    files = [str(path) for path in paths]
    options = {"format": "parquet", "partition_base_dir": folder and str(folder)}
    try:
        schemas = [pq.read_schema(path).remove_metadata() for path in paths]
        for path, schema in zip(paths, schemas, strict=True):
            twice = [name for name, count in Counter(schema.names).items() if count > 1]
            if twice:
                raise DataError(f"{path} has more than one column {twice[0]!r}. Rename them: column names are unique.")
        folders = _find_folders(files, options)
        whole = pa.unify_schemas([schemas[0], folders], promote_options="permissive")
        for path, schema in zip(paths, schemas, strict=True):
            try:
                whole = pa.unify_schemas([whole, schema], promote_options="permissive")
            except pa.ArrowException as error:
                raise DataError(f"{path} does not fit the other files of this table: {_first_line(error)}") from None
        partial = [name for name in whole.names if name not in folders.names and not all(name in one.names for one in schemas)]
        return ds.dataset(files, schema=whole, partitioning=ds.partitioning(folders, flavor="hive"), **options), partial
    except (pa.ArrowException, OSError) as error:
        raise describe_unreadable(paths[0], error) from None


def _find_folders(files: list[str], options: Mapping[str, Any]) -> pa.Schema:
    """Return the columns that folders such as ``year=2024`` stand for; as in CSV, leading zeros make a column text."""
    found = ds.dataset(files, partitioning=ds.HivePartitioning.discover(), **options)
    names = {name: None for part in found.get_fragments() for name in ds.get_partition_keys(part.partition_expression)}
    texts = pa.schema([(name, pa.string()) for name in names])
    parts = ds.dataset(files, schema=texts, partitioning=ds.partitioning(texts, flavor="hive"), **options).get_fragments()
    values = [ds.get_partition_keys(part.partition_expression) for part in parts]
    coded = {name for row in values for name, value in row.items() if value and re.match(LEADING_ZERO, value)}
    return pa.schema([texts.field(name) if name in coded else found.schema.field(name) for name in names])


def find_half_memory() -> int:
    """Return half of the machine's memory, in bytes: the limit of a table in memory."""
    return int(psutil.virtual_memory().total // 2)


def check_size(path: Path, size: int, read: ReadSettings, *, remedy: str = "") -> None:
    """Raise a DataError if a table, or the content of a compressed file, of `size` bytes is larger than the settings allow.

    A `remedy` is what to do besides, in a sentence; it is for the limit that nobody has stated.
    """
    limit = read.max_gb or find_half_memory() / 1e9
    if size > limit * 1e9:
        raise DataError(
            f"{path} unpacks to {size / 1e9:.3g} GB or more. The limit is {limit:.3g} GB"
            f"{'' if read.max_gb else ', half of the memory'}. If the size is right, raise it: -y 'read: {{max_gb: NUMBER}}'."
            f"{'' if read.max_gb else remedy}"
        )


def describe_unreadable(path: Path, error: Exception) -> DataError:
    """Return the error of a file that Arrow cannot read."""
    return DataError(f"{path} cannot be read as a table: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
