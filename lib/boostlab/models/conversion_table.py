"""The table of conversions: what becomes of each sort of value in each sort of column. The documentation and the tests use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from boostlab.models.contract import Feature
from boostlab.models.conversion import ConversionError, narrow_numbers, to_booleans, to_codes, to_numbers
from boostlab.models.dates import to_dates

DATE = Feature("date", "date", "string", parts=("days", "hour"), any_type=True)
FEATURES = (  # one of each sort
    Feature("number", "number", "double", optional=True, any_type=True),
    Feature("fraction", "number", "double", optional=True),
    Feature("boolean", "boolean", "boolean", optional=True, any_type=True),
    Feature("category", "category", "string", optional=True, categories=("3", "Faro", "None"), any_type=True),
    Feature("whole category", "category", "double", optional=True, categories=("1", "2", "3"), any_type=True),
    replace(DATE, optional=True),
    replace(DATE, name="date as %d/%m/%Y", optional=True, format="%d/%m/%Y"),
    replace(DATE, name="date in seconds", optional=True, mlflow_type="double", format="epoch_s"),
    replace(DATE, name="date as %Y%m%d", optional=True, mlflow_type="double", format="%Y%m%d"),
)
TEXTS = (
    *("", " 2 ", "1", "0", "1.0", "1e2", "1_0", "１", "inf", "nan", "NA", "None", "true", "FALSE", "no", "Faro", "3.0", "03"),
    *("2026-01-31", "2026-01-31T12:30:00", "2026-01-31 12:30+02:00", "2026/01/31", "31/01/2026", "01/31/2026", "9999-12-31"),
    *("1500-06-01", "2026-02-30", "20260131", "1700000000"),
)
JSON_VALUES = (
    *(None, np.nan, True, False, 0, 1, 3, 3.0, 2.5, -1, 1e300, np.inf, 20260131, 1700000000, [1], {"a": 1}),
    *TEXTS,
)
NOON = datetime(2026, 1, 31, 12, 30)
ARROW_VALUES: dict[str, tuple[Any, pa.DataType]] = {
    "null": (None, pa.null()),
    "bool true": (True, pa.bool_()),
    "int64 3": (3, pa.int64()),
    "float64 2.5": (2.5, pa.float64()),
    "decimal 1.00": (Decimal("1.00"), pa.decimal128(5, 2)),
    "string Faro": ("Faro", pa.string()),
    "dictionary of strings, Faro": ("Faro", pa.dictionary(pa.int8(), pa.string())),
    "timestamp 2026-01-31 12:30": (NOON, pa.timestamp("us")),
    "timestamp 12:30 UTC": (NOON.replace(tzinfo=UTC), pa.timestamp("us", "UTC")),
    "timestamp 9999-12-31": (datetime(9999, 12, 31), pa.timestamp("us")),
    "date32 1500-06-01": (date(1500, 6, 1), pa.date32()),
    "list [1]": ([1], pa.list_(pa.int64())),
}


@dataclass(frozen=True)
class Difference:
    """Cells that one way of asking answers otherwise: of these columns, these values, each with what becomes of it."""

    way: str
    columns: tuple[str, ...]
    outcomes: dict[str, str]
    reason: str


ISO_DATES = ("2026-01-31", "2026-01-31T12:30:00", "2026-01-31 12:30+02:00", "2026/01/31", "9999-12-31", "1500-06-01")
SERVE, TENSORS, IMAGE_CSV = "mlflow models serve", "MLflow's image, instances and inputs", "MLflow's image, CSV"
PYTHON, SCORE = "Python", "score.ipynb, CSV"
DIFFERENCES = (
    Difference(
        SERVE,
        ("fraction",),
        dict.fromkeys(['""', '"NA"', '"None"'], "refused") | {'"1_0"': "10", '"１"': "1"},
        "the signature has the type double, because any other costs a thousandth of a second for 1,500 values",
    ),
    Difference(TENSORS, ("number", "fraction"), {"true": "refused", "false": "refused"}, "MLflow makes text of each value"),
    Difference(
        TENSORS,
        ("category",),
        {"null": "None", "true": "missing", "false": "missing", "3.0": "missing", '{"a": 1}': "missing"},
        "MLflow makes text of each value, and None of null",
    ),
    Difference(TENSORS, ("whole category",), {"true": "missing", '{"a": 1}': "missing"}, "MLflow makes text of each value"),
    Difference(TENSORS, ("date", "date as %d/%m/%Y"), {"20260131": "2026-01-31"}, "MLflow makes text of each value"),
    Difference(IMAGE_CSV, ("category",), {'"None"': "missing"}, "MLflow reads such words as missing before the model sees them"),
    Difference(
        PYTHON,
        ("fraction",),
        dict.fromkeys(["true", "false", "3", "-1", "20260131", "1700000000"], "refused")
        | dict.fromkeys(map(json.dumps, ["", " 2 ", "0", "03", "1", "1.0", "1e2", "nan", "NA", "None", "3.0"]), "refused")
        | dict.fromkeys(['"20260131"', '"1700000000"'], "refused"),
        "MLflow refuses what is not of the type double; whole numbers: astype(float)",
    ),
    Difference(SCORE, ("whole category",), {'"true"': "1"}, "a column of true and false is read as booleans"),
    Difference(
        SCORE,
        ("whole category",),
        dict.fromkeys(map(json.dumps, [*ISO_DATES, "31/01/2026", "01/31/2026"]), "refused"),
        "a column of dates is no category",
    ),
    Difference(SCORE, ("date",), {'"31/01/2026"': "2026-01-31"}, "dates are read as train.ipynb reads them"),
    Difference(
        SCORE,
        ("date", "date as %d/%m/%Y"),
        {'"01/31/2026"': "2026-01-31", '"1700000000"': "2023-11-14T22:13:20"},
        "dates are read as train.ipynb reads them",
    ),
)
READERS: dict[str, Callable[[list[Any], Feature], Any]] = {
    "number": lambda values, item: narrow_numbers(to_numbers(values, item.name), item.name),
    "boolean": lambda values, item: to_booleans(values, item.name),
    "category": to_codes,
    "date": to_dates,
}


def convert_one(values: Any, feature: Feature) -> str:
    """Return what becomes of a single value, in a list or an array: as the model sees it, ``missing`` or ``refused``."""
    try:
        (found,) = READERS[feature.type](values, feature)
    except ConversionError:
        return "refused"
    if found != found:
        return "missing"
    if feature.type == "category":
        return feature.categories[int(found)]
    if feature.type == "boolean":
        return str(bool(found)).lower()
    return f"{found:.9g}" if feature.type == "number" else str(found).removesuffix(".000000").removesuffix("T00:00:00")


def tabulate_json() -> list[list[str]]:
    """Return a row for each value of JSON, text included: as sent, then what becomes of it in each sort of column."""
    return [[json.dumps(value, ensure_ascii=False), *(convert_one([value], item) for item in FEATURES)] for value in JSON_VALUES]


def tabulate_arrow() -> list[list[str]]:
    """Return a row for each type of Parquet's columns with a value, as pandas reads it."""
    rows = []
    for name, (value, arrow_type) in ARROW_VALUES.items():
        column: pd.Series = pa.array([value], arrow_type).to_pandas()
        is_date = pd.api.types.is_datetime64_any_dtype(column)
        values = pd.to_datetime(column, utc=True).dt.tz_localize(None).to_numpy() if is_date else column.tolist()
        rows.append([name, *(convert_one(values, item) for item in FEATURES)])
    return rows
