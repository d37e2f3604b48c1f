"""Files of rows in chunks: read with the types of a model's signature, and written completely or not at all."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from boostlab.data.reading import convert_options, is_text, read_names
from boostlab.errors import DataError
from boostlab.models.contract import DTYPES, Feature
from boostlab.models.packaging import cast_to_signature

ARROW_TYPES = {name: pa.from_numpy_dtype(dtype) for name, dtype in DTYPES.items() if dtype != "object"}
ARROW_TYPES |= {"string": pa.string(), "datetime": pa.timestamp("us")}  # microseconds reach years that nanoseconds do not
CSV = csv.WriteOptions(quoting_style="needed")


def read_chunks(paths: Sequence[Path], features: Sequence[Feature], chunk_rows: int) -> Iterator[pa.Table]:
    """Yield the rows of files in order, at most `chunk_rows` at a time.

    In CSV, features have their type in the model's signature, and other columns stay text.

    Raises
    ------
    DataError
        If a file cannot be read, or a value does not have its column's type.
    """
    for path in paths:
        try:
            for batch in _read_csv(path, features) if is_text(path) else pq.ParquetFile(path).iter_batches(chunk_rows):
                for start in range(0, batch.num_rows, chunk_rows):
                    yield pa.Table.from_batches([batch.slice(start, chunk_rows)])
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read: {str(error).strip().splitlines()[0]}") from None


def convert_chunk(chunk: pa.Table, features: Sequence[Feature], *, first_row: int = 1) -> pd.DataFrame:
    """Return the features of a chunk with the types of the model's signature.

    Raises
    ------
    DataError
        If a value does not have its column's type.
    """
    columns = {}
    for feature in features:
        values = chunk.column(feature.name)
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        try:
            columns[feature.name] = cast_to_signature(cast("pd.Series", values.to_pandas()), feature)
        except (ValueError, TypeError) as error:
            where = f"rows {first_row} to {first_row + chunk.num_rows - 1}"
            raise DataError(
                f"The column {feature.name!r} is not what the model takes ({feature.mlflow_type}) in {where}: {error}"
            ) from None
    return pd.DataFrame(columns)


@contextmanager
def write_chunks(output: Path) -> Iterator[Callable[[pa.Table], None]]:
    """Open a file for chunks. The file appears under its name when the block ends without an error.

    Until then it is a hidden file in the same folder. If the process is killed, this file remains; the next write of the same
    output removes it.

    Raises
    ------
    DataError
        If the file cannot be written, or no chunk was written.
    """
    writer: Any = None
    schema: Any = None
    start = f".{output.name}.{socket.gethostname()}-"  # of the names of this host's unfinished files
    part = output.with_name(f"{start}{os.getpid()}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove_parts(output.parent, start)
        with part.open("wb") as sink, ExitStack() as writers:

            def write(chunk: pa.Table) -> None:
                nonlocal writer, schema
                if writer is None:
                    schema = chunk.schema
                    made = csv.CSVWriter(sink, schema, write_options=CSV) if is_text(output) else pq.ParquetWriter(sink, schema)
                    writer = writers.enter_context(made)
                writer.write_table(chunk.cast(schema))

            yield write
            if writer is None:
                raise DataError("The input has no rows, so no output was written.")
        part.replace(output)
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):  # such as a parent that is not a folder
            part.unlink(missing_ok=True)


def _read_csv(path: Path, features: Sequence[Feature]) -> Iterator[pa.RecordBatch]:
    types = dict.fromkeys(read_names([path]), pa.string())
    types |= {feature.name: ARROW_TYPES[feature.mlflow_type] for feature in features}
    with csv.open_csv(path, convert_options=convert_options(types)) as reader:
        yield from reader


def _remove_parts(folder: Path, start: str) -> None:
    """Remove unfinished files of killed processes."""
    for path in folder.iterdir():
        name = re.fullmatch(rf"{re.escape(start)}(\d+)\.part", path.name)
        if name and not psutil.pid_exists(int(name[1])):
            with suppress(OSError):  # such as another user's file: it does not prevent the write
                path.unlink()
