"""Files of rows in chunks: features as a model takes them, and output that is written completely or not at all."""

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

from boostlab.data.reading import Source
from boostlab.errors import DataError
from boostlab.models.contract import Feature, FeatureType
from boostlab.models.signature import cast_to_signature


def study_features(source: Source, features: Sequence[Feature]) -> None:
    """Find how the features are written in CSV files, from all rows.

    Raises
    ------
    DataError
        If a value does not have its column's type, or a column has two readings.
    """
    wanted: dict[str, FeatureType | None] = {}
    for feature in features:
        number = feature.mlflow_type in ("double", "long")
        kind: FeatureType | None = None if feature.type == "category" else "number"  # an unknown category may be a text
        wanted[feature.name] = kind if number else "category" if feature.type == "boolean" else feature.type
    source.study(wanted, formats={feature.name: feature.format for feature in features})


def convert_chunk(source: Source, chunk: pa.Table, features: Sequence[Feature], *, first_row: int = 1) -> pd.DataFrame:
    """Return the features of a chunk with the types of the model's signature.

    Raises
    ------
    DataError
        If a value does not have its column's type.
    """
    columns = {}
    for feature in features:
        values = source.parse(chunk.column(feature.name), feature.name)
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
def write_chunks(output: Path, separator: str = ",") -> Iterator[Callable[[pa.Table], None]]:
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
                    options = csv.WriteOptions(quoting_style="needed", delimiter=separator)
                    made = (
                        csv.CSVWriter(sink, schema, write_options=options)
                        if output.suffix == ".csv"
                        else pq.ParquetWriter(sink, schema)
                    )
                    writer = writers.enter_context(made)
                writer.write_table(chunk.cast(schema))

            yield write
            if writer is None:
                raise DataError("The input has no rows, so no output was written.")
        part.replace(output)
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror or error}.") from None
    except pa.ArrowException as error:  # such as lists, which CSV does not hold
        raise DataError(f"{output} cannot be written: {str(error).splitlines()[0]}. Name a .parquet file as output.") from None
    finally:
        with suppress(OSError):  # such as a parent that is not a folder
            part.unlink(missing_ok=True)


def _remove_parts(folder: Path, start: str) -> None:
    """Remove unfinished files of killed processes."""
    for path in folder.iterdir():
        name = re.fullmatch(rf"{re.escape(start)}(\d+)\.part", path.name)
        if name and not psutil.pid_exists(int(name[1])):
            with suppress(OSError):  # such as another user's file: it does not prevent the write
                path.unlink()
