"""Where a table's rows are while a model learns from them: in memory, or on disk if they need more than is free."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from boostlab.data.batches import BATCH_ROWS, gather_in_memory
from boostlab.data.disk_cache import Cache, find_free_disk
from boostlab.data.files import find_half_memory
from boostlab.data.free_memory import find_free_addresses, find_free_memory
from boostlab.data.reading import Source
from boostlab.data.row_groups import TEXT_BYTES, measure_row
from boostlab.data.settings import Memory, ReadSettings
from boostlab.data.storage import File
from boostlab.errors import DataError

SHARE = 0.7  # of the free memory that a training may need: 1.3 times the estimate was measured
CELL_BYTES = 5  # beyond the table: XGBoost's copy of the training part as float32, and the bins of both parts
ROW_BYTES = 150  # target, positions, hashes, gradients, predictions
DISK_CELL_BYTES = 9  # the copy as float32, and XGBoost's pages, if values are missing
NUMBER_BYTES = 8
HEAD_BYTES = 1 << 20
UNZIPPED = 5  # times the size of a .csv.gz
NOTABLE = 0.1  # of the free memory: less is not worth a word


@dataclass(frozen=True)
class Size:
    """The estimated size of a table."""

    rows: int
    cells: int
    table: int  #: bytes of its columns

    def __add__(self, other: Size) -> Size:
        return Size(self.rows + other.rows, self.cells + other.cells, self.table + other.table)

    @property
    def memory(self) -> int:
        """The bytes of memory that a training on the table needs."""
        return self.table + self.cells * CELL_BYTES + self.rows * ROW_BYTES

    @property
    def disk(self) -> int:
        """The bytes of disk that the cache needs."""
        return self.table + self.cells * DISK_CELL_BYTES


@dataclass(frozen=True)
class Placement:
    """Where the rows are: in memory, or in a cache on disk."""

    cache: Cache | None = None
    reason: str = ""  #: why, in a sentence; empty if nothing was to be chosen

    @property
    def name(self) -> str:
        """``internal`` or ``external``."""
        return "external" if self.cache else "internal"

    def gather(self, batches: Iterable[pa.Table]) -> pa.Table:
        """Return batches as one table in this place, with their common types."""
        return self.cache.gather(batches) if self.cache else gather_in_memory(batches)

    def filter(self, table: pa.Table, chosen: pa.ChunkedArray) -> pa.Table:
        """Return the rows of a table for which `chosen` is true, in this place."""
        if not self.cache:
            return table.filter(chosen)
        return self.gather(_filter_batches(table, chosen))


def widen_limit(read: ReadSettings, memory: Memory) -> ReadSettings:
    """Return settings whose limit of the size is the free disk, if rows may be there; a limit that is stated stays."""
    if read.max_gb or memory == "internal":
        return read
    return read.model_copy(update={"max_gb": max(find_half_memory(), find_free_disk()) / 1e9})


def choose_placement(sources: Sequence[Source], columns: Sequence[str], memory: Memory) -> Placement:
    """Return where to put the rows of all sources.

    ``auto`` puts them on disk if a training on them would need more than seven tenths of the free memory, and the disk has room.

    Raises
    ------
    DataError
        If `memory` is external, and the disk has too little room or ``ulimit -v`` is too low.
    """
    if memory == "internal":
        return Placement()
    size = sum((_estimate(source, columns) for source in sources), Size(0, 0, 0))
    free = find_free_memory()
    about = f"A training on this table in memory needs about {size.memory / 1e9:.2g} GB, and {free} are free"
    if memory == "auto" and size.memory <= SHARE * free.size:
        return Placement(reason=f"{about}: the rows are in memory." if size.memory > NOTABLE * free.size else "")
    if memory == "auto" and size.disk > find_free_disk():
        lacking = f"the cache on disk would need {size.disk / 1e9:.2g} GB, and {find_free_disk() / 1e9:.2g} GB are free"
        return Placement(reason=f"{about}; {lacking}. The rows are in memory, which may not suffice.")
    addresses = find_free_addresses()
    if addresses is not None and size.disk > addresses:
        raise DataError(
            f"The rows do not fit into memory, and ulimit -v leaves {addresses / 1e9:.3g} GB for mapped files, which need "
            f"{size.disk / 1e9:.3g} GB. Limit the memory by ulimit -d or a control group, which do not count mapped files."
        )
    cache = Cache()
    cache.check_room(size.disk)
    chosen = "" if memory == "auto" else " by request"
    return Placement(cache, f"{about}. The rows are on disk{chosen}, where they need about {size.disk / 1e9:.2g} GB.")


def _filter_batches(table: pa.Table, chosen: pa.ChunkedArray) -> Iterator[pa.Table]:
    for start in range(0, len(table), BATCH_ROWS):
        yield table.slice(start, BATCH_ROWS).filter(chosen.slice(start, BATCH_ROWS))


def _estimate(source: Source, columns: Sequence[str]) -> Size:
    if source.dataset is not None:
        rows = source.dataset.count_rows(
            filter=source.selection.to_filter(source.dataset.schema, missing=source.read_settings.missing)
        )
        return Size(rows, rows * len(columns), round(rows * measure_row(source.dataset.schema, columns, text_bytes=TEXT_BYTES)))
    size = sum(file.size * (UNZIPPED if file.is_zipped else 1) for file in source.files)
    rows = round(size / _measure_line(source.files[0]))
    cells = rows * len(columns)
    return Size(rows, cells, max(cells * NUMBER_BYTES, round(size * len(columns) / len(source.all_names))))


def _measure_line(file: File) -> float:
    """Return the mean length of a line of a CSV file, in bytes, from the beginning of the file."""
    with gzip.open(file.path) if file.is_zipped else open(file.path, "rb") as content:  # noqa: PTH123  # a copy has no name
        head = content.read(HEAD_BYTES)
    return len(head) / max(1, head.count(b"\n"))
