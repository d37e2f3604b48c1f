"""Formats that keep a table in many files, deleted and replaced rows among them: some are read, others are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.dataset as ds
from pyarrow import fs

from boostlab.data.locations import find_scheme, is_metadata
from boostlab.data.storage import File, explain_faults, find_endpoint
from boostlab.errors import DataError
from boostlab.redaction import first_line

DELTA, ICEBERG = "Delta Lake", "Apache Iceberg"
FORMATS = {"_delta_log": DELTA, ".hoodie": "Apache Hudi", "metadata": ICEBERG}  # by the folder of their log


def find_format(files: Sequence[File], location: str) -> str:
    """Return the format of a location that is the folder of a table of Delta Lake or Iceberg; empty: it is neither.

    Raises
    ------
    DataError
        If the files are a part of such a table, or belong to another such format: some of their rows do not count.
    """
    names = {file.path.rpartition("/")[0] or "." for file in files}
    places = [Path(name).resolve() if files[0].is_here else PurePosixPath(name) for name in names]
    folders = {str(folder) for place in places for folder in (place, *place.parents)} - {"/", "."}
    marks = {f"{folder}/{mark}": (folder, name) for folder in sorted(folders) for mark, name in FORMATS.items()}
    with explain_faults(files[0].shown):
        found = [item for item in files[0].system.get_file_info(list(marks)) if item.type == fs.FileType.Directory]
        logs = [marks[item.path] for item in found if item.base_name != "metadata" or _holds_iceberg(files[0].system, item.path)]
    if not logs:
        return ""
    folder, name = logs[0]
    if (
        name in (DELTA, ICEBERG)
        and files[0].base
        and str(Path(files[0].base).resolve() if files[0].is_here else files[0].base) == folder
    ):
        return name
    named = {DELTA: "Name that folder.", ICEBERG: "Name that folder, or its metadata file."}
    advice = named.get(name, "Write its present rows to a .parquet file, and name that.")
    raise DataError(
        f"{folder} is a table of {name}: its files hold deleted and replaced rows too, so {location} is not read as Parquet. "
        f"{advice}"
    )


def open_delta(location: str) -> tuple[ds.Dataset, str]:
    """Return the present rows of a table of Delta Lake, and what they are read from.

    Raises
    ------
    DataError
        If the reader is not installed, or does not know how this table keeps its rows.
    """
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError
    except ImportError:
        raise DataError(
            f"{location} is a table of Delta Lake, whose reader is not installed: pip install 'boostlab[delta]'."
        ) from None
    place = location if find_scheme(location) else Path(location).expanduser().resolve()
    options = {"aws_allow_http": "true"} if find_endpoint().startswith("http://") else None
    try:
        table = DeltaTable(place, storage_options=options)
        return table.to_pyarrow_dataset(), f"{DELTA}, version {table.version()}"
    except (DeltaError, OSError) as error:
        raise DataError(
            f"{location} is a table of Delta Lake that cannot be read: {first_line(error).rstrip('.')}. "
            "Write its present rows to a .parquet file, and name that."
        ) from None


def _holds_iceberg(system: Any, folder: str) -> bool:
    return any(is_metadata(item.base_name) for item in system.get_file_info(fs.FileSelector(folder)))
