"""The text of CSV files: chosen columns, in batches, before anything is known of their types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyarrow import csv

from boostlab.data.dialect import Dialect
from boostlab.data.files import describe_unreadable
from boostlab.data.storage import File

BLOCK_BYTES = 32 << 20  # large enough that a wide table has many rows in a block
SMALL_BLOCK_BYTES = 4 << 20  # where memory is short: Arrow reads some blocks ahead


def read_text(file: File, dialect: Dialect, columns: Sequence[str], *, in_pieces: bool = False) -> Iterator[pa.RecordBatch]:
    """Yield columns of a CSV file as text, in batches: null where the field is empty and not quoted.

    Parameters
    ----------
    in_pieces : bool
        Whether to read small blocks, which takes less memory.
    """
    if not dialect.has_rows:
        return
    places = [str(position) for position in range(len(dialect.names))]
    wanted = [places[dialect.names.index(name)] for name in columns]
    try:
        reader = csv.open_csv(
            pa.input_stream(file.path, compression="gzip" if file.is_zipped else None),
            read_options=csv.ReadOptions(
                column_names=places,
                skip_rows=dialect.skipped_lines,
                skip_rows_after_names=1,
                encoding=dialect.encoding,
                block_size=SMALL_BLOCK_BYTES if in_pieces else BLOCK_BYTES,
            ),
            parse_options=csv.ParseOptions(
                delimiter=dialect.separator,
                newlines_in_values=True,
                ignore_empty_lines=len(places) > 1,  # of a single column, an empty line is a missing value
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(places, pa.string()),
                include_columns=wanted,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for batch in reader:
            yield pa.record_batch(batch.columns, names=list(columns))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise describe_unreadable(file, error) from None
