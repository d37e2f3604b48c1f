"""The files of a table: found by a path, a folder or a glob, and Parquet files opened as one."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from boostlab.errors import DataError

TEXT = (".csv", ".csv.gz")
ENDINGS = (*TEXT, ".parquet")


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


def open_parquet(paths: Sequence[Path], folder: Path | None) -> ds.Dataset:
    """Open Parquet files with one type for each column; folders such as ``year=2024`` become columns."""
    for path in paths:
        if not path.stat().st_size:
            raise DataError(f"{path} is empty.")
    files = [str(path) for path in paths]
    options = {"format": "parquet", "partitioning": ds.HivePartitioning.discover(), "partition_base_dir": folder and str(folder)}
    try:
        found = ds.dataset(files, **options)
        whole = found.schema
        for path, fragment in zip(paths, found.get_fragments(), strict=True):
            try:
                whole = pa.unify_schemas([whole, fragment.physical_schema.remove_metadata()], promote_options="permissive")
            except pa.ArrowException as error:
                raise DataError(f"{path} does not fit the other files of this table: {_first_line(error)}") from None
        twice = [name for name, count in Counter(whole.names).items() if count > 1]
        if twice:
            raise DataError(f"{paths[0]} has more than one column {twice[0]!r}. Rename them: column names are unique.")
        return ds.dataset(files, schema=whole, **options)
    except (pa.ArrowException, OSError) as error:
        raise describe_unreadable(paths[0], error) from None


def describe_unreadable(path: Path, error: Exception) -> DataError:
    """Return the error of a file that Arrow cannot read."""
    return DataError(f"{path} cannot be read as a table: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
