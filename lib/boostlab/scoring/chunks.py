"""Chunks of rows, and their scores: what a scored file gets besides its own columns, and what the drift counts.

A :class:`ChunkScorer` is a value: it scores here, or on a worker that it was sent to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from boostlab.data.drift import Counts, Drift
from boostlab.data.parsing import Parser
from boostlab.data.reading import Source
from boostlab.errors import DataError, RowError
from boostlab.models.answers import choose_labels
from boostlab.models.contract import Contract, Feature, FeatureType
from boostlab.models.conversion import ConversionError
from boostlab.models.signature import cast_to_signature
from boostlab.scoring.reasons import find_reasons, name_reasons


@dataclass(frozen=True)
class Chunk:
    """Rows of a file as they are there."""

    rows: pa.Table
    first_row: int  #: its number in the output, from 1

    @property
    def place(self) -> str:
        """The rows in words, such as ``rows 1 to 100``."""
        return f"rows {self.first_row} to {self.first_row + self.rows.num_rows - 1}"


@dataclass(frozen=True)
class Scores:
    """The scores of a chunk."""

    columns: pa.Table  #: that the output gets besides those of the input
    counts: Counts | None  #: for the drift, if it is measured
    is_kept: bool = False  #: whether an earlier scoring of the same file made them


@dataclass(frozen=True)
class ChunkScorer:
    """How each chunk of a file is scored."""

    parser: Parser
    contract: Contract
    features: tuple[Feature, ...]  #: that the file has
    columns: tuple[str, ...]  #: the names of the columns of the scores
    probabilities: bool
    reasons: int
    drift: Drift | None  #: counts the rows

    def score(self, model: Any, chunk: Chunk) -> Scores:
        """Return the scores of a chunk.

        Parameters
        ----------
        model : mlflow.pyfunc.PyFuncModel or Predictor

        Raises
        ------
        RowError
            If a row has a value that the model does not take.
        DataError
            If the memory is too small.
        """
        frame = convert_chunk(self.parser, chunk, self.features)
        values = self._predict(model, frame, chunk)
        values += find_reasons(model, self.contract, frame, count=self.reasons) if self.reasons else []
        table = pa.table({name: pa.array(each.tolist()) for name, each in zip(self.columns, values, strict=True)})
        return Scores(table, self.drift.count(frame) if self.drift else None)

    def _predict(self, model: Any, frame: pd.DataFrame, chunk: Chunk) -> list[np.ndarray[Any, Any]]:
        """Return the predictions, and the probabilities if they are wanted: an array for each column."""
        try:
            if self.probabilities:
                likely = model.predict(frame, params={"probabilities": True}).to_numpy()
                return [choose_labels(likely, self.contract), *likely.T]
            answers = np.asarray(model.predict(frame)).reshape(len(frame), -1)
            count = len(self.columns) - len(name_reasons(self.reasons))
            if answers.shape[1] != count:
                raise ValueError(f"it answers with {answers.shape[1]} columns instead of {count}.")
            return list(answers.T)
        except ConversionError as error:
            raise RowError(f"The model does not take a value: {error.at(chunk.first_row - 1 + error.row)}") from None
        except Exception as error:  # MLflow's enforcement and the model raise errors of any type
            if isinstance(error, MemoryError) or "bad_alloc" in str(error):
                raise DataError(f"The memory is too small for {chunk.place}. Try a smaller chunk_rows.") from None
            raise RowError(f"The model does not take {chunk.place}: {error}") from None


def study_features(source: Source, features: Sequence[Feature]) -> None:
    """Find how the features, and the columns of the selection, are written in CSV files, from all rows.

    Raises
    ------
    DataError
        If a value does not have its column's type, or a column has two readings.
    """
    wanted: dict[str, FeatureType | None] = {}
    for feature in features:
        number = feature.mlflow_type in ("double", "long")
        kind: FeatureType | None = None if feature.type == "category" else "number"  # an unknown category may be a text
        wanted[feature.name] = kind if number else "category" if feature.type == "boolean" else feature.type
    formats = {feature.name: feature.format for feature in features}
    # numbers and truth values are read as they are written, because the condition may compare them with either
    stated = {feature.name: feature.type for feature in features if feature.type in ("category", "date")}
    source.study_selection(stated, formats=formats)
    source.study(wanted, formats=formats)


def convert_chunk(parser: Parser, chunk: Chunk, features: Sequence[Feature]) -> pd.DataFrame:
    """Return the features of a chunk with the types of the model's signature.

    Raises
    ------
    RowError
        If a value does not have its column's type.
    """
    columns = {}
    for feature in features:
        values = parser.parse(chunk.rows.column(feature.name), feature.name)
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        try:
            columns[feature.name] = cast_to_signature(cast("pd.Series", values.to_pandas()), feature)
        except (ValueError, TypeError) as error:
            raise RowError(
                f"The column {feature.name!r} is not what the model takes ({feature.mlflow_type}) in {chunk.place}: {error}"
            ) from None
    return pd.DataFrame(columns)
