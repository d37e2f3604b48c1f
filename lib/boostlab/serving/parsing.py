"""Parsing of a request's body, JSON or CSV, in the formats of MLflow's scoring server: rows and parameters.

A value stays as the body has it: :mod:`boostlab.models.conversion` reads it. Only the model's columns are kept, and rows are
counted before their cells take memory.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

import msgspec

from boostlab.models.contract import Feature
from boostlab.models.conversion import Values, quote
from boostlab.serving.errors import MediaTypeError, RequestError, SchemaError, list_names

JSON, CSV = "application/json", "text/csv"
FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
ONE_FORMAT = f"The input must be a JSON dictionary with exactly one of the input fields {{{', '.join(map(repr, FORMATS))}}}"
TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # in JSON; one without an end, too, is read once
BEYOND_JSON = re.compile(rb"\A\xef\xbb\xbf|NaN|Infinity|\\u[dD][89a-fA-F]|\0")  # not JSON, but sent: also UTF-16


@dataclass(frozen=True)
class Rows:
    """The rows of a request: `count` values, as they were sent, for each feature in it."""

    columns: dict[str, Values]
    count: int


@dataclass(frozen=True)
class Reader:
    """Reads rows of the given features, of at most `max_cells` cells."""

    features: Sequence[Feature]
    max_cells: int

    @property
    def max_rows(self) -> int:
        """The largest number of rows in a request."""
        return max(self.max_cells // max(len(self.features), 1), 1)

    def read_request(self, body: bytes, content_type: str | None) -> tuple[Rows, Any]:
        """Return the rows and the parameters of a request.

        Raises
        ------
        RequestError
            If the body does not have its content type's format, lacks a required column, or has too many rows.
        """
        if _check_type(content_type) == CSV:
            return self._read_csv(body), None
        content = self.decode(body)
        if not isinstance(content, dict):
            received = "a list" if isinstance(content, list) else f"unexpected input type '{type(content).__name__}'"
            raise RequestError(f"Invalid input. {ONE_FORMAT}. Received {received}.")
        found = [name for name in FORMATS if name in content]
        if len(found) != 1:
            raise RequestError(f"{ONE_FORMAT}. Received dictionary with input fields: {found}.")
        read = {"dataframe_split": self._read_split, "dataframe_records": self._read_records}.get(found[0], self._read_tensors)
        return read(content[found[0]]), content.get("params", content.get("parameters"))  # Vertex AI's name for them

    def read_columns(self, columns: dict[str, list[Any]]) -> Rows:
        """Return the rows of a request by column: lists of one length, with None for a missing value.

        Raises
        ------
        RequestError
            If a required column is missing, or there are too many rows.
        """
        count = len(next(iter(columns.values())))
        self.check_count(count)
        known: dict[str, Values] = {item.name: columns[item.name] for item in self.features if item.name in columns}
        return self._check_required(known, columns, count)

    def check_count(self, count: int) -> None:
        """Raise a RequestError if there are too many rows."""
        if count > self.max_rows:
            raise RequestError(
                f"The request has more than {self.max_rows:,} rows. A row of this model has {len(self.features)} cells, and the "
                f"server takes at most {self.max_cells:,} cells: send fewer rows per request.",
                code="REQUEST_LIMIT_EXCEEDED",
                status=413,
            )

    def decode(self, body: bytes) -> Any:
        """Return what a body of JSON holds.

        Raises
        ------
        RequestError
            If the body is not JSON, or has too many rows.
        """
        most = 2 * self.max_rows + 100  # objects and lists: an object takes 24 times its bytes, so too many are not even decoded
        if _count_brackets(body) > most and _count_brackets(TEXT.sub(b"", body)) > most:
            self.check_count(self.max_rows + 1)
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _decode_slowly(body, error)

    def _read_records(self, records: Any) -> Rows:
        if not isinstance(records, list):
            received = "dictionary" if isinstance(records, dict) else f"type {type(records).__name__}"
            raise RequestError(f"Invalid input. Dataframe records format must be a list of records. Got {received}.")
        self.check_count(len(records))
        for row, record in enumerate(records, 1):
            if not isinstance(record, dict):
                raise RequestError(f"Row {row} is {quote(record)}. A row is a JSON object: column names with values.", row=row)
        sent = [item.name for item in self.features if any(item.name in record for record in records)]
        columns: dict[str, Values] = {name: [record.get(name) for record in records] for name in sent}
        return self._check_required(columns, chain.from_iterable(records), len(records))

    def _read_split(self, split: Any) -> Rows:
        names, table = self._check_split(split)
        self.check_count(len(table))
        for row, values in enumerate(table, 1):
            if len(values) != len(names):
                raise RequestError(f"Row {row} has {len(values)} values, but there are {len(names)} columns.", row=row)
        columns: dict[str, Values] = {
            name: list(map(itemgetter(place), table)) for name, place in self._find_places(names).items()
        }
        return self._check_required(columns, names, len(table))

    def _check_split(self, split: Any) -> tuple[list[Any], list[Any]]:
        """Return the column names and the rows."""
        if not isinstance(split, dict):
            received = "list" if isinstance(split, list) else f"type {type(split).__name__}"
            raise RequestError(f"Invalid input. Dataframe split format must be a dictionary. Got {received}.")
        names, data, index = split.get("columns"), split.get("data"), split.get("index")
        if names is None and isinstance(data, list):
            raise SchemaError("The columns have no names. Send 'columns', a list of names, with 'data'.")
        if not isinstance(names, list) or not isinstance(data, list) or not split.keys() <= {"columns", "data", "index"}:
            raise RequestError(
                "Invalid input. Dataframe split format must have 'columns', a list of names, 'data', a list of rows, and "
                f"optionally 'index'. Got {list_names(sorted(split))}."
            )
        if index is not None and not (isinstance(index, list) and len(index) == len(data)):
            raise RequestError(f"Invalid input. The index must have one entry for each of the {len(data)} rows.")
        if len(names) == 1:  # pandas takes values for rows of a single column
            data = [row if isinstance(row, list) else [row] for row in data]
        for row, values in enumerate(data, 1):
            if not isinstance(values, list):
                raise RequestError(f"Row {row} is {quote(values)}. A row of dataframe_split is a list of values.", row=row)
        return names, data

    def _read_tensors(self, data: Any) -> Rows:
        """Read ``instances`` or ``inputs``: a list of rows, or a dictionary of columns or of single values."""
        if isinstance(data, list) and len(self.features) == 1 and not any(isinstance(item, dict) for item in data):
            data = {self.features[0].name: data}
        if isinstance(data, list):
            if data and not any(isinstance(row, dict) for row in data):
                raise SchemaError(f"A row is a JSON object, column names with values, not {quote(data[0])}.")
            return self._read_records(data)
        if not isinstance(data, dict):
            raise RequestError(f"Invalid input. Send a list of rows, or a dictionary of columns, not {quote(data)}.")
        sent = {item.name: data[item.name] for item in self.features if item.name in data}
        lengths = {len(values) for values in sent.values() if isinstance(values, list)}
        if len(lengths) > 1:
            raise RequestError("Invalid input. The length of values for each input/column name are not the same")
        count = lengths.pop() if lengths else 1
        self.check_count(count)
        columns: dict[str, Values] = {
            name: values if isinstance(values, list) else [values] * count for name, values in sent.items()
        }
        return self._check_required(columns, data, count)

    def _read_csv(self, body: bytes) -> Rows:
        lines = _split_csv(body)
        names = next(lines, None)
        if names is None:
            raise RequestError("Invalid input. The CSV text is empty: send a line of column names, then the rows.")
        places = self._find_places(names)
        columns: dict[str, list[str | None]] = {name: [] for name in places}
        count = 0
        for count, line in enumerate(lines, 1):
            self.check_count(count)
            if len(line) != len(names):
                raise RequestError(f"Row {count} has {len(line)} fields, but the first line has {len(names)}.", row=count)
            for name, place in places.items():
                columns[name].append(line[place])
        for item in self.features:
            if item.type == "category" and item.name in columns:  # an empty field is missing; an empty text in JSON is a text
                columns[item.name] = [value or None for value in columns[item.name]]
        return self._check_required(columns, names, count)

    def _find_places(self, names: list[Any]) -> dict[str, int]:
        """Return the position of each feature among the names of columns."""
        wanted = {item.name for item in self.features}
        known = [name for name in names if isinstance(name, str) and name in wanted]
        if len(set(known)) < len(known):
            raise SchemaError("Two columns have the same name.")
        return {name: names.index(name) for name in known}

    def _check_required(self, columns: dict[str, Any], sent: Iterable[Any], count: int) -> Rows:
        missing = [item.name for item in self.features if not item.optional and item.name not in columns]
        if missing:
            known = {item.name for item in self.features}
            extra = list(dict.fromkeys(name for name in sent if isinstance(name, str) and name not in known))
            note = f" Note that there were extra inputs: {list_names(extra)}." if extra else ""
            raise SchemaError(f"Model is missing inputs {list_names(missing)}.{note}")
        return Rows(columns, count)


def _check_type(content_type: str | None) -> str:
    """Return the media type if the server reads it. Types and names are case-insensitive; values may be quoted (RFC 9110)."""
    if content_type is None:
        raise MediaTypeError(f"The request has no content type. Send {JSON} or {CSV}.")
    media_type, *pairs = [part.strip() for part in content_type.split(";")]
    named = (each.partition("=") for each in pairs if each)
    parameters = {name.strip().lower(): value.strip(' "').lower() for name, _, value in named}
    if parameters.pop("charset", "utf-8") not in ("utf-8", "utf8"):
        raise MediaTypeError("The scoring server only supports UTF-8")
    if media_type.lower() == CSV and parameters.pop("header", "present") != "present":
        raise MediaTypeError("The CSV needs a header: its first line names the columns.")
    if parameters:
        raise MediaTypeError(f"Unrecognized content type parameters: {', '.join(parameters)[:200]}.")
    if media_type.lower() not in (JSON, CSV):
        raise MediaTypeError(
            f"This predictor only supports the following content types: {JSON}, {CSV}. Got '{content_type[:200]}'."
        )
    return media_type.lower()


def _count_brackets(body: bytes) -> int:
    return body.count(b"{") + body.count(b"[")


def _decode_slowly(body: bytes, error: Exception) -> Any:
    """Decode what the standard library reads beyond JSON: NaN, Infinity, lone surrogates, and UTF-16."""
    reason: Exception = error
    if isinstance(error, UnicodeDecodeError) or BEYOND_JSON.search(body):
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as slow_error:
            reason = slow_error
    place = f" at byte {reason.start}" if isinstance(reason, UnicodeDecodeError) else ""
    words = "it is not UTF-8" if place else str(reason)  # the text of a UnicodeDecodeError's object is the body
    raise RequestError(f"Invalid input. Ensure that input is a valid JSON formatted string. Error: {words}{place}.") from None


def _split_csv(body: bytes) -> Iterator[list[str]]:
    """Return the lines of a CSV text as lists of fields, without empty lines."""
    text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")
    try:
        yield from filter(None, csv.reader(text, strict=True))
    except UnicodeDecodeError:
        raise RequestError("Invalid input. Ensure that input is a valid UTF-8 encoded string.") from None
    except csv.Error as error:
        raise RequestError(f"Invalid input. The CSV text cannot be read: {error}.") from None
