"""Settings of the table and of its split: which data, which columns, which rows to hold out.

This module is read before a kernel starts and therefore imports nothing heavy.
"""

from __future__ import annotations

import codecs
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from boostlab.data.locations import check_connection, check_location, is_query
from boostlab.data.where import parse_condition
from boostlab.errors import suggest
from boostlab.models.contract import FeatureType
from boostlab.notebook.explanation import explain_errors
from boostlab.notebook.settings import Settings

Dataset = Literal["breast_cancer", "diabetes", "digits", "iris", "wine"]  # the data sets that ship with scikit-learn
Memory = Literal["auto", "internal", "external"]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(gt=0, lt=1)]


def _find_dataset(name: str) -> str:
    """Refuse a name that is neither a data set nor a location of a table, before anything runs."""
    return check_location(name, known=get_args(Dataset))


class ReadSettings(Settings):
    """How to read a table: a limit, and how a CSV file is written. What is not stated is found from the file."""

    separator: Annotated[str, Field(min_length=1, max_length=1, description="one character")] | None = None
    decimal: Literal[".", ","] | None = None
    encoding: str | None = None
    missing: list[str] = Field(default_factory=list)  #: texts that mean a missing value in every column, besides an empty field
    day_first: bool | None = None  #: whether 1/2/2026 is the first of February
    max_gb: Annotated[float, Field(gt=0)] | None = (
        None  #: most memory for a table, or content of a .gz file; None: half the memory
    )

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, name: str | None) -> str | None:
        try:
            return name and codecs.lookup(name).name
        except LookupError:
            raise ValueError(f"{name!r} is no encoding. Common ones are utf-8, cp1252, latin-1 and utf-16.") from None


def _check_read(values: dict[str, Any]) -> dict[str, Any]:
    unknown = [name for name in values if name not in ReadSettings.model_fields]
    if unknown:
        known = list(ReadSettings.model_fields)
        raise ValueError(f"{unknown[0]!r} is not one of {', '.join(known)}.{suggest(unknown[0], known)}")
    try:
        ReadSettings(**values)
    except ValidationError as error:
        raise ValueError(explain_errors(ReadSettings, error)) from None
    return values


Read = Annotated[dict[str, Any], AfterValidator(_check_read)]


def _check_gap(text: str) -> str:
    """Refuse a gap that is neither a number nor a duration, or that is negative."""
    if text:
        from boostlab.data.times import is_gap  # loads pandas, which only a gap needs

        if not is_gap(text):
            raise ValueError("neither a duration of at least zero, such as '7 days' or '12h', nor, for numeric times, a number.")
    return text


def _check_where(text: str) -> str:
    if text.strip():
        parse_condition(text)
    return text


def _find_test_table(name: str) -> str:
    if name in get_args(Dataset):
        raise ValueError("a data set of scikit-learn. It takes a table of your own, with the columns of the training table.")
    return _find_dataset(name) if name else name


Where = Annotated[
    str, Field(max_length=6000, description="a condition of at most 6,000 characters"), AfterValidator(_check_where)
]


Connection = Annotated[str, AfterValidator(check_connection)]


class TableSettings(Settings):
    """Which table to read, and the roles of its columns."""

    dataset: Annotated[str, AfterValidator(_find_dataset)]
    target: str
    features: list[str]
    drop: list[str]
    sample_weight: str
    group: str
    time: str
    task: Literal["auto", "regression", "classification"]
    read: Read = Field(default_factory=dict)
    column_types: dict[str, FeatureType] = Field(default_factory=dict)
    keep: list[str] = Field(default_factory=list)
    test_dataset: Annotated[str, AfterValidator(_find_test_table)] = ""
    where: Where = ""
    connection: Connection = ""

    @property
    def requested_task(self) -> Literal["auto", "regression", "classification"]:
        """The requested task; a notebook whose other parameters imply one overrides this."""
        return self.task

    @property
    def requested_memory(self) -> Memory:
        """Where the rows shall be; a notebook that can learn from rows on disk overrides this."""
        return "internal"

    @model_validator(mode="after")
    def _connection_belongs_to_a_query(self) -> Self:
        if self.connection and not (is_query(self.dataset) or is_query(self.test_dataset)):
            raise ValueError(
                f"connection is for a query, and {self.dataset} is none: write dataset as sql:SELECT …, or leave it empty."
            )
        return self

    @model_validator(mode="after")
    def _columns_have_one_role(self) -> Self:
        if self.dataset in get_args(Dataset):
            given = [name for name in ("target", "sample_weight", "group", "time", "test_dataset") if getattr(self, name)]
            if given:
                raise ValueError(f"{' and '.join(given)} is for tables of your own: {self.dataset} has its target.")
        elif not self.target:
            raise ValueError(f"{self.dataset} needs a target: name the column to predict, as -p target NAME.")
        twice = [name for name in (self.target, self.sample_weight) if name and name in [*self.features, *self.drop]]
        if twice:
            raise ValueError(f"{twice[0]!r} is the target or the weight: leave it out of features and drop.")
        return self


Folds = Annotated[int, Field(ge=0, le=1000)]


class SplitSettings(Settings):
    """How rows are divided into the training, validation and test parts."""

    split: Literal["random", "time"]
    stratify: bool
    test_size: Share
    valid_size: Share
    split_seed: Seed = 0
    time_gap: Annotated[str, AfterValidator(_check_gap)] = ""
    duplicates: Literal["together", "apart"] = "together"

    @model_validator(mode="after")
    def _gap_belongs_to_times(self) -> Self:
        if self.time_gap and self.split != "time":
            raise ValueError("time_gap is for a split by time: set split to time, or leave time_gap empty.")
        return self

    @model_validator(mode="after")
    def _training_part_has_rows(self) -> Self:
        if round(1 - self.test_size - self.valid_size, 9) <= 0:
            raise ValueError(
                f"test_size = {self.test_size:g} and valid_size = {self.valid_size:g} leave no rows for training. "
                "Both are fractions of all rows: choose them so that their sum is below 1."
            )
        return self


class FoldSettings(SplitSettings):
    """How rows are divided into folds for cross-validation."""

    folds: Folds = 0
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1

    @model_validator(mode="after")
    def _folds_can_be_drawn(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds = 1 leaves no rows to learn from. Allowed: 0 (no cross-validation), or 2 and more.")
        if self.repeats > 1 and not self.folds:
            raise ValueError(f"repeats = {self.repeats} is for cross-validation: set folds too, as -p folds 5.")
        if self.repeats > 1 and self.split == "time":
            raise ValueError(
                f"repeats = {self.repeats} does not fit split: time, whose folds are cut and not drawn. Set it to 1."
            )
        return self
