"""The files of a table: found by a path, a folder or a glob, and Parquet files opened as one."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import psutil
import pyarrow as pa
import pyarrow.dataset as ds

from boostlab.data.locations import find_scheme
from boostlab.data.settings import ReadSettings
from boostlab.data.storage import AT_ONCE, TEXT, File, describe_fault, find_stored, order_of
from boostlab.errors import DataError, locate
from boostlab.redaction import first_line

ENDINGS = (*TEXT, ".parquet")
LEADING_ZERO = r"^[+-]?0[0-9]"
PARQUET = ds.ParquetFileFormat()
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # how Hive names the folder of missing values


def find_files(dataset: str) -> list[File]:
    """Return the files of a path, a folder of Parquet files or a glob, all of one format, here or in object storage.

    Raises
    ------
    DataError
        If there is no file, or the format is unknown or differs between the files.
    """
    found = find_stored(dataset) if find_scheme(dataset) else _find_local(dataset)
    formats = {next((ending for ending in ENDINGS if item.name.endswith(ending)), Path(item.name).suffix) for item in found}
    if not formats <= set(ENDINGS) or len(formats) > 1:
        raise DataError(f"{dataset} has the format {', '.join(sorted(formats))}. Allowed: one of {', '.join(ENDINGS)}.")
    return found


def _find_local(dataset: str) -> list[File]:
    path = Path(dataset).expanduser()
    if path.is_dir():
        found = sorted((item for item in path.rglob("*.parquet") if item.is_file()), key=order_of)
        if not found:
            raise DataError(f"The folder {dataset} holds no .parquet file. Name a folder with .parquet files, a file or a glob.")
        return [File.here(item, base=str(path)) for item in found]
    found = [path] if path.exists() else sorted(map(Path, glob.glob(str(path), recursive=True)), key=order_of)
    if not found:
        raise DataError(f"There is no file {locate(dataset)}. Correct the path.")
    return [File.here(item) for item in found]


def open_parquet(files: Sequence[File]) -> tuple[ds.Dataset, list[str]]:
    """Open Parquet files with one type for each column; folders such as ``year=2024`` become columns.

    Returns
    -------
    pyarrow.dataset.Dataset
        All files as one table.
    list of str
        The columns that some files do not have: their rows have missing values.
    """
    for file in files:
        if not file.size:
            raise DataError(f"{file} is empty.")
    try:
        folders, expressions = _read_folders(files)
        parts = [
            PARQUET.make_fragment(file.path, file.system, partition_expression=expression)
            for file, expression in zip(files, expressions, strict=True)
        ]
        with ThreadPoolExecutor(AT_ONCE) as pool:  # in object storage, most of the time is waiting
            schemas = list(pool.map(_read_schema, files, parts))
        whole = _unify(files, schemas, folders)
        lacking = {name for one in _find_distinct(schemas) for name in set(whole.names) - set(one.names) - set(folders.names)}
        return ds.FileSystemDataset(parts, whole, PARQUET, files[0].system), [name for name in whole.names if name in lacking]
    except (pa.ArrowException, OSError) as error:
        raise describe_unreadable(files[0], error) from None


def _read_schema(file: File, part: ds.Fragment) -> pa.Schema:
    """Return the columns of a file; the fragment keeps what it has read of the file for the scan."""
    try:
        schema = part.physical_schema.remove_metadata()
    except (pa.ArrowException, OSError) as error:
        raise describe_unreadable(file, error) from None
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise DataError(f"{file} has more than one column {twice[0]!r}. Rename them: column names are unique.")
    return schema


def find_half_memory() -> int:
    """Return half of the machine's memory, in bytes: the limit of a table in memory."""
    return int(psutil.virtual_memory().total // 2)


def _unify(files: Sequence[File], schemas: Sequence[pa.Schema], folders: pa.Schema) -> pa.Schema:
    """Return the columns of all files with one type for each; a column of the folders has that of the folders."""
    whole = pa.unify_schemas([schemas[0], folders], promote_options="permissive")
    first = dict(zip(reversed([schema.to_string() for schema in schemas]), reversed(files), strict=True))
    for schema in _find_distinct(schemas):
        try:
            whole = pa.unify_schemas([whole, schema], promote_options="permissive")
        except pa.ArrowException as error:
            file = first[schema.to_string()]
            raise DataError(f"{file} does not fit the other files of this table: {first_line(error)}") from None
    return whole


def _find_distinct(schemas: Sequence[pa.Schema]) -> list[pa.Schema]:
    """Return each schema once, in the order of the files: a thousand files mostly have one."""
    return list({schema.to_string(): schema for schema in schemas}.values())


def _read_folders(files: Sequence[File]) -> tuple[pa.Schema, list[ds.Expression]]:
    """Return the columns that folders such as ``year=2024`` stand for, and their values for each file.

    As in CSV, leading zeros make a column text.
    """
    folders = [str(PurePosixPath(file.path).parent).removeprefix(file.base) for file in files]
    found: dict[str, set[str]] = {}
    for folder in dict.fromkeys(folders):
        for name, equals, value in (unquote(part).partition("=") for part in folder.split("/")):
            if equals:
                found.setdefault(name, set()).update({value} - {NO_VALUE})
    schema = pa.schema(
        [(name, pa.int32() if values and all(map(_is_whole, values)) else pa.string()) for name, values in found.items()]
    )
    partitioning = ds.partitioning(schema, flavor="hive")
    expressions = {folder: partitioning.parse(f"{folder}/") for folder in dict.fromkeys(folders)}
    return schema, [expressions[folder] for folder in folders]


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]{1,10}", text) is not None and not re.match(LEADING_ZERO, text) and abs(int(text)) < 2**31


def check_size(path: object, size: int, read: ReadSettings, *, remedy: str = "") -> None:
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


def describe_unreadable(file: object, error: Exception) -> DataError:
    """Return the error of a file that Arrow cannot read."""
    if find_scheme(str(file)) and isinstance(error, OSError):
        return describe_fault(str(file), error)
    return DataError(f"{file} cannot be read as a table: {first_line(error)}")
