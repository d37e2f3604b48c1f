"""Parsing of a request's body, JSON or CSV, in the formats of MLflow's scoring server: rows and parameters.

The result has one array for each feature in the request, of the type in the model's signature.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import orjson

from boostlab.models.contract import Feature
from boostlab.models.predictor import Array
from boostlab.serving.errors import MediaTypeError, RequestError, SchemaError
from boostlab.serving.schema import CONVERSION_ERRORS, convert_column, convert_tensor, convert_text, is_number, to_objects

JSON, CSV = "application/json", "text/csv"
FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
ONE_FORMAT = f"The input must be a JSON dictionary with exactly one of the input fields {{{', '.join(map(repr, FORMATS))}}}"
WRONG_SPLIT = "Invalid input. Provided dataframe_split field is not a valid dataframe representation in 'split' format. Error: "
WRONG_CSV = (
    "Failed to parse input as a Pandas DataFrame. Ensure that the input is a valid CSV-formatted Pandas DataFrame "
    "produced using the `pandas.DataFrame.to_csv()` method. Error: "
)
UNEQUAL_LENGTHS = "Invalid input. The length of values for each input/column name are not the same"


@dataclass(frozen=True)
class Rows:
    """The rows of a request: an array of shape (count,) for each feature in it."""

    columns: dict[str, Array]
    count: int


def read_request(body: bytes, content_type: str | None, features: Sequence[Feature]) -> tuple[Rows, Any]:
    """Return the rows and the parameters of a request.

    Raises
    ------
    RequestError
        If the body does not have its content type's format, or does not match the features.
    """
    if _check_type(content_type) == CSV:
        return _read_csv(body, features), None
    content = _decode(body)
    found = [name for name in FORMATS if name in content]
    if len(found) != 1:
        raise RequestError(f"{ONE_FORMAT}. Received dictionary with input fields: {found}.")
    read = {"dataframe_split": _read_split, "dataframe_records": _read_records}.get(found[0])
    rows = read(content[found[0]], features) if read else _read_tensors(content[found[0]], features, found[0])
    return rows, content.get("params")


def read_columns(columns: dict[str, list[Any]], features: Sequence[Feature]) -> Rows:
    """Return the rows of a request by column: lists of one length, with None for a missing value.

    Raises
    ------
    RequestError
        If a required column is missing, or a value does not fit its column's type.
    """
    return _convert(columns, features, columns, len(next(iter(columns.values()))))


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


def _decode(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:  # the standard library also reads NaN, lone surrogates and UTF-16
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"Invalid input. Ensure that input is a valid JSON formatted string. Error: '{error!r}'") from None
    if not isinstance(content, dict):
        received = "a list" if isinstance(content, list) else f"unexpected input type '{type(content)}"
        raise RequestError(f"Invalid input. {ONE_FORMAT}. Received {received}.")
    return content


def _read_records(records: Any, features: Sequence[Feature]) -> Rows:
    if not isinstance(records, list):
        received = "dictionary" if isinstance(records, dict) else f"type {type(records)}"
        raise RequestError(f"Invalid input. Dataframe records format must be a list of records. Got {received}.")
    named = [record if isinstance(record, dict) else {} for record in records]
    sent = set().union(*named)
    # a column that a record lacks is NaN, not null: pandas converts NaN to True and null to False
    columns = {item.name: [record.get(item.name, np.nan) for record in named] for item in _find_sent(features, sent)}
    return _convert(columns, features, sent, len(records))


def _read_split(split: Any, features: Sequence[Feature]) -> Rows:
    names, data = _check_split(split)
    table = [row if isinstance(row, list) else [row] for row in data]
    width = max(map(len, table), default=0)
    if names is not None and table and len(names) != width:
        raise RequestError(f"{WRONG_SPLIT}'{len(names)} columns passed, passed data had {width} columns'")
    sent = [name for name in names or [] if isinstance(name, str)]
    if len(set(sent)) < len(sent):
        raise SchemaError("Two columns have the same name.")
    by_column = zip_longest(*table) if table else iter([()] * len(sent))
    columns = {name: list(values) for name, values in zip(names or [], by_column, strict=False) if isinstance(name, str)}
    return _convert(columns, features, sent, len(data))


def _check_split(split: Any) -> tuple[list[Any] | None, list[Any]]:
    """Return the column names, if there are any, and the rows."""
    if not isinstance(split, dict):
        received = "list" if isinstance(split, list) else f"type {type(split)}"
        raise RequestError(f"Invalid input. Dataframe split format must be a dictionary. Got {received}.")
    if "data" not in split or not split.keys() <= {"columns", "data", "index"}:
        raise RequestError(
            "Invalid input. Dataframe split format must have 'data' field and optionally 'columns' and 'index' fields. "
            f"Got {set(split)}.'"
        )
    names, data, index = split.get("columns"), split["data"], split.get("index")
    if not isinstance(data, list) or not (names is None or isinstance(names, list)):
        raise RequestError(f"{WRONG_SPLIT}'data must be a list of rows, and columns a list of names'")
    if index is not None and not (isinstance(index, list) and len(index) == len(data)):
        raise RequestError(f"{WRONG_SPLIT}'the index must have one entry for each of the {len(data)} rows'")
    if any(isinstance(row, dict) for row in data):
        raise RequestError(f"{WRONG_SPLIT}'a row is a dictionary: send dataframe_records instead'")
    return names, data


def _read_csv(body: bytes, features: Sequence[Feature]) -> Rows:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"Invalid input. Ensure that input is a valid UTF-8 encoded string. Error: '{error!r}'") from None
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise RequestError(f"{WRONG_CSV}'{error}'") from None
    if not lines:
        raise RequestError(f"{WRONG_CSV}'No columns to parse from file'")
    names, *table = lines
    if any(len(line) > len(names) for line in table):
        raise RequestError(f"{WRONG_CSV}'a row has more fields than the {len(names)} of the header'")
    columns: dict[str, Array] = {}
    types = {item.name: item for item in features}
    for name, *values in zip_longest(names, *table):
        if name in types and name not in columns:
            try:
                columns[name] = convert_text(_drop_unknown(values, types[name]), types[name].mlflow_type, name)
            except RequestError as error:
                raise RequestError(f"{WRONG_CSV}'{error}'") from None
    return _check_required(columns, features, names, len(table))


def _read_tensors(data: Any, features: Sequence[Feature], form: str) -> Rows:
    """Read ``instances`` or ``inputs``: a list of dictionaries, or a dictionary of lists."""
    if len(features) == 1 and isinstance(data, list) and not any(isinstance(item, dict) for item in data):
        data = {features[0].name: data}
    if isinstance(data, list) and all(isinstance(item, dict) for item in data):
        return _read_dictionaries(data, features, form)
    if not isinstance(data, dict):
        convert_tensor(data, features[0].mlflow_type)
        raise SchemaError(f"Model is missing inputs {_required(features)}.")
    columns = {
        item.name: convert_tensor(_drop_unknown(data[item.name], item), item.mlflow_type) for item in _find_sent(features, data)
    }
    lengths = {len(values) for values in data.values() if isinstance(values, list)}
    if len(lengths) > 1:
        raise RequestError(UNEQUAL_LENGTHS) if form == "instances" else SchemaError(UNEQUAL_LENGTHS)
    count = lengths.pop() if lengths else 1
    whole = {name: np.broadcast_to(values, count) if values.ndim == 0 else values for name, values in columns.items()}
    return _check_required(whole, features, data, count)


def _read_dictionaries(records: list[dict[str, Any]], features: Sequence[Feature], form: str) -> Rows:
    sent = set().union(*records)
    if form == "instances" and any(len(record) < len(sent) for record in records):
        raise RequestError(UNEQUAL_LENGTHS)
    columns = {}
    for item in _find_sent(features, sent):
        name, mlflow_type = item.name, item.mlflow_type
        present = _drop_unknown([record[name] for record in records if name in record], item)
        if any(isinstance(value, list) for value in present):
            raise SchemaError(f"Incompatible input types for column {name}. A value is a list.")
        values = convert_tensor(present, mlflow_type)
        if len(present) < len(records):
            if mlflow_type == "long":
                raise SchemaError(f"Incompatible input types for column {name}. Can not safely convert float64 to int64.")
            converted = iter(values.tolist() if mlflow_type in ("boolean", "double") else values)
            filled = [next(converted) if name in record else None for record in records]
            values = to_objects(filled) if mlflow_type in ("boolean", "string") else np.array(filled, values.dtype)
        columns[name] = values
    return _check_required(columns, features, sent, len(records))


def _convert(columns: dict[str, list[Any]], features: Sequence[Feature], sent: Iterable[str], count: int) -> Rows:
    found = _find_sent(features, columns)
    columns |= {item.name: _drop_unknown(columns[item.name], item) for item in found}
    numbers = [item.name for item in found if item.mlflow_type == "double"]
    try:  # all numbers in one call: the calls take most of the time of reading a row
        flat = to_objects([value for name in numbers for value in columns[name]]).astype(np.float64)
        converted = dict(zip(numbers, flat.reshape(len(numbers), count), strict=True))
    except CONVERSION_ERRORS:  # convert one by one, so that the error names the column
        converted = {}
    for item in found:
        if item.name not in converted:
            converted[item.name] = convert_column(columns[item.name], item.mlflow_type, item.name)
    return _check_required(converted, features, sent, count)


def _drop_unknown(values: Any, item: Feature) -> Any:
    """Return None for each text that is no number, in a category of whole numbers: an unknown category is a missing value."""
    if item.type != "category" or item.mlflow_type != "double":
        return values
    if isinstance(values, list | tuple):
        return [None if isinstance(value, str) and not is_number(value) else value for value in values]
    return None if isinstance(values, str) and not is_number(values) else values


def _check_required(columns: dict[str, Array], features: Sequence[Feature], sent: Iterable[str], count: int) -> Rows:
    missing = [name for name in _required(features) if name not in columns]
    if missing:
        known = {item.name for item in features}
        extra = [name for name in sent if name not in known]
        note = f" Note that there were extra inputs: {extra}." if extra else ""
        raise SchemaError(f"Model is missing inputs {missing}.{note}")
    return Rows(columns, count)


def _required(features: Sequence[Feature]) -> list[str]:
    return [item.name for item in features if not item.optional]


def _find_sent(features: Sequence[Feature], sent: Any) -> list[Feature]:
    return [item for item in features if item.name in sent]
