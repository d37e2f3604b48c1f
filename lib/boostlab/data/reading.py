"""Tables in CSV and Parquet files: found, described, and read as a whole or in batches.

Training reads all rows as one Arrow table, and scoring reads them in batches, both by the same rules.
:mod:`boostlab.data.dialect` finds how a CSV file is written, and :mod:`boostlab.data.readings` what its columns hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import csv

from boostlab.data.batches import BATCH_ROWS, Gather, gather_in_memory
from boostlab.data.dialect import Dialect, find_dialect
from boostlab.data.files import check_size, describe_unreadable, find_files, is_text, open_parquet
from boostlab.data.inference import Column
from boostlab.data.readings import Number, Reading, is_number
from boostlab.data.row_groups import measure_row, read_pieces
from boostlab.data.settings import ReadSettings
from boostlab.data.types import convert, find_type, simplify
from boostlab.errors import DataError
from boostlab.models.contract import FeatureType

BLOCK_BYTES = 32 << 20  # of a CSV file: large enough that a wide table has many rows in a block
SMALL_BLOCK_BYTES = 4 << 20  # where memory is short: Arrow reads some blocks ahead
ON_DEMAND = ds.ParquetFragmentScanOptions(pre_buffer=False)  # a file is not held in memory before it is decoded
ON_DISK = " Or keep the rows on disk: -p memory external."
INDEX = "__index_level_"  # how pandas names a stored index that has no name


@dataclass(frozen=True)
class Source:
    """The files of one table."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]  #: the columns, without those that have no name
    read_settings: ReadSettings
    dialects: tuple[Dialect, ...] = ()  #: of each CSV file
    dataset: ds.Dataset | None = None  #: the Parquet files
    partial: tuple[str, ...] = ()  #: the columns that some Parquet files do not have
    in_pieces: bool = False  #: whether files are read in small pieces, which takes less memory
    readings: dict[str, Reading] = field(default_factory=dict)  #: of the CSV columns that were studied
    markers: set[str] = field(default_factory=set)  #: the texts that were found to mean a missing value

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
        for path, dialect in zip(self.paths, self.dialects, strict=True):
            row = 0
            for batch in _read_text(path, dialect, list(columns), in_pieces=self.in_pieces):
                for name, column in columns.items():
                    column.add(self._drop_missing(batch.column(name)), path, row)
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
        before = [_fingerprint(path) for path in self.paths]
        if self.is_text:
            self.study(wanted, formats=formats)
        names = list(wanted)
        self._check_rows(names)
        table = gather(self._parse_batches(names))
        for path, stamp in zip(self.paths, before, strict=True):
            if _fingerprint(path) != stamp:
                raise DataError(f"{path} changed while it was read. Run again when the file is complete.")
        if not table.num_rows:
            return pa.table({name: pa.nulls(0) for name in wanted}), {}
        if self.is_text:
            return table, {name: form for name in wanted if (form := self.readings[name].format)}
        types = {name: kind for name, kind in wanted.items() if kind}
        return convert(table, types, self.read_settings, formats=formats, gather=gather)

    def _parse_batches(self, names: Sequence[str]) -> Iterator[pa.Table]:
        size = 0
        for batch in self.batches(names):
            parsed = pa.table({name: self.parse(batch.column(name), name) for name in names})
            size += parsed.nbytes
            check_size(self.paths[0], size, self.read_settings, remedy=ON_DISK)
            yield parsed

    def batches(self, columns: Sequence[str], rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
        """Yield the given columns as they are in the files, CSV as text, in batches of at most `rows` rows."""
        if self.dataset is not None:
            yield from self._scan(columns, rows)
            return
        for path, dialect in zip(self.paths, self.dialects, strict=True):
            for batch in _read_text(path, dialect, columns, in_pieces=self.in_pieces):
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
            size = int(self.dataset.count_rows() * measure_row(self.dataset.schema, columns))
            check_size(self.paths[0], size, self.read_settings, remedy=ON_DISK)

    def _scan(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        assert self.dataset is not None
        try:
            if self.in_pieces:
                yield from filter(len, read_pieces(self.dataset, columns))
                return
            options = {"batch_size": rows, "batch_readahead": 2, "fragment_readahead": 1, "fragment_scan_options": ON_DEMAND}
            for batch in self.dataset.to_batches(columns=list(columns), **options):
                if batch.num_rows:
                    yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError) as error:
            raise describe_unreadable(self.paths[0], error) from None


def open_source(dataset: str, read: ReadSettings) -> Source:
    """Find the files of a path, a folder of Parquet files or a glob, and read their column names.

    Raises
    ------
    DataError
        If there is no file, the format is unknown, a file is empty or unreadable, two columns have the same name, or the files do
        not have the same columns.
    """
    paths = find_files(dataset)
    if not is_text(paths[0]):
        folder = Path(dataset).expanduser()
        found, partial = open_parquet(paths, folder if folder.is_dir() else None)
        names = tuple(name for name in found.schema.names if not name.startswith(INDEX))
        return Source(tuple(paths), names, read, dataset=found, partial=tuple(name for name in partial if name in names))
    dialects = tuple(find_dialect(path, read) for path in paths)
    names = tuple(name for name in dialects[0].names if name)
    for path, dialect in zip(paths, dialects, strict=True):
        lacking = sorted(set(names) ^ set(filter(None, dialect.names)))
        if lacking:
            raise DataError(
                f"{paths[0]} and {path} do not have the same columns: {', '.join(lacking[:5])} is in one of them only."
            )
    return Source(tuple(paths), names, read, dialects)


def _read_text(path: Path, dialect: Dialect, columns: Sequence[str], *, in_pieces: bool) -> Iterator[pa.RecordBatch]:
    """Yield columns of a CSV file as text, in batches: null where the field is empty and not quoted."""
    if not dialect.has_rows:
        return
    places = [str(position) for position in range(len(dialect.names))]
    wanted = [places[dialect.names.index(name)] for name in columns]
    try:
        reader = csv.open_csv(
            path,
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
        raise describe_unreadable(path, error) from None


def _fingerprint(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size
