"""Score a file of rows: the same rows, in the same order, with predictions added.

:mod:`boostlab.scoring.stream` reads and writes the files; :mod:`boostlab.scoring.drift` compares the rows with the test rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from boostlab.data.files import find_files, is_text, read_names
from boostlab.display.progress import RowProgress
from boostlab.errors import DataError
from boostlab.models.contract import Contract, Feature
from boostlab.models.loading import check_model, fetch_version, load_version
from boostlab.registry.view import choose_version
from boostlab.scoring.drift import Drift
from boostlab.scoring.settings import Score
from boostlab.scoring.stream import read_chunks, to_signed_frame, write_whole
from boostlab.training.holdout import fetch_rows

if TYPE_CHECKING:
    from mlflow import MlflowClient

SHOWN_ROWS = 5


@dataclass(frozen=True)
class Scored:
    """What was written.

    Attributes
    ----------
    path : pathlib.Path
    rows : int
    columns : list of str
        The columns that were added.
    head : DataFrame
        The first rows of the output.
    """

    path: Path
    rows: int
    columns: list[str]
    head: pd.DataFrame


@dataclass(frozen=True)
class Scorer:
    """A version that scores, with what it was tested on."""

    model: Any
    features: Sequence[Feature]
    labels: Sequence[Any]
    reference: pd.DataFrame
    version: int
    stage: str


def choose_scorer(client: MlflowClient, settings: Score) -> Scorer:
    """Return the version that is in a stage, or the one that is named, loaded.

    Raises
    ------
    LabError
        If there is none, its files are gone, or its training kept no rows.
    """
    version = choose_version(client, settings.model, stage=settings.stage, number=settings.version)  # type: ignore[arg-type]
    folder = fetch_version(client, settings.model, version.number)
    check_model(folder)
    contract = Contract.read_model(folder)
    if settings.probabilities and not contract.labels:
        raise DataError(f"{settings.model} is a regression model: it has no probabilities. Leave the parameter out.")
    return Scorer(
        model=load_version(client, settings.model, version.number),
        features=contract.features,
        labels=contract.labels,
        reference=fetch_rows(client, version.run_id).frame,
        version=version.number,
        stage=version.stage,
    )


def score(scorer: Scorer, settings: Score, *, compared: Drift, progress: RowProgress) -> Scored:
    """Score a file as the notebook's parameters say, comparing its rows and showing how far it got."""

    def watch(frame: pd.DataFrame) -> None:
        compared.add(frame)
        progress.add(len(frame))

    labels = scorer.labels if settings.probabilities else ()
    output = name_output(settings.rows, settings.output)
    options = {"labels": labels, "chunk_rows": settings.chunk_rows, "watch": watch}
    return score_file(scorer.model, scorer.features, settings.rows, output, **options)  # type: ignore[arg-type]


def describe_outcome(scored: Scored | None, scorer: Scorer | None) -> str:
    """Sum up in a sentence."""
    if scored is None or scorer is None:
        return "Nothing was scored: these models there are. Add `-p model NAME -p rows FILE`."
    added = ", ".join(f"`{name}`" for name in scored.columns[:4]) + (" …" if len(scored.columns) > 4 else "")
    return f"{scored.rows:,} rows with {added} are in `{scored.path}`, scored by version {scorer.version}."


def name_output(rows: str, output: str) -> Path:
    """Return the file to write: the one that is asked for, or one beside the input."""
    if output:
        return Path(output).expanduser().resolve()
    first = find_files(rows)[0].resolve()
    ending = ".csv" if is_text(first) else ".parquet"
    return first.with_name(first.name.partition(".")[0] + "-scored" + ending)


def score_file(
    model: Any,
    features: Sequence[Feature],
    rows: str,
    output: Path,
    *,
    labels: Sequence[Any] = (),
    chunk_rows: int,
    watch: Callable[[pd.DataFrame], None],
) -> Scored:
    """Write a file's rows with the model's predictions.

    Parameters
    ----------
    model : mlflow.pyfunc.PyFuncModel
    features : sequence of Feature
        The model's contract.
    rows : str
        A ``.csv``, ``.csv.gz`` or ``.parquet`` file, a folder of Parquet files, or a glob.
    output : pathlib.Path
        ``.csv`` or ``.parquet``.
    labels : sequence
        Classes of which the probabilities are wanted; empty: the prediction alone.
    chunk_rows : int
        Most rows in memory at a time.
    watch : callable
        Is given the features of each chunk, as the model sees them.

    Raises
    ------
    DataError
        If the input cannot be read, lacks a column that the model needs, or holds a value that it does not take; if the
        output cannot be written.
    """
    paths = find_files(rows)
    if output in [path.resolve() for path in paths]:
        raise DataError(f"{output} is the input. Name another file to write: -p output FILE.")
    names = read_names(paths)
    missing = [item.name for item in features if item.name not in names and not item.optional]
    if missing:
        raise DataError(f"{rows} lacks columns that the model needs: {', '.join(missing)}. It has: {', '.join(names)}.")
    known = [item for item in features if item.name in names]
    added = _name_columns(names, labels)
    count, head = 0, pd.DataFrame()
    with write_whole(output) as write:
        for chunk in read_chunks(paths, known, chunk_rows):
            frame = to_signed_frame(chunk, known, first_row=count + 1)
            watch(frame)
            whole = _append(chunk, added, _predict(model, frame, labels, first_row=count + 1))
            write(whole)
            head = whole.slice(0, SHOWN_ROWS).to_pandas() if not count else head
            count += chunk.num_rows
    return Scored(output, count, added, head)


def _predict(model: Any, frame: pd.DataFrame, labels: Sequence[Any], *, first_row: int) -> list[np.ndarray[Any, Any]]:
    """Return the columns that are added."""
    try:
        if labels:
            likely = model.predict(frame, params={"probabilities": True}).to_numpy()
            return [np.asarray(labels, object)[likely.argmax(axis=1)], *likely.T]
        return [np.asarray(model.predict(frame))]
    except Exception as error:  # MLflow's enforcement and the model raise whatever they like
        raise DataError(f"The model does not take rows {first_row} to {first_row + len(frame) - 1}: {error}") from None


def _append(chunk: pa.Table, names: Sequence[str], columns: Sequence[np.ndarray[Any, Any]]) -> pa.Table:
    for name, values in zip(names, columns, strict=True):
        chunk = chunk.append_column(name, pa.array(values.tolist()))
    return chunk


def _name_columns(taken: Sequence[str], labels: Sequence[Any]) -> list[str]:
    names: list[str] = []
    for name in ["prediction", *(f"probability of {label}" for label in labels)]:
        while name in (*taken, *names):
            name += "_"
        names.append(name)
    return names
