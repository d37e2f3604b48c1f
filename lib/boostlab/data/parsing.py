"""The values of a table's columns, as they are in its files, made from batches: a value that can travel to another process."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from boostlab.data.missing import drop_missing
from boostlab.data.readings import Reading
from boostlab.data.settings import ReadSettings
from boostlab.data.types import simplify
from boostlab.errors import DataError


@dataclass(frozen=True)
class Parser:
    """How the columns of one table are parsed."""

    is_text: bool  #: whether the files are CSV, which does not state types
    read_settings: ReadSettings
    readings: dict[str, Reading] = field(default_factory=dict)  #: of the CSV columns that were studied

    def parse(self, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
        """Return the values of a column of a batch: by its reading in CSV, with a simple type in Parquet.

        Raises
        ------
        DataError
            If a value does not fit the reading that all rows of the file had before.
        """
        if not self.is_text:
            column = simplify(column)
        column = drop_missing(column, self.read_settings)
        if name not in self.readings:
            return column
        parsed = self.readings[name].parse(column.combine_chunks())
        if parsed is None:
            raise DataError(f"The column {name!r} changed while it was read. Run again when the file is complete.")
        return drop_missing(pa.chunked_array([parsed]), self.read_settings)  # -999.0 too if -999 is missing
