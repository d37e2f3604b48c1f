"""The output of scoring: a file that is written completely or not at all."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from boostlab.data.files import find_files
from boostlab.data.locations import is_local, is_metadata, is_query
from boostlab.data.reading import Source
from boostlab.errors import DataError


def name_output(rows: str, output: str) -> Path:
    """Return the path of the output: the given one, or ``<rows>-scored`` beside the input.

    Raises
    ------
    DataError
        If there is no input, or it is a glob that would find the output the next time.
    """
    if output:
        return Path(output).expanduser().resolve()
    given = Path(rows).expanduser().resolve()
    given = given.parent.parent if is_metadata(rows) else given  # the folder of the table
    if given.is_dir():
        return given.with_name(f"{given.name}-scored.parquet")
    first = find_files(rows)[0]
    assert first.local_path, "the settings ask for an output if the rows are elsewhere"
    chosen = first.local_path.with_name(f"{first.name.partition('.')[0]}-scored{'.csv' if first.is_text else '.parquet'}")
    if not given.exists() and fnmatch(str(chosen), str(given)):
        raise DataError(f"{rows} would find its own output {chosen.name} the next time. Name another file: -p output FILE.")
    return chosen


def check_output(output: Path, rows: str, source: Source) -> None:
    """Refuse an output that replaces the input, or becomes a part of it.

    Raises
    ------
    DataError
        The message names both.
    """
    read = [file.local_path for file in source.files] + [Path(path) for path in getattr(source.dataset, "files", ())]
    if output in read:
        raise DataError(f"{output} is the input. Name another file to write: -p output FILE.")
    place = Path(rows).expanduser().resolve()
    folder = place.parent.parent if is_metadata(rows) else place
    if is_local(rows) and folder.is_dir() and output.is_relative_to(folder):
        raise DataError(f"{output} is in the folder of the input, and would be a part of it. Name another file: -p output FILE.")
    if is_query(rows) and output.exists() and output.name in rows:
        raise DataError(f"{output} is there, and the query names it. Name another file to write: -p output FILE.")


@contextmanager
def write_chunks(output: Path, separator: str = ",") -> Iterator[Callable[[pa.Table], None]]:
    """Open a file for chunks. The file appears under its name when the block ends without an error.

    Until then it is a hidden file in the same folder. If the process is killed, this file remains; the next write of the same
    output removes it.

    Raises
    ------
    DataError
        If the file cannot be written, or no chunk was written.
    """
    start = f".{output.name}.{socket.gethostname()}-"  # of the names of this host's unfinished files
    part = output.with_name(f"{start}{os.getpid()}.part")
    try:
        with _explained(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            _remove_parts(output.parent, start)
            sink = part.open("wb")
        with sink:
            writer = _Writer(sink, output, separator)
            try:
                yield writer.write
            except BaseException:
                writer.abandon()
                raise
            writer.close()
        with _explained(output):
            part.replace(output)
    finally:
        with suppress(OSError):  # such as a parent that is not a folder
            part.unlink(missing_ok=True)


class _Writer:
    """Writes chunks with the columns and the types of the first one."""

    def __init__(self, sink: IO[bytes], output: Path, separator: str) -> None:
        self._sink, self._output, self._separator = sink, output, separator
        self._writer: Any = None
        self._schema: Any = None

    def write(self, chunk: pa.Table) -> None:
        with _explained(self._output):
            if self._writer is None:
                self._schema = chunk.schema
                self._writer = self._open()
            self._writer.write_table(chunk.cast(self._schema))

    def _open(self) -> Any:
        if self._output.suffix == ".csv":
            options = csv.WriteOptions(quoting_style="needed", delimiter=self._separator)
            return csv.CSVWriter(self._sink, self._schema, write_options=options)
        # most floats differ: a dictionary of them would take most of the time, and space
        others = [field.name for field in self._schema if not pa.types.is_floating(field.type)]
        return pq.ParquetWriter(self._sink, self._schema, use_dictionary=others)

    def close(self) -> None:
        """Complete the file."""
        if self._writer is None:
            raise DataError("The input has no rows, so no output was written.")
        with _explained(self._output):
            self._writer.close()
            self._sink.flush()

    def abandon(self) -> None:
        """Close a file that nobody will see."""
        with suppress(Exception):
            self._writer.close()


@contextmanager
def _explained(output: Path) -> Iterator[None]:
    """Turn an error of writing into one that names the output."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror or error}.") from None
    except pa.ArrowException as error:  # such as lists, which CSV does not hold
        raise DataError(f"{output} cannot be written: {str(error).splitlines()[0]}. Name a .parquet file as output.") from None


def _remove_parts(folder: Path, start: str) -> None:
    """Remove unfinished files of killed processes."""
    for path in folder.iterdir():
        name = re.fullmatch(rf"{re.escape(start)}(\d+)\.part", path.name)
        if name and not psutil.pid_exists(int(name[1])):
            with suppress(OSError):  # such as another user's file: it does not prevent the write
                path.unlink()
