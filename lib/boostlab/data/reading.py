"""The rows of a table: described, and read as a whole or in batches.

Training reads all rows as one Arrow table, and scoring reads them in batches, both by the same rules.
:mod:`boostlab.data.sources` finds the rows, :mod:`boostlab.data.dialect` how a CSV file is written, and
:mod:`boostlab.data.readings` what its columns hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.dataset as ds

from boostlab.data.batches import BATCH_ROWS, Gather, gather_in_memory, join_small, split_batches
from boostlab.data.contents import read_stamps
from boostlab.data.dialect import Dialect
from boostlab.data.files import check_size, describe_unreadable
from boostlab.data.inference import Column
from boostlab.data.locations import is_local, is_metadata, is_query
from boostlab.data.missing import drop_missing, list_missing_numbers
from boostlab.data.parsing import Parser
from boostlab.data.readings import Number, Reading
from boostlab.data.row_groups import measure_row, read_pieces
from boostlab.data.selection import Selection
from boostlab.data.settings import ReadSettings
from boostlab.data.storage import File, UnnamedFile
from boostlab.data.text import read_text
from boostlab.data.types import convert, find_type
from boostlab.errors import DataError
from boostlab.models.contract import FeatureType

EVERYTHING = Selection()
ON_DEMAND = ds.ParquetFragmentScanOptions(pre_buffer=False)  # a file is not held in memory before it is decoded
ON_DISK = " Or keep the rows on disk: -p memory external."


@dataclass(frozen=True)
class Source:
    """The files of one table."""

    files: tuple[File, ...]
    names: tuple[str, ...]  #: the columns, without those that have no name
    read_settings: ReadSettings
    dialects: tuple[Dialect, ...] = ()  #: of each CSV file
    dataset: ds.Dataset | None = None  #: the Parquet files
    partial: tuple[str, ...] = ()  #: the columns that some Parquet files do not have
    in_pieces: bool = False  #: whether files are read in small pieces, which takes less memory
    readings: dict[str, Reading] = field(default_factory=dict)  #: of the CSV columns that were studied
    markers: set[str] = field(default_factory=set)  #: the texts that were found to mean a missing value
    form: str = "Parquet"  #: what the rows are read from, unless it is CSV
    location: str = ""  #: as the user names it
    connection: str = ""  #: the address of the database that answers a query; empty: DuckDB does
    content: UnnamedFile | None = None  #: keeps the answer of a query
    selection: Selection = EVERYTHING  #: the rows that are wanted
    selected: dict[str, Reading] = field(default_factory=dict)  #: of the CSV columns of the selection, while rows are scored
    not_selected: list[int] = field(default_factory=list)  #: numbers of rows of CSV files that are not wanted

    @property
    def name(self) -> str:
        """The name of the table: the last part of its location, or the folder that holds its metadata."""
        if is_metadata(self.location):
            return PurePosixPath(self.address).parent.parent.name
        return "query" if is_query(self.location) else PurePosixPath(self.location).name

    @property
    def address(self) -> str:
        """The location as a run records it: a path from the root, an address, or a query with the database that answers it."""
        if is_local(self.location):
            return str(Path(self.location).expanduser().resolve())
        return f"{self.location} from {self.connection}" if self.connection else self.location

    @property
    def is_text(self) -> bool:
        """Whether the files are CSV, which does not state types."""
        return self.dataset is None

    @property
    def parser(self) -> Parser:
        """How columns are parsed, by what was found in all rows."""
        return Parser(self.is_text, self.read_settings, self.readings)

    @property
    def all_names(self) -> tuple[str, ...]:
        """The columns of the files, with the first one without a name if each file has one."""
        if self.dataset is not None:
            return tuple(self.dataset.schema.names)
        nameless = all("" in dialect.names for dialect in self.dialects)
        return tuple(dict.fromkeys(name for name in self.dialects[0].names if name or nameless))

    @property
    def separator(self) -> str:
        """The separator of CSV files, a comma for others."""
        return self.dialects[0].separator if self.dialects else ","

    @property
    def decimal(self) -> str:
        """The decimal sign of the columns that were studied."""
        signs = {reading.decimal for reading in self.readings.values() if isinstance(reading, Number) and not reading.whole}
        return "," if "," in signs else "."

    @property
    def missing_numbers(self) -> tuple[float, ...]:
        """The numbers that mean a missing value, by the settings."""
        return list_missing_numbers(self.read_settings)

    def describe(self) -> str:
        """Return how the files are read, in words."""
        if not self.dialects:
            return self.form + ("; not in all files: " + ", ".join(map(repr, self.partial)) if self.partial else "")
        missing = sorted({*self.read_settings.missing, *self.markers})
        dates = {reading.format for reading in self.readings.values() if reading.format}
        facts = [f"CSV: {self.dialects[0].describe()}"]
        facts += ["decimal comma"] if self.decimal == "," else []
        facts += [f"dates as {', '.join(sorted(dates))}"] if dates else []
        facts += [f"missing: {', '.join(map(repr, missing))}"] if missing else []
        return "; ".join(facts)

    def study(self, wanted: Mapping[str, FeatureType | None], *, formats: Mapping[str, str] = {}, strict: bool = True) -> None:
        """Find the reading of each of the given columns of CSV files, from all rows.

        Parameters
        ----------
        wanted : mapping
            The columns, each with the type that it must have, or None if the values decide.
        formats : mapping
            The formats of dates that win where two fit.
        strict : bool
            Whether a column with two readings is an error; otherwise it is text.

        Raises
        ------
        DataError
            If a value does not have the type that is wanted, or a column has two readings.
        """
        columns = {name: Column(name, self.read_settings, wanted=kind) for name, kind in wanted.items()}
        if not columns:  # Arrow takes an empty list of columns for all of them
            return
        for file, dialect in zip(self.files, self.dialects, strict=True):
            row = 0
            for batch in read_text(file, dialect, list(columns), in_pieces=self.in_pieces):
                for name, column in columns.items():
                    column.add(drop_missing(batch.column(name), self.read_settings), file, row)
                row += batch.num_rows
        decimals = {number.decimal for column in columns.values() for number in column.certain_numbers()}
        comma = all(dialect.separator == "," for dialect in self.dialects)
        decimal = decimals.pop() if len(decimals) == 1 else "." if comma else ""
        for name, column in columns.items():
            reading = column.choose(decimal=decimal, date_format=formats.get(name, ""), strict=strict)
            self.readings[name] = reading
            self.markers.update(() if reading.type == "category" else column.markers)

    def find_unusable(self, columns: Iterable[str]) -> dict[str, str]:
        """Return the columns that hold lists, bytes or other values that no tree can split, and their type."""
        if self.dataset is None:
            return {}
        types = {name: self.dataset.schema.field(name).type for name in columns}
        return {name: str(kind) for name, kind in types.items() if find_type(kind) == "other"}

    def read(
        self,
        wanted: Mapping[str, FeatureType | None],
        *,
        formats: Mapping[str, str] = {},
        gather: Gather = gather_in_memory,
    ) -> tuple[pa.Table, dict[str, str]]:
        """Return the given columns of all rows, and the format of dates that the file holds as text or numbers.

        Parameters
        ----------
        wanted : mapping
            The columns, each with the type that the user states, or None if the values decide.
        formats : mapping
            The formats of dates that win where two fit.
        gather : callable
            Makes one table of batches with their common types, and says where it is.

        Raises
        ------
        DataError
            If a file cannot be read or changes while it is read, or a value does not have the type that is wanted.
        """
        before = read_stamps(self.files)
        needed = dict(wanted) | {name: self.selection.types.get(name) for name in self.selection.names if name not in wanted}
        if self.is_text:
            self.study(needed, formats=formats)
        names = list(needed)
        self._check_rows(names)
        if self.dataset is not None and not self.selection.is_stated:  # a wrong comparison is one in a table without rows too
            self.selection.apply(self.dataset.schema.empty_table())
        is_late = self.selection.is_stated and not self.is_text  # such columns are converted as a whole
        table = gather(self._parse_batches(names, select=not is_late))
        self.refuse_changes(before)
        if not table.num_rows:
            return pa.table({name: pa.nulls(0) for name in wanted}), {}
        found = {name: form for name in needed if self.is_text and (form := self.readings[name].format)}
        if not self.is_text:
            stated = {name: kind for name, kind in needed.items() if kind}
            table, found = convert(table, stated, self.read_settings, formats=formats, gather=gather)
        if is_late:
            table = gather(map(self._select, split_batches(table)))
        return table.select(list(wanted)), found

    def refuse_changes(self, before: Sequence[str]) -> None:
        """Raise a DataError if a file has changed since :func:`~boostlab.data.contents.read_stamps` returned these stamps."""
        for file, stamp, now in zip(self.files, before, read_stamps(self.files), strict=True):
            if now != stamp:
                raise DataError(f"{file} changed while it was read. Run again when the file is complete.")

    def _parse_batches(self, names: Sequence[str], *, select: bool) -> Iterator[pa.Table]:
        size = 0
        for batch in self.batches(names):
            parsed = pa.table({name: self.parser.parse(batch.column(name), name) for name in names})
            kept = self._select(parsed) if select else parsed
            size += kept.nbytes
            check_size(self.location, size, self.read_settings, remedy=ON_DISK)
            yield kept

    def _select(self, rows: pa.Table, values: pa.Table | None = None) -> pa.Table:
        """Return the wanted rows of a batch, and count the others; see :meth:`Selection.apply`."""
        kept = self.selection.apply(rows, values)
        self.not_selected.append(rows.num_rows - kept.num_rows)
        return kept

    def study_selection(self, types: Mapping[str, FeatureType], *, formats: Mapping[str, str]) -> None:
        """Find the readings of the columns of the selection in CSV files, for :meth:`select`; see :meth:`study`."""
        self.study({name: types.get(name) for name in self.selection.names}, formats=formats)
        self.selected.update({name: self.readings[name] for name in self.selection.names})

    def select(self, rows: pa.Table) -> pa.Table:
        """Return the rows of a batch, as it is in the files, that are wanted."""
        parser = replace(self.parser, readings=self.selected)
        values = {name: parser.parse(rows.column(name), name) for name in self.selection.names}
        return self._select(rows, pa.table(values))

    def count_not_selected(self, kept: int) -> int:
        """Return how many rows are not wanted if `kept` rows are: those that were skipped unread are among them."""
        if not self.selection.names:
            return 0
        return sum(self.not_selected) if self.dataset is None else int(self.dataset.count_rows()) - kept

    def batches(self, columns: Sequence[str], rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
        """Yield the given columns as they are in the files, CSV as text, in batches of at most `rows` rows."""
        if self.dataset is not None:
            yield from self._scan(columns, rows)
            return
        yield from join_small(self._read_texts(columns, rows), rows)

    def _read_texts(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        for file, dialect in zip(self.files, self.dialects, strict=True):
            for batch in read_text(file, dialect, columns, in_pieces=self.in_pieces):
                for start in range(0, batch.num_rows, rows):
                    yield pa.Table.from_batches([batch.slice(start, rows)])

    def _check_rows(self, columns: Sequence[str]) -> None:
        """Refuse Parquet files whose rows alone, by their number in the metadata, take too much memory."""
        if self.dataset is not None and not self.selection.names:
            size = int(self.dataset.count_rows() * measure_row(self.dataset.schema, columns))
            check_size(self.location, size, self.read_settings, remedy=ON_DISK)

    def _scan(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        assert self.dataset is not None
        try:
            wanted = self.selection.to_filter(self.dataset.schema, missing=self.read_settings.missing)
            is_parquet = isinstance(self.dataset.format, ds.ParquetFileFormat)
            if self.in_pieces and is_parquet:
                yield from read_pieces(self.dataset, columns, wanted, rows=rows)
                return
            options = {
                "filter": wanted,
                "batch_size": rows,
                "batch_readahead": 2,
                "fragment_readahead": 1,
                "fragment_scan_options": ON_DEMAND if is_parquet else None,
            }
            batches = self.dataset.to_batches(columns=list(columns), **options)
            yield from join_small((pa.Table.from_batches([batch]) for batch in batches), rows)
        except (pa.ArrowException, OSError) as error:
            raise describe_unreadable(self.location, error) from None
