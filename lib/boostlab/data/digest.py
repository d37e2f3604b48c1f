"""A digest of a table's content: what tells two data sets apart, whatever file they came in."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

BATCH_ROWS = 65_536


def compute_digest(table: pa.Table) -> str:
    """Return eight bytes in hex of the table's content: names, values, gaps and the order of rows.

    It is the same whatever the file's format and however its numbers are stored, and changes with any value.
    """
    names = list(table.column_names)
    digests = [hashlib.sha256(name.encode()) for name in names]  # one a column: how a file is cut into batches is no content
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        for digest, column in zip(digests, batch.columns, strict=True):
            digest.update(pd.util.hash_array(_canonical(column)).tobytes())
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()[:16]


def _canonical(column: pa.Array) -> np.ndarray[Any, Any]:
    """Return a column's values in the form that is hashed: numbers as float64, all else as text, gaps as themselves."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
        return np.where(np.isnan(values), np.nan, values) + 0.0
    if pa.types.is_temporal(kind) and not pa.types.is_time(kind):
        column = column.cast(pa.timestamp("us"), safe=False) if not pa.types.is_duration(kind) else column
    text = (
        column.cast(pa.large_string()) if not pa.types.is_dictionary(column.type) else column.cast(kind).cast(pa.large_string())
    )
    return np.asarray(text.to_numpy(zero_copy_only=False), object)
