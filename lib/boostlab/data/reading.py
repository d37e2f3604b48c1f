"""Tables in CSV and Parquet files: found, described, and read as a whole or in batches.

Training reads all rows as one Arrow table, and scoring reads them in batches, both by the same rules.
:mod:`boostlab.data.dialect` finds how a CSV file is written, and :mod:`boostlab.data.readings` what its columns hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import csv

from boostlab.data.dialect import Dialect, find_dialect
from boostlab.data.files import check_size, describe_unreadable, find_files, open_parquet
from boostlab.data.inference import Column
from boostlab.data.locations import is_local
from boostlab.data.readings import Number, Reading, is_number
from boostlab.data.settings import ReadSettings
from boostlab.data.storage import File, copy_here, read_stamps
from boostlab.data.types import convert, find_type, simplify
from boostlab.errors import DataError
from boostlab.models.contract import FeatureType

BATCH_ROWS = 65_536
BLOCK_BYTES = 32 << 20  # of a CSV file: large enough that a wide table has many rows in a block
ON_DEMAND = ds.ParquetFragmentScanOptions(pre_buffer=False)  # a file is not held in memory before it is decoded
INDEX = "__index_level_"  # how pandas names a stored index that has no name


@dataclass(frozen=True)
class Source:
    """The files of one table."""

    files: tuple[File, ...]
    names: tuple[str, ...]  #: the columns, without those that have no name
    read_settings: ReadSettings
    dialects: tuple[Dialect, ...] = ()  #: of each CSV file
    dataset: ds.Dataset | None = None  #: the Parquet files
    partial: tuple[str, ...] = ()  #: the columns that some Parquet files do not have
    readings: dict[str, Reading] = field(default_factory=dict)  #: of the CSV columns that were studied
    markers: set[str] = field(default_factory=set)  #: the texts that were found to mean a missing value
    location: str = ""  #: as the user names it

    @property
    def name(self) -> str:
        """The name of the table: the last part of its location."""
        return PurePosixPath(self.location).name

    @property
    def address(self) -> str:
        """The location as a run records it: a path from the root, or an address."""
        return self.location if not is_local(self.location) else str(Path(self.location).expanduser().resolve())

    @property
    def is_text(self) -> bool:
        """Whether the files are CSV, which does not state types."""
        return self.dataset is None

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
        return tuple(float(text) for text in self.read_settings.missing if is_number(text))

    def describe(self) -> str:
        """Return how the files are read, in words."""
        if not self.dialects:
            return "Parquet" + ("; not in all files: " + ", ".join(map(repr, self.partial)) if self.partial else "")
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
            for batch in _read_text(file, dialect, list(columns)):
                for name, column in columns.items():
                    column.add(self._drop_missing(batch.column(name)), file, row)
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
        self, wanted: Mapping[str, FeatureType | None], *, formats: Mapping[str, str] = {}
    ) -> tuple[pa.Table, dict[str, str]]:
        """Return the given columns of all rows, and the format of dates that the file holds as text or numbers.

        Parameters
        ----------
        wanted : mapping
            The columns, each with the type that the user states, or None if the values decide.
        formats : mapping
            The formats of dates that win where two fit.

        Raises
        ------
        DataError
            If a file cannot be read or changes while it is read, or a value does not have the type that is wanted.
        """
        before = read_stamps(self.files)
        if self.is_text:
            self.study(wanted, formats=formats)
        names = list(wanted)
        self._check_rows(names)
        batches, size = [], 0
        for batch in self.batches(names):
            batches.append(pa.table({name: self.parse(batch.column(name), name) for name in names}))
            size += batches[-1].nbytes
            check_size(self.files[0], size, self.read_settings)
        for file, stamp, now in zip(self.files, before, read_stamps(self.files), strict=True):
            if now != stamp:
                raise DataError(f"{file} changed while it was read. Run again when the file is complete.")
        if not batches:
            return pa.table({name: pa.nulls(0) for name in wanted}), {}
        table = pa.concat_tables(batches, promote_options="permissive")
        if self.is_text:
            return table, {name: form for name in wanted if (form := self.readings[name].format)}
        return convert(table, {name: kind for name, kind in wanted.items() if kind}, self.read_settings, formats=formats)

    def batches(self, columns: Sequence[str], rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
        """Yield the given columns as they are in the files, CSV as text, in batches of at most `rows` rows."""
        if self.dataset is not None:
            yield from self._scan(columns, rows)
            return
        for file, dialect in zip(self.files, self.dialects, strict=True):
            for batch in _read_text(file, dialect, columns):
                for start in range(0, batch.num_rows, rows):
                    yield pa.Table.from_batches([batch.slice(start, rows)])

    def parse(self, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
        """Return the values of a column of a batch: by its reading in CSV, with a simple type in Parquet."""
        if not self.is_text:
            column = simplify(column)
        column = self._drop_missing(column)
        if name not in self.readings:
            return column
        parsed = self.readings[name].parse(column.combine_chunks())
        if parsed is None:
            raise DataError(f"The column {name!r} changed while it was read. Run again when the file is complete.")
        return self._drop_missing(pa.chunked_array([parsed]))  # -999.0 too if -999 is missing

    def _drop_missing(self, column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """Return null for the values that mean a missing value by the settings."""
        kind = find_type(column.type)
        missing = self.missing_numbers if kind == "number" else self.read_settings.missing if kind == "category" else ()
        if not missing or pa.types.is_null(column.type):
            return column
        if pa.types.is_dictionary(column.type):  # an if_else of Arrow loses the order of a dictionary
            codes = [pc.if_else(pc.is_in(chunk, pa.array(missing)), None, chunk.indices) for chunk in column.chunks]
            parts = [
                pa.DictionaryArray.from_arrays(code, chunk.dictionary, ordered=chunk.type.ordered)
                for code, chunk in zip(codes, column.chunks, strict=True)
            ]
            return pa.chunked_array(parts, column.type)
        plain = column.cast(pa.float64(), safe=False) if pa.types.is_integer(column.type) else column  # -999 is no uint8
        return pc.if_else(pc.is_in(plain, pa.array(missing).cast(plain.type)), None, column)

    def _check_rows(self, columns: Sequence[str]) -> None:
        """Refuse Parquet files whose rows alone, by their number in the metadata, take too much memory."""
        if self.dataset is not None:
            kinds = [self.dataset.schema.field(name).type for name in columns]
            width = sum(kind.bit_width if pa.types.is_primitive(kind) else 32 for kind in kinds) // 8
            check_size(self.files[0], self.dataset.count_rows() * width, self.read_settings)

    def _scan(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        assert self.dataset is not None
        try:
            options = {"batch_size": rows, "batch_readahead": 2, "fragment_readahead": 1, "fragment_scan_options": ON_DEMAND}
            waiting: list[pa.RecordBatch] = []  # small ones are joined: a thousand small files cost no more than one large file
            for batch in self.dataset.to_batches(columns=list(columns), **options):
                if waiting and sum(map(len, waiting)) + batch.num_rows > rows:
                    yield pa.Table.from_batches(waiting)
                    waiting = []
                waiting += [batch] if batch.num_rows else []
            if waiting:
                yield pa.Table.from_batches(waiting)
        except (pa.ArrowException, OSError) as error:
            raise describe_unreadable(self.files[0], error) from None


def open_source(dataset: str, read: ReadSettings) -> Source:
    """Find the files of a path, a folder of Parquet files or a glob, and read their column names.

    Raises
    ------
    DataError
        If there is no file, the format is unknown, a file is empty or unreadable, two columns have the same name, or the files do
        not have the same columns.
    """
    files = find_files(dataset)
    if not files[0].is_text:
        found, partial = open_parquet(files)
        names = tuple(name for name in found.schema.names if not name.startswith(INDEX))
        return Source(
            tuple(files), names, read, dataset=found, partial=tuple(name for name in partial if name in names), location=dataset
        )
    files = [file if file.local_path else copy_here(file) for file in files]
    dialects = tuple(find_dialect(file, read) for file in files)
    names = tuple(name for name in dialects[0].names if name)
    for file, dialect in zip(files, dialects, strict=True):
        lacking = sorted(set(names) ^ set(filter(None, dialect.names)))
        if lacking:
            raise DataError(
                f"{files[0]} and {file} do not have the same columns: {', '.join(lacking[:5])} is in one of them only."
            )
    return Source(tuple(files), names, read, dialects, location=dataset)


def _read_text(file: File, dialect: Dialect, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield columns of a CSV file as text, in batches: null where the field is empty and not quoted."""
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
                block_size=BLOCK_BYTES,
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
