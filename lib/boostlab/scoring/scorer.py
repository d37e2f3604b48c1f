"""Scoring of a file: the same rows in the same order, with predictions added.

:mod:`boostlab.scoring.stream` reads and writes the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from boostlab.data.files import find_files
from boostlab.data.locations import is_local, is_query
from boostlab.data.reading import Source
from boostlab.data.selection import Selection
from boostlab.data.settings import ReadSettings
from boostlab.data.sources import open_source
from boostlab.errors import DataError
from boostlab.models.answers import choose_labels
from boostlab.models.contract import Contract
from boostlab.models.conversion import ConversionError
from boostlab.scoring.reasons import find_reasons, name_reasons
from boostlab.scoring.stream import convert_chunk, study_features, write_chunks

SHOWN_ROWS = 5


@dataclass(frozen=True)
class Scored:
    """An output file: its number of rows, the added columns, and its first rows."""

    path: Path
    rows: int
    columns: list[str]
    head: pd.DataFrame
    rows_left_out: int = 0  #: that do not meet `where`


def name_output(rows: str, output: str) -> Path:
    """Return the path of the output: the given one, or ``<rows>-scored`` beside the input.

    Raises
    ------
    DataError
        If there is no input, or it is a glob that would find the output the next time.
    """
    if output:
        return Path(output).expanduser().resolve()
    given = Path(rows).expanduser().resolve()
    if given.is_dir():
        return given.with_name(f"{given.name}-scored.parquet")
    first = find_files(rows)[0]
    assert first.local_path, "the settings ask for an output if the rows are elsewhere"
    chosen = first.local_path.with_name(f"{first.name.partition('.')[0]}-scored{'.csv' if first.is_text else '.parquet'}")
    if not given.exists() and fnmatch(str(chosen), str(given)):
        raise DataError(f"{rows} would find its own output {chosen.name} the next time. Name another file: -p output FILE.")
    return chosen


def _check_output(output: Path, rows: str, source: Source) -> None:
    """Refuse an output that replaces the input, or becomes a part of it."""
    if output in [file.local_path for file in source.files]:
        raise DataError(f"{output} is the input. Name another file to write: -p output FILE.")
    if is_local(rows) and (folder := Path(rows).expanduser().resolve()).is_dir() and output.is_relative_to(folder):
        raise DataError(f"{output} is in the folder of the input, and would be a part of it. Name another file: -p output FILE.")
    if is_query(rows) and output.exists() and output.name in rows:
        raise DataError(f"{output} is there, and the query names it. Name another file to write: -p output FILE.")


def score_file(
    model: Any,
    contract: Contract,
    *,
    rows: str,
    output: Path,
    probabilities: bool = False,
    reasons: int = 0,
    chunk_rows: int = 65_536,
    read: Mapping[str, Any] | None = None,
    where: str = "",
    connection: str = "",
    watch: Callable[[pd.DataFrame], object] = len,
) -> Scored:
    """Write a file's rows with the model's predictions, completely or not at all.

    Parameters
    ----------
    model : mlflow.pyfunc.PyFuncModel
    rows : str
        A ``.csv``, ``.csv.gz`` or ``.parquet`` file, a folder of Parquet files, a glob, or a query.
    output : pathlib.Path
        A ``.csv`` or ``.parquet`` file.
    probabilities : bool
        Whether to add the probability of each class.
    reasons : int
        How many columns with the largest contributions to add for each row (:func:`~boostlab.scoring.reasons.find_reasons`).
    chunk_rows : int
        The largest number of rows in memory at a time.
    read : mapping, optional
        How to read a CSV file (:class:`~boostlab.data.settings.ReadSettings`).
    where : str
        The condition that rows meet to be scored (:mod:`~boostlab.data.where`); empty: all rows.
    connection : str
        The address of the PostgreSQL database that answers a query; empty: DuckDB does.
    watch : callable
        Receives the features of each chunk, with the types of the model's signature.

    Raises
    ------
    DataError
        If the input cannot be read, lacks a required column, or has a value that the model does not take; or if the output
        cannot be written.
    """
    source = open_source(rows, ReadSettings(**(read or {})), where=Selection(where), connection=connection)
    _check_output(output, rows, source)
    names = source.names
    missing = [item.name for item in contract.features if item.name not in names and not item.optional]
    if missing:
        raise DataError(f"{rows} lacks columns that the model needs: {', '.join(missing)}. It has: {', '.join(names)}.")
    features = [item for item in contract.features if item.name in names]
    labels = contract.labels if probabilities else ()
    answered = contract.answer_names or ["prediction", *(f"probability of {label}" for label in labels)]
    added = _name_columns(names, answered + name_reasons(reasons))
    predict = partial(_predict, model, contract=contract, columns=len(answered), probabilities=probabilities)
    count, head = 0, pd.DataFrame()
    typed: list[str] = []  # the columns of a CSV file that a Parquet file gets with their types
    if source.is_text:
        source.study_selection()
        study_features(source, features)
        if output.suffix != ".csv":
            typed = list(names)
            source.study({name: None for name in names if name not in source.readings}, strict=False)
    with write_chunks(output, source.separator) as write:
        for chunk in filter(len, map(source.select, source.batches(source.all_names, chunk_rows))):
            frame = convert_chunk(source, chunk, features, first_row=count + 1)
            watch(frame)
            scored = chunk
            for name in typed:
                scored = scored.set_column(chunk.column_names.index(name), name, source.parse(chunk.column(name), name))
            predicted = predict(frame, first_row=count + 1)
            explained = find_reasons(model, contract, frame, count=reasons) if reasons else []
            for name, values in zip(added, predicted + explained, strict=True):
                answers = pa.array(values.tolist())
                if output.suffix == ".csv" and source.decimal == "," and pa.types.is_floating(answers.type):
                    answers = pa.array([repr(value).replace(".", ",") for value in answers.to_pylist()])
                scored = scored.append_column(name, answers)
            write(scored)
            head = scored.slice(0, SHOWN_ROWS).to_pandas() if not count else head
            count += chunk.num_rows
        left_out = source.count_left_out(count)
        if left_out and not count:
            raise DataError(
                f"where = {where!r}: none of the {left_out:,} rows of {rows} meets it. Correct it, or leave it empty."
            )
    return Scored(output, count, added, head, left_out)


def _predict(
    model: Any, frame: pd.DataFrame, *, contract: Contract, probabilities: bool, columns: int, first_row: int
) -> list[np.ndarray[Any, Any]]:
    """Return the values of the added columns."""
    try:
        if probabilities:
            likely = model.predict(frame, params={"probabilities": True}).to_numpy()
            return [choose_labels(likely, contract), *likely.T]
        answers = np.asarray(model.predict(frame)).reshape(len(frame), -1)
        if answers.shape[1] != columns:
            raise ValueError(f"it answers with {answers.shape[1]} columns instead of {columns}.")
        return list(answers.T)
    except ConversionError as error:
        raise DataError(f"The model does not take a value: {error.at(first_row - 1 + error.row)}") from None
    except Exception as error:  # MLflow's enforcement and the model raise errors of any type
        raise DataError(f"The model does not take rows {first_row} to {first_row + len(frame) - 1}: {error}") from None


def _name_columns(taken: Sequence[str], answers: Sequence[str]) -> list[str]:
    names: list[str] = []
    for name in answers:
        while name in (*taken, *names):
            name += "_"
        names.append(name)
    return names
