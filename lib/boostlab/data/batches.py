"""Batches of rows, gathered to one table in memory; :mod:`boostlab.data.disk_cache` gathers them on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

BATCH_ROWS = 65_536

Gather = Callable[[Iterable[pa.Table]], pa.Table]


def gather_in_memory(batches: Iterable[pa.Table]) -> pa.Table:
    """Return batches as one table with their common types; without columns if there is no batch."""
    return join(list(batches))


def join(parts: list[pa.Table]) -> pa.Table:
    """Return tables as one with their common types: columns of the same type are not copied."""
    return pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})


def split_batches(table: pa.Table, rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
    """Yield a table in batches of at most `rows` rows, which are not copied."""
    return (table.slice(start, rows) for start in range(0, table.num_rows, rows))


def join_small(batches: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield batches of one schema with the small ones joined, up to `rows` rows: many small files cost as one."""
    waiting: list[pa.Table] = []
    for batch in filter(len, batches):
        if sum(map(len, waiting)) + len(batch) > rows:
            yield from _join_waiting(waiting)
        waiting.append(batch)
        if sum(map(len, waiting)) >= rows:
            yield from _join_waiting(waiting)
    yield from _join_waiting(waiting)


def _join_waiting(waiting: list[pa.Table]) -> Iterator[pa.Table]:
    """Yield the tables in the list as one without their chunks, if there are any, and do not hold them meanwhile."""
    parts = waiting[:]
    waiting.clear()
    if parts:
        joined = pa.concat_tables(parts).combine_chunks() if len(parts) > 1 else parts[0]
        parts.clear()
        yield joined
