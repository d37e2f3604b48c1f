"""Hashes of a table's content, of its columns and of its rows: equal for equal values, whatever file they were read from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from boostlab.data.batches import BATCH_ROWS

DIGITS = 16

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Content:
    """Hashes of a table's content. They do not depend on the file format or on the storage type of numbers."""

    digest: str  #: 16 hexadecimal digits, of names, values, missing values, order of rows and order of columns
    columns: dict[str, str]  #: such a digest of each column, with its name
    rows: Array  #: a hash of each row, whatever the order of its columns; uint64, shape (n_rows,)


def hash_table(table: pa.Table) -> Content:
    """Return the hashes of a table's content, in one pass.

    The hash of a row is the sum of the hashes of its cells, modulo 2^64. So the hash without some columns is the difference to
    the hash of these columns.
    """
    names = table.column_names
    digests = [hashlib.sha256(name.encode()) for name in names]  # one per column, so that the size of batches has no effect
    factors = [np.uint64(int.from_bytes(digest.digest()[:8], "big") | 1) for digest in digests]
    rows = np.zeros(table.num_rows, np.uint64)
    start = 0
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        here = slice(start, start := start + batch.num_rows)
        for digest, factor, column in zip(digests, factors, batch.columns, strict=True):
            cells = pd.util.hash_array(_to_canonical(column))
            digest.update(cells.data)
            rows[here] += cells * factor
    digest_of_all = hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()[:DIGITS]
    return Content(digest_of_all, {name: digest.hexdigest()[:DIGITS] for name, digest in zip(names, digests, strict=True)}, rows)


def _to_canonical(column: pa.Array) -> Array:
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
    try:
        return np.asarray(column.cast(pa.large_string()).to_numpy(zero_copy_only=False), object)
    except pa.ArrowException:  # lists, structures and binary values, which no model takes
        return np.array([None if value is None else repr(value) for value in column.to_pylist()], object)
