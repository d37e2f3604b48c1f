"""A digest of a table's content: equal for equal tables, whatever file format they were read from."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

BATCH_ROWS = 65_536


def compute_digest(table: pa.Table) -> str:
    """Return a digest of 16 hexadecimal digits of the table's column names, values, missing values and order of rows.

    It does not depend on the file format or on the storage type of numbers. It changes with any value.
    """
    names = table.column_names
    digests = [hashlib.sha256(name.encode()) for name in names]  # one per column, so that the size of batches has no effect
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        for digest, column in zip(digests, batch.columns, strict=True):
            digest.update(pd.util.hash_array(_to_canonical(column)).tobytes())
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()[:16]


def _to_canonical(column: pa.Array) -> np.ndarray[Any, Any]:
    """Return the values to hash: numbers as float64, all others as text, a missing value as NaN or None."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        column = column.cast(kind)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
        return np.where(np.isnan(values), np.nan, values) + 0.0  # one NaN, and no negative zero
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        column = column.cast(pa.timestamp("us"), safe=False)
    return np.asarray(column.cast(pa.large_string()).to_numpy(zero_copy_only=False), object)
