"""Profiles of a table's columns: their types, and which of them become features, decided on the training rows alone.

Numbers, booleans, text and categories are used directly, dates as their parts. Columns with a single value, identifiers and
columns that reveal the target are left out with a reason, unless the user named them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from boostlab.data.leaks import find_leaks
from boostlab.data.readings import is_number
from boostlab.data.splits import Part, Split
from boostlab.data.table import Table
from boostlab.data.types import find_type
from boostlab.display import tables
from boostlab.display.numbers import shorten_float
from boostlab.errors import DataError
from boostlab.models.contract import MISSING_MARKERS, NUMERIC_DATES, Feature, FeatureType, MLflowType
from boostlab.models.dates import DATE_PARTS
from boostlab.models.predictor import encode_date

DISTINCT_ROWS = 50_000
FEWEST_ROWS = 40  # fewer training rows are no evidence of an identifier
IDENTIFIER_SPAN = 3  # distinct whole numbers that fill at least a third of their range are row numbers
MOST_SHOWN = 100  # columns in the notebook; the run has all of them
MOST_ODD_TEXTS = 0.1  # of the distinct texts of a column of numbers
MOST_NAMED_TEXTS = 3
LATEST_NANOSECOND = 2**63
WHOLE = re.compile(r"-?(0|[1-9]\d*)")
MLFLOW_TYPES: dict[FeatureType, MLflowType] = {"number": "double", "boolean": "boolean", "category": "string", "date": "datetime"}


@dataclass(frozen=True)
class ColumnProfile:
    """One column, as the training rows show it."""

    name: str
    arrow_type: str
    type: FeatureType | Literal["other"]  #: how a model encodes the column; ``other`` for types that no model takes
    missing: float  #: share of the training rows without a value, in [0, 1]
    distinct: int  #: number of different values; of fractions, among the first 50,000
    example: str
    left_out: str = ""  #: the reason why the column is not a feature; empty if it is one
    feature: Feature | None = None  #: the column in the model's contract; None if it is left out
    finding: str = ""  #: a sentence if the user should know more than the table of columns says

    @property
    def note(self) -> str:
        """Why the column is left out, or what is odd about it."""
        return self.left_out or self.finding.removeprefix(f"{self.name!r}: ")

    @property
    def use(self) -> str:
        """The column's role in the model, in words."""
        if self.feature is None:
            return "left out"
        if self.type == "date":
            return f"date: {', '.join(self.feature.parts)}"
        return f"category ({len(self.feature.categories)})" if self.type == "category" else self.type


@dataclass(frozen=True)
class Columns:
    """The profiles of all columns that may become features, in the table's order."""

    profiles: tuple[ColumnProfile, ...]

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features of the model's contract."""
        return tuple(profile.feature for profile in self.profiles if profile.feature)

    @property
    def left_out(self) -> dict[str, str]:
        """The columns that are no features, each with the reason."""
        return {profile.name: profile.left_out for profile in self.profiles if profile.left_out}

    @property
    def findings(self) -> list[str]:
        """Sentences on columns of which the user should know."""
        return [profile.finding for profile in self.profiles if profile.finding]

    def to_json(self) -> str:
        """Return all profiles as a JSON list."""
        return json.dumps([asdict(profile) for profile in self.profiles], indent=1, default=str)

    def tabulate(self) -> tables.Table:
        """Return the profiles as a table for people; of very many columns, first those that are left out or have a finding."""
        shown = self.profiles
        if len(shown) > MOST_SHOWN:
            shown = tuple(sorted(shown, key=lambda profile: not (profile.left_out or profile.finding)))[:MOST_SHOWN]
        more = f", {len(shown)} of {len(self.profiles)}" if len(shown) < len(self.profiles) else ""
        return tables.Table(
            f"Columns, as the training rows show them{more}",
            ["column", "type", "used as", "missing", "distinct", "example", "why left out, or what is odd"],
            [
                [
                    column.name,
                    column.arrow_type,
                    column.use,
                    f"{column.missing:.1%}",
                    column.distinct,
                    column.example,
                    column.note,
                ]
                for column in shown
            ],
        )


def profile_columns(split: Split) -> Columns:
    """Profile each column that may become a feature, on the training rows alone.

    Raises
    ------
    DataError
        If no column can be used.
    """
    table = split.train.table
    profiles = [_profile(table, name, split.train) for name in table.features]
    profiles = list(_judge_leaks(profiles, table, split.train))
    profiles += [_describe_unusable(name, kind) for name, kind in table.unusable.items()]
    if not any(profile.feature for profile in profiles):
        reasons = "; ".join(f"{profile.name}: {profile.left_out}" for profile in profiles[:5])
        raise DataError(f"No column of {table.name!r} can be used ({reasons}). Name the columns to use in features.")
    return Columns(tuple(profiles))


def _profile(table: Table, name: str, train: Part) -> ColumnProfile:
    whole = table.data.column(name)
    values = whole.take(pa.array(train.rows))
    column_type = find_type(whole.type)
    assert column_type != "other", "the table holds no such column"
    known = values.filter(pc.invert(pc.is_null(values, nan_is_null=True)))
    missing = 1 - len(known) / max(len(values), 1)
    first = known[0].as_py() if len(known) else ""
    example = shorten_float(first) if isinstance(first, float) else str(first)[:40]
    profile = ColumnProfile(name, str(whole.type), column_type, missing, _count_distinct(known), example)
    left_out = _find_reason(profile, known, kept=name in table.kept)
    if left_out:
        return replace(profile, left_out=left_out)
    return replace(profile, feature=_make_feature(table, profile, whole, known), finding=_describe_oddity(profile, known))


def _describe_oddity(column: ColumnProfile, known: pa.ChunkedArray) -> str:
    """Return a sentence on numbers that XGBoost cannot tell apart, and on a few texts that make numbers text."""
    if pa.types.is_integer(known.type):
        apart = len(known.cast(pa.float64(), safe=False).cast(pa.float32(), safe=False).unique())
        if apart < column.distinct:
            return (
                f"{column.name!r}: XGBoost computes with float32, which tells {apart} of its {column.distinct} numbers apart. "
                f"State another type: column_types: {{{column.name}: category}}, or date for times since 1970."
            )
    if column.type == "category" and not pa.types.is_dictionary(known.type):
        texts = known.unique().to_pylist()
        odd = [text for text in texts if not is_number(text)]
        if 0 < len(odd) <= len(texts) * MOST_ODD_TEXTS:
            rows = pc.sum(pc.is_in(known, pa.array(odd, known.type))).as_py()
            named = ", ".join(map(repr, odd[:MOST_NAMED_TEXTS])) + (" …" if len(odd) > MOST_NAMED_TEXTS else "")
            return (
                f"{column.name!r} is text because of {named} in {rows} of {len(known)} rows; its other values are numbers. "
                "If these texts mean a missing value, name them in missing of read."
            )
    return ""


def _describe_unusable(name: str, arrow_type: str) -> ColumnProfile:
    reason = f"no tree can split values of type {arrow_type}"
    return ColumnProfile(name, arrow_type, "other", missing=0, distinct=0, example="", left_out=reason)


def _count_distinct(known: pa.ChunkedArray) -> int:
    """Return the number of different values; of fractions in a long column, among the first 50,000 unless these are all equal."""
    shown = known.slice(0, DISTINCT_ROWS) if pa.types.is_floating(known.type) else known
    distinct = len(shown.unique())
    return distinct if distinct > 1 or len(shown) == len(known) else len(known.unique())


def _find_reason(column: ColumnProfile, known: pa.ChunkedArray, *, kept: bool) -> str:
    """Say why a column cannot be a feature, or nothing if it can."""
    if column.distinct == 0:
        return "empty in the training rows"
    if kept:
        return ""
    if column.distinct == 1 and not column.missing:
        return "one value only"
    if column.type == "category" and column.distinct > len(known) / 2 and len(known) >= FEWEST_ROWS:
        every = column.distinct == len(known)
        return f"{'an' if every else 'nearly an'} identifier: {column.distinct} values in {len(known)} rows"
    if pa.types.is_integer(known.type) and column.distinct == len(known) >= FEWEST_ROWS:
        span = pc.min_max(known)
        if span["max"].as_py() - span["min"].as_py() < IDENTIFIER_SPAN * len(known):
            return "an identifier: it counts the rows"
    return ""


def _make_feature(table: Table, column: ColumnProfile, whole: pa.ChunkedArray, known: pa.ChunkedArray) -> Feature:
    assert column.type != "other"
    form = table.formats.get(column.name, "")
    feature = Feature(
        column.name, column.type, MLFLOW_TYPES[column.type], optional=column.missing > 0, format=form, any_type=True
    )
    if column.type == "number":
        return replace(feature, missing=table.missing, any_type=pa.types.is_integer(whole.type))
    if column.type == "boolean":
        return feature
    if column.type == "date":
        mlflow_type, parts = _find_date_type(table, whole, form), _find_parts(known, feature)
        missing = table.missing if form in NUMERIC_DATES else ()
        return replace(feature, mlflow_type=mlflow_type, parts=parts, missing=missing)
    return _make_category(table, feature, known)


def _find_date_type(table: Table, whole: pa.ChunkedArray, form: str) -> MLflowType:
    """Return the type in MLflow's signature, whose dates have no zone and lie in the years 1677 to 2262."""
    if form in NUMERIC_DATES:
        return "double"
    if table.from_text or form or (pa.types.is_timestamp(whole.type) and whole.type.tz is not None):
        return "string"
    span = pc.min_max(whole.cast(pa.timestamp("s"), safe=False).cast(pa.int64())).as_py()
    return "datetime" if max(-span["min"], span["max"]) < LATEST_NANOSECOND / 1e9 else "string"


def _make_category(table: Table, feature: Feature, known: pa.ChunkedArray) -> Feature:
    """Add the categories: sorted, or in their own order if the column has one. Clients send whole numbers as numbers."""
    if pa.types.is_dictionary(known.type) and known.type.ordered:
        used = set(known.unique().to_pylist())
        order = known.chunk(0).dictionary.to_pylist() if known.num_chunks else []
        return replace(feature, categories=tuple(str(name) for name in order if name in used), ordered=True)
    names = tuple(sorted(map(str, known.unique().to_pylist())))
    whole = feature.format == "number" or (table.from_text and all(WHOLE.fullmatch(name) for name in names))
    if whole and all(abs(int(name)) < 2**53 for name in names):
        feature = replace(feature, mlflow_type="double")
    gaps = [name for name in names if name in MISSING_MARKERS]
    return replace(feature, categories=names, format="", gap=gaps[0] if len(gaps) == 1 and not feature.optional else "")


def _find_parts(known: pa.ChunkedArray, feature: Feature) -> tuple[str, ...]:
    """Return the parts of dates that vary; of a single date, its days."""
    parts = encode_date(pd.Series(known.to_pandas()), replace(feature, parts=tuple(DATE_PARTS)))
    varies = (parts != parts[0]).any(axis=0)
    return tuple(part for part, differs in zip(DATE_PARTS, varies, strict=True) if differs) or ("days",)


def _judge_leaks(columns: list[ColumnProfile], table: Table, train: Part) -> Iterator[ColumnProfile]:
    """Leave columns out that surely reveal the target; where rows are too few to be sure, keep the column and say so."""
    leaks = find_leaks(train, [column.feature for column in columns if column.feature and column.name not in table.kept])
    for column in columns:
        leak, subject = leaks.get(column.name), f"The column {column.name!r}"
        if leak is None:
            yield column
        elif leak.is_sure:
            reason = f"reveals the target: {leak.evidence}. Name it in keep to use it"
            yield replace(column, left_out=reason, finding=f"{subject} is left out: it {reason}.", feature=None)
        else:
            doubt = f"{subject} may reveal the target: {leak.evidence}. Drop it if it is not known before the target."
            yield replace(column, finding=doubt)
