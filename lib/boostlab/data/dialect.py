"""The dialect of a CSV file: its encoding, its separator and its column names, found in the first megabyte of the file."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import IO

from boostlab.data.files import check_size
from boostlab.data.settings import ReadSettings
from boostlab.data.storage import File
from boostlab.errors import DataError

HEAD_BYTES = 1 << 20
HEAD_ROWS = 1_000
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
VALUE = re.compile(r"\s*[+-]?[\d.,]*\d[\d.,]*(e[+-]?\d+)?\s*|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*|true|false|", re.IGNORECASE)
SPACED_QUOTE = re.compile(r'\s+"[^"]*("\s*)?')
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
STATED_SEPARATOR = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # the first line, as Excel writes and reads it
LONGEST_FIELD = 2**31 - 1  # characters


@dataclass(frozen=True)
class Dialect:
    """How the text of a CSV file becomes fields."""

    separator: str
    encoding: str
    names: tuple[str, ...]  #: the columns in the order of the file; a column without a name is empty
    skipped_lines: int = 0  #: number of lines before the column names: empty ones, and one that states the separator
    has_rows: bool = True  #: whether more than the column names is in the file

    def describe(self) -> str:
        """Return the dialect in words."""
        nameless = "; the column without a name is left out" if "" in self.names else ""
        return f"separator {SEPARATORS.get(self.separator, repr(self.separator))}, encoding {self.encoding}{nameless}"


def find_dialect(file: File, read: ReadSettings) -> Dialect:
    """Return the dialect of a file; what the settings state is not searched for.

    Raises
    ------
    DataError
        If the file is empty or incomplete, is not text of the stated encoding, has two columns of one name or lines before the
        column names, or two separators fit equally well.
    """
    encoding = read.encoding
    try:
        head = _read_head(file)
        encoding = encoding or _find_encoding(file, head, read)
        decoder = codecs.getincrementaldecoder(encoding)()
        text = decoder.decode(head, final=len(head) < HEAD_BYTES).removeprefix("\ufeff")
        quotes = _count_quotes(file, encoding, read)
    except (UnicodeDecodeError, LookupError) as error:
        raise DataError(f"{file} is not text in the encoding {encoding!r}: {error}. Set read: {{encoding: NAME}}.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if not text.strip():
        raise DataError(f"{file} is empty.")
    whole, text = text, text.lstrip("\r\n")
    stated = STATED_SEPARATOR.fullmatch(text.partition("\n")[0])
    if stated:
        text = text.partition("\n")[2].lstrip("\r\n")
    skipped_lines = len(whole[: len(whole) - len(text)].splitlines())
    if len(head) == HEAD_BYTES:
        text = text[: text.rfind("\n") + 1] or text  # the last line is cut off
    separator = read.separator or (stated[1] if stated else _find_separator(file, text))
    try:
        rows = _split(text, separator)
    except csv.Error as error:
        raise DataError(f"{file} cannot be read as CSV: {error}.") from None
    _refuse_preamble(file, rows)
    dialect = Dialect(separator, encoding, _find_names(file, rows), skipped_lines, has_rows=len(rows) > 1)
    if quotes % 2:
        _check_quotes(file, dialect)
    return dialect


def _read_head(file: File) -> bytes:
    with gzip.open(file.path) if file.is_zipped else Path(file.path).open("rb") as stream:
        return stream.read(HEAD_BYTES)


def _find_encoding(file: File, head: bytes, read: ReadSettings) -> str:
    """Return the encoding: by a mark at its start, by zero bytes, UTF-8 if the whole file is, else cp1252 (Latin-1)."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    for encoding, first in (("utf-16-le", 1), ("utf-16-be", 0)):
        if head[first:200:2].count(0) > len(head[:200]) // 4:
            return encoding
    try:
        _count_quotes(file, "utf-8", read)
        return "utf-8"
    except UnicodeDecodeError:
        return "cp1252"


def _check_quotes(file: File, dialect: Dialect) -> None:
    """Refuse a quoted field that does not end: the rest of the file would be its value."""
    with _open(file, dialect.encoding) as stream:
        try:
            for _ in _read_rows(stream, dialect.separator, strict=True):
                pass
        except csv.Error as error:
            if "end of data" in str(error):
                raise DataError(f"{file} ends inside a quoted field: a quotation mark is missing. Correct the file.") from None


def _count_quotes(file: File, encoding: str, read: ReadSettings) -> int:
    """Return the number of quotes in a file, whose whole content this reads."""
    count = size = 0
    with _open(file, encoding) as stream:
        for text in iter(partial(stream.read, HEAD_BYTES), ""):
            count, size = count + text.count('"'), size + len(text)
            if file.is_zipped:
                check_size(file, size, read)
    return count


def _open(file: File, encoding: str) -> IO[str]:
    return (
        gzip.open(file.path, "rt", encoding=encoding, newline="")
        if file.is_zipped
        else Path(file.path).open(encoding=encoding, newline="")
    )


def _split(text: str, separator: str) -> list[list[str]]:
    return list(islice(filter(None, _read_rows(io.StringIO(text, newline=""), separator)), HEAD_ROWS))


def _read_rows(stream: IO[str], separator: str, *, strict: bool = False) -> Iterator[list[str]]:
    """Yield the fields of each row; a text of more than 131,072 characters is a value like any other."""
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield from csv.reader(stream, delimiter=separator, strict=strict)
    finally:
        csv.field_size_limit(limit)


def _find_separator(file: File, text: str) -> str:
    """Return the separator that gives each row the fields of the header; of several, the one that gives more values."""
    scores = {}
    for separator in SEPARATORS:
        header, *rows = _try_split(text, separator) or [[]]
        if len(header) > 1 and all(_fits(row, len(header)) for row in rows):
            fields = [field for row in rows for field in row]
            scores[separator] = sum(VALUE.fullmatch(field) is not None for field in fields) / max(len(fields), 1)
    best = max(scores.values(), default=0)
    found = [separator for separator, score in scores.items() if score == best]
    if len(found) > 1:
        readings = " or ".join(f"{_split(text, separator)[0]} ({SEPARATORS[separator]})" for separator in found)
        raise DataError(f"The columns of {file} are {readings}. State the separator: read: {{separator: '{found[0]}'}}.")
    # no separator fits all rows: the one that fits most, and the error names the row that does not fit
    return found[0] if found else max(SEPARATORS, key=lambda separator: _find_width(_try_split(text, separator))[1])


def _try_split(text: str, separator: str) -> list[list[str]]:
    try:
        return _split(text, separator)
    except csv.Error:
        return []


def _find_width(rows: list[list[str]]) -> tuple[int, int]:
    """Return the number of fields that most rows have, and the number of these rows; 0 of them if it is one field."""
    width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
    return width, count if width > 1 else 0


def _refuse_preamble(file: File, rows: list[list[str]]) -> None:
    """Refuse a comment or a title before the column names: shorter rows than the others, unless the rows have names."""
    width, _ = _find_width(rows)
    lines = list(takewhile(lambda row: len(row) < width, rows))
    if lines and (len(lines) > 1 or len(lines[0]) < width - 1 or lines[0][0].startswith("#")):
        raise DataError(
            f"{file} begins with {', '.join(lines[0])!r}, which has {len(lines[0])} field(s) where other rows have {width}. "
            "The first line holds the column names: remove comments and titles before it."
        )


def _fits(row: list[str], width: int) -> bool:
    """Tell whether a row has the fields of the header, or one more: an empty one at its end, or a row name at its start."""
    return len(row) in (width, width + 1)


def _find_names(file: File, rows: list[list[str]]) -> tuple[str, ...]:
    spaced = next((field for row in rows for field in row if SPACED_QUOTE.fullmatch(field)), None)
    if spaced:
        raise DataError(f"{file} has a space before a quotation mark, which then quotes nothing: {spaced!r}. Remove such spaces.")
    header, lines = rows[0] if rows else [], rows[1:]
    names = [name if name.strip() else "" for name in header]
    if lines and all(len(row) == len(header) + 1 for row in lines):
        names = [*names, ""] if all(not row[-1].strip() for row in lines) else ["", *names]
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise DataError(f"{file} has more than one column {twice[0]!r}. Rename them: column names are unique.")
    for position, name in enumerate(names):
        if not name and position > 0 and any(row[position].strip() for row in lines if len(row) > position):
            raise DataError(f"Column {position + 1} of {file} has values and no name. Name it in the first line.")
    return tuple(names)
