"""Tables of Apache Iceberg: the rows of one snapshot, which the table's metadata file names."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from boostlab.data.answers import keep_answer
from boostlab.data.files import PARQUET
from boostlab.data.locations import METADATA, find_scheme, is_metadata
from boostlab.data.settings import ReadSettings
from boostlab.data.storage import AT_ONCE, MAGIC, File, UnnamedFile, find_endpoint
from boostlab.errors import DataError
from boostlab.redaction import first_line

HINT = "version-hint.text"
FIELD_ID = b"PARQUET:field_id"  # of a column, in the metadata of Arrow


def find_metadata(file: File, location: str) -> str:
    """Return the present metadata file of a table's folder, as its version hint states it; `file` is one of the table's.

    Raises
    ------
    DataError
        If there is no version hint, or it names a file that is not there.
    """
    system, folder = file.system, f"{file.base}/metadata"
    found = {item.base_name: item for item in system.get_file_info(fs.FileSelector(folder)) if is_metadata(item.path)}
    newest = max(found, key=lambda name: found[name].mtime_ns or 0)
    shown = f"{location.rstrip('/')}/metadata"
    advice = f"Name the metadata file that the catalog states. The newest one is {shown}/{newest}."
    try:
        with system.open_input_stream(f"{folder}/{HINT}") as stream:
            hint = stream.read().decode(errors="replace").strip()
    except FileNotFoundError:
        raise DataError(
            f"{location} is a table of Apache Iceberg without a {HINT}: only its catalog knows the present version. {advice}"
        ) from None
    name = hint if is_metadata(hint) else f"{'v' if hint.isdigit() else ''}{hint}{METADATA}"
    if name not in found:
        raise DataError(f"{shown}/{HINT} states {hint!r}, and there is no {name} beside it. {advice}")
    return f"{shown}/{name}"


def open_iceberg(location: str, read: ReadSettings) -> tuple[ds.Dataset, str, UnnamedFile | None]:
    """Return the rows of a table's present snapshot, what they are read from, and the file that holds them if they are a copy.

    Data files are read as they are if they hold these rows, and nothing else. If rows were deleted or columns changed since
    they were written, the snapshot is copied into a temporary file.

    Parameters
    ----------
    location : str
        The metadata file.

    Raises
    ------
    DataError
        If the reader is not installed, or cannot read the table, or the table is empty or larger than the settings allow.
    """
    try:
        from pyiceberg.table import StaticTable
    except ImportError:
        raise DataError(
            f"{location} is a table of Apache Iceberg, whose reader is not installed: pip install 'boostlab[iceberg]'."
        ) from None
    place = location if find_scheme(location) else str(Path(location).expanduser().resolve())
    if MAGIC.search(place) and not Path(place).exists():
        raise DataError(f"{location} is a glob of metadata files, and each is another version of a table. Name one of them.")
    endpoint = {"s3.endpoint": find_endpoint()} if find_endpoint() else {}

    def fail(error: Exception) -> NoReturn:
        reason = first_line(error).rstrip(".")
        if type(error).__name__ == "ValidationError":  # of pydantic, about a class of the reader
            reason = "its metadata file is damaged, or is none"
        raise DataError(
            f"{location} is a table of Apache Iceberg that cannot be read: {reason}. "
            "Write its present rows to a .parquet file, and name that."
        ) from None

    try:
        table = StaticTable.from_metadata(place, {"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO", **endpoint})
        snapshot, scan = table.current_snapshot(), table.scan()
        files = list(scan.plan_files()) if snapshot else []
        form = f"Apache Iceberg, snapshot {snapshot.snapshot_id if snapshot else 'none'}"
        if not files:
            raise DataError(f"{location} is a table of Apache Iceberg without rows.")
        rows = _open_data_files(table, files)
        if rows is not None:
            return rows, form, None
        reader = scan.to_arrow_batch_reader()
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(
            f"{location} is a table of Apache Iceberg that lacks a file: {first_line(error).rstrip('.')}. If the table was "
            "moved, move it back, or let its catalog rewrite the paths: metadata names files by whole paths. If old files were "
            "deleted, name a newer metadata file."
        ) from None
    except Exception as error:  # each file system has its own
        fail(error)
    copy, content = keep_answer(reader, read, f"The table {location}", fail=fail)
    return copy, form, content


def _open_data_files(table: Any, files: list[Any]) -> ds.Dataset | None:
    """Return the rows of the data files, or None if the snapshot has other rows or columns than they."""
    if any(file.delete_files or file.file.file_format.name != "PARQUET" for file in files):
        return None
    places = [table.io.parse_location(file.file.file_path) for file in files]
    if len({place[:2] for place in places}) > 1:
        return None
    system = table.io.fs_by_scheme(*places[0][:2])
    parts = [PARQUET.make_fragment(path, system) for _, _, path in places]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        schemas = list(pool.map(lambda part: part.physical_schema, parts))
    if not all(schema.equals(schemas[0]) for schema in schemas) or not _has_columns(schemas[0], table.schema().fields):
        return None
    return ds.FileSystemDataset(parts, schemas[0].remove_metadata(), PARQUET, system)


def _has_columns(schema: pa.Schema, columns: Any) -> bool:
    """Tell whether files have a table's present columns: the numbers, names and types, also inside of structs and lists."""
    from pyiceberg.io.pyarrow import pyarrow_to_schema

    if any(FIELD_ID not in (field.metadata or {}) for field in schema):
        return False
    there = [(column.field_id, column.name, column.field_type) for column in pyarrow_to_schema(schema).fields]
    return there == [(column.field_id, column.name, column.field_type) for column in columns]
