"""What each column of a table is, and which become features: decided on the training rows alone.

Numbers, booleans, text and categories are used as they are, dates as parts. What cannot be used (a column with one
value, an identifier, one that gives the target away almost alone) is left out and says why, unless the user named it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from boostlab.data.splits import Part
from boostlab.data.table import Table
from boostlab.errors import DataError
from boostlab.models.contract import Feature, FeatureType, MLflowType, Task
from boostlab.models.predictor import DATE_PARTS, ENCODERS, encode_date

LEAK_SCORE = 0.999  # R² or balanced accuracy of a tree that sees one column alone, on new rows; or the rank correlation
LEAK_ROWS = 5_000
DISTINCT_ROWS = 50_000
FEWEST_ROWS = 40  # training rows that it takes to call a column an identifier or a leak
IDENTIFIER_SPAN = 3  # whole numbers that are all different and fill a third of their range count the rows
MLFLOW_TYPES: dict[FeatureType, MLflowType] = {
    "number": "double",
    "boolean": "boolean",
    "category": "string",
    "date": "datetime",
}


@dataclass(frozen=True)
class Column:
    """One column, as the training rows show it.

    Attributes
    ----------
    name, type : str
        Its name, and its type in the file.
    kind : str
        ``number``, ``boolean``, ``category``, ``date``, or ``other`` for types that no model takes.
    missing : float
        Share of the training rows without a value, in [0, 1].
    distinct : int
        Number of different values; of fractions, among the first 50,000.
    example : str
        One value.
    left_out : str
        Why the column is no feature; empty if it is one.
    feature : Feature or None
        The column as the model's contract has it; None if it is left out.
    """

    name: str
    type: str
    kind: FeatureType | Literal["other"]
    missing: float
    distinct: int
    example: str
    left_out: str = ""
    feature: Feature | None = None


def study_columns(table: Table, train: Part, *, task: Task) -> list[Column]:
    """Look at each column that may become a feature, on the training rows alone.

    Raises
    ------
    DataError
        If no column is left.
    """
    columns = [_study(table, name, train) for name in table.features]
    if not table.chosen:
        columns = [_find_leak(column, train, task) for column in columns]
    if not any(column.feature for column in columns):
        reasons = "; ".join(f"{column.name}: {column.left_out}" for column in columns[:5])
        raise DataError(f"No column of {table.name!r} can be used ({reasons}). Name the ones to use as features.")
    return columns


def list_features(columns: list[Column]) -> list[Feature]:
    """Return the features of a model's contract."""
    return [column.feature for column in columns if column.feature]


def tabulate_columns(columns: list[Column]) -> pd.DataFrame:
    """Return the columns as a table to look at."""
    rows = {
        column.name: {
            "type": column.type,
            "used as": "left out" if column.left_out else _describe(column),
            "missing": f"{column.missing:.1%}",
            "distinct": column.distinct,
            "example": column.example,
            "why left out": column.left_out,
        }
        for column in columns
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("column (training rows)")


def _study(table: Table, name: str, train: Part) -> Column:
    whole = table.data.column(name)
    values = whole.take(pa.array(train.rows))
    kind = _find_kind(whole.type)
    known = values.drop_null() if kind != "other" else values
    if pa.types.is_floating(known.type):
        known = known.filter(pc.invert(pc.is_nan(known)))
    distinct = _count_distinct(known, kind)
    example = "" if not len(known) or kind == "other" else str(known[0].as_py())[:40]
    missing = 1 - len(known) / max(len(values), 1)
    column = Column(name, str(whole.type), kind, missing, distinct, example)
    left_out = _find_reason(column, known, chosen=table.chosen)
    if left_out:
        return replace(column, left_out=left_out)
    return replace(column, feature=_make_feature(table, column, whole, known))


def _count_distinct(known: pa.ChunkedArray, kind: str) -> int:
    """Return the number of different values; of fractions in a long column, of as many as it takes to see that they differ."""
    if kind == "other":
        return 0
    shown = known.slice(0, DISTINCT_ROWS) if pa.types.is_floating(known.type) else known
    distinct = len(shown.unique())
    return distinct if distinct > 1 or len(shown) == len(known) else len(known.unique())


def _find_kind(kind: pa.DataType) -> FeatureType | Literal["other"]:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return "category"
    return "date" if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else "other"


def _find_reason(column: Column, known: pa.ChunkedArray, *, chosen: bool) -> str:
    """Say why a column cannot be a feature, or nothing if it can."""
    if column.kind == "other":
        return f"the type {column.type} is nothing that a tree can split"
    if column.distinct == 0:
        return "empty in the training rows"
    if chosen:
        return ""
    if column.distinct == 1:
        return "one value only"
    if column.kind == "category" and column.distinct > len(known) / 2 and len(known) >= FEWEST_ROWS:
        every = column.distinct == len(known)
        return f"{'an' if every else 'nearly an'} identifier: {column.distinct} values in {len(known)} rows"
    if pa.types.is_integer(known.type) and column.distinct == len(known) >= FEWEST_ROWS:
        span = pc.min_max(known)
        if span["max"].as_py() - span["min"].as_py() < IDENTIFIER_SPAN * len(known):
            return "an identifier: it counts the rows"
    return ""


def _make_feature(table: Table, column: Column, whole: pa.ChunkedArray, known: pa.ChunkedArray) -> Feature:
    assert column.kind != "other"
    # Missing values in any row decide how pandas holds the column, and so its MLflow type; nothing is learned from them.
    has_missing = whole.null_count > 0 or (pa.types.is_floating(whole.type) and bool(pc.any(pc.is_nan(whole)).as_py()))
    zoned = pa.types.is_timestamp(whole.type) and whole.type.tz is not None
    mlflow_type = MLFLOW_TYPES[column.kind]
    if pa.types.is_integer(whole.type) and not has_missing:
        mlflow_type = "long"
    # MLflow's booleans have no missing values and its dates no zone; a reader of the same CSV file gets dates as text.
    if (column.kind == "boolean" and has_missing) or (column.kind == "date" and (table.from_text or zoned)):
        mlflow_type = "string"
    feature = Feature(column.name, column.kind, mlflow_type, optional=column.missing > 0)
    if column.kind == "category":
        values = known.cast(known.type.value_type) if pa.types.is_dictionary(known.type) else known
        return replace(
            feature, categories=tuple(sorted(str(value) for value in values.unique().to_pylist() if value is not None))
        )
    return replace(feature, parts=_find_parts(known, feature)) if column.kind == "date" else feature


def _find_parts(known: pa.ChunkedArray, feature: Feature) -> tuple[str, ...]:
    """Return the parts of dates that vary; of a single date, its days."""
    parts = encode_date(pd.Series(known.to_pandas()), replace(feature, parts=tuple(DATE_PARTS)))
    varies = (parts != parts[0]).any(axis=0)
    return tuple(part for part, differs in zip(DATE_PARTS, varies, strict=True) if differs) or ("days",)


def _find_leak(column: Column, train: Part, task: Task) -> Column:
    """Leave a column out that tells the target almost alone, as a tree shows that learns from half of some rows."""
    step = max(1, len(train) // LEAK_ROWS)
    if column.feature is None or len(train) < FEWEST_ROWS:
        return column
    frame = pd.concat(train.table.batches([column.name], train.rows[::step]), ignore_index=True)
    encoded = ENCODERS[column.feature.type](frame[column.name], column.feature)
    inputs = np.nan_to_num(encoded.reshape(len(frame), -1), nan=-1e30)
    target = train.target.iloc[::step].to_numpy()
    tree = DecisionTreeRegressor(random_state=0) if task == "regression" else DecisionTreeClassifier(random_state=0)
    score = r2_score if task == "regression" else balanced_accuracy_score
    if task == "classification":
        target = pd.factorize(target)[0]
    order = np.random.default_rng(0).permutation(len(target))
    learn, look = order[::2], order[1::2]
    if task == "classification" and set(target[look]) - set(target[learn]):
        return column
    found, name = score(target[look], tree.fit(inputs[learn], target[learn]).predict(inputs[look])), "balanced accuracy"
    if task == "regression":
        order_kept = abs(float(pd.Series(inputs[:, 0]).corr(pd.Series(target), method="spearman")))
        found, name = (order_kept, "rank correlation") if order_kept > found else (found, "R²")
    if not found >= LEAK_SCORE:
        return column
    reason = f"gives the target away: alone it reaches a {name} of {found:.3f}"
    return replace(column, left_out=f"{reason}. Name it in features to use it", feature=None)


def _describe(column: Column) -> str:
    assert column.feature is not None
    if column.kind == "date":
        return f"date: {', '.join(column.feature.parts)}"
    return f"category ({len(column.feature.categories)})" if column.kind == "category" else column.kind
