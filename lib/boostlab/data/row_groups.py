"""Parquet files read in pieces of a row group: slower than Arrow's scanner, which holds some row groups as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from boostlab.data.batches import BATCH_ROWS, join_small

PIECE_BYTES = 16 << 20
FEWEST_ROWS = 1_024  # of a piece
BUFFER_BYTES = 64 << 10  # of each column: a file is not held in memory before it is decoded
TEXT_BYTES = 32  # of a value whose type does not tell
LEAST_TEXT_BYTES = 4  # of such a value: where it begins


def measure_row(schema: pa.Schema, columns: Sequence[str], *, text_bytes: int = LEAST_TEXT_BYTES) -> float:
    """Return the size of a row in bytes, by the types of its columns; a text counts as `text_bytes`."""
    kinds = [schema.field(name).type for name in columns]
    return sum(kind.bit_width / 8 if pa.types.is_primitive(kind) else text_bytes for kind in kinds)


def read_pieces(
    dataset: ds.Dataset, columns: Sequence[str], wanted: ds.Expression | None = None, *, rows: int = BATCH_ROWS
) -> Iterator[pa.Table]:
    """Yield the given columns of a data set, with its types and in its order, in pieces of about 16 MB.

    Row groups that hold no `wanted` row, by their statistics, are left out.

    Parameters
    ----------
    rows : int
        The largest number of rows of a piece.
    """
    schema = pa.schema([dataset.schema.field(name) for name in columns])
    rows = min(rows, max(FEWEST_ROWS, int(PIECE_BYTES // max(1, measure_row(schema, columns, text_bytes=TEXT_BYTES)))))
    return join_small(_read_fragments(dataset, schema, wanted, rows), rows)


def _read_fragments(dataset: ds.Dataset, schema: pa.Schema, wanted: ds.Expression | None, rows: int) -> Iterator[pa.Table]:
    for fragment in dataset.get_fragments(wanted):
        groups = None if wanted is None else [group.id for group in fragment.subset(wanted, schema=dataset.schema).row_groups]
        keys = ds.get_partition_keys(fragment.partition_expression)
        with fragment.filesystem.open_input_file(fragment.path) as file:
            parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES)
            held = set(parquet.schema_arrow.names)  # made anew at each access
            own = [name for name in schema.names if name not in keys and name in held]
            for batch in parquet.iter_batches(batch_size=rows, row_groups=groups, columns=own):
                yield pa.table([_make_column(batch, field, own, keys) for field in schema], schema=schema)


def _make_column(batch: pa.RecordBatch, field: pa.Field, own: Sequence[str], keys: dict[str, Any]) -> pa.Array:
    """Return a column of the file, the value that its folder stands for, or missing values."""
    if field.name in own:
        return batch.column(field.name).cast(field.type)
    return pa.repeat(pa.scalar(keys.get(field.name), field.type), batch.num_rows)
