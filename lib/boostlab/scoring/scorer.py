"""Scoring of a file: the same rows in the same order, with predictions added.

:mod:`boostlab.scoring.chunks` scores the rows, :mod:`boostlab.scoring.output` writes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from boostlab.data.contents import identify_files, read_stamps
from boostlab.data.drift import Drift
from boostlab.data.reading import Source
from boostlab.data.selection import Selection
from boostlab.data.settings import ReadSettings
from boostlab.data.sources import open_source
from boostlab.errors import DataError
from boostlab.models.contract import Contract
from boostlab.models.predictor import Predictor
from boostlab.scoring.chunks import Chunk, ChunkScorer, Scores, study_features
from boostlab.scoring.kept_scores import KeptScores, keep_scores
from boostlab.scoring.output import check_output, write_chunks
from boostlab.scoring.reasons import name_reasons
from boostlab.scoring.window import score_in_order

SHOWN_ROWS = 5
MOST_THREADS = 4  # chunks that are scored at a time
Score = Callable[[ChunkScorer, Iterable[Chunk], KeptScores], Iterator[tuple[Chunk, Scores]]]


@dataclass(frozen=True)
class Scored:
    """An output file: its number of rows, the added columns, and its first rows."""

    path: Path
    rows: int
    columns: list[str]
    head: pd.DataFrame
    rows_not_selected: int = 0  #: that do not meet `where`
    rows_kept: int = 0  #: that an interrupted scoring of the same file had scored


def score_here(model: Any, scorer: ChunkScorer, chunks: Iterable[Chunk], kept: KeptScores) -> Iterator[tuple[Chunk, Scores]]:
    """Yield each chunk with its scores, in order.

    Chunks are scored side by side, while this thread reads and writes others: only the prediction itself uses all cores.

    Parameters
    ----------
    model : Predictor, or mlflow.pyfunc.PyFuncModel
        The latter scores one chunk at a time, in this thread: its own code may not work in others.
    """
    if not isinstance(model, Predictor):
        yield from score_in_order(
            chunks, kept, begin=lambda _: None, finish=lambda chunk, _: scorer.score(model, chunk), most=lambda: 0
        )
        return
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="boostlab-score")
    try:
        yield from score_in_order(
            chunks,
            kept,
            begin=lambda chunk: pool.submit(scorer.score, model, chunk),
            finish=lambda _, scores: scores.result(),
            most=lambda: threads,
        )
    finally:
        pool.shutdown(cancel_futures=True)


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
    drift: Drift | None = None,
    score: Score | None = None,
    identity: str = "",
    watch: Callable[[int], object] = bool,
) -> Scored:
    """Write a file's rows with the model's predictions, completely or not at all.

    Parameters
    ----------
    model : Predictor, or mlflow.pyfunc.PyFuncModel
    rows : str
        A ``.csv``, ``.csv.gz`` or ``.parquet`` file, a folder of Parquet files, a glob, or a query.
    output : pathlib.Path
        A ``.csv`` or ``.parquet`` file.
    probabilities : bool
        Whether to add the probability of each class.
    reasons : int
        How many columns with the largest contributions to add for each row (:func:`~boostlab.scoring.reasons.find_reasons`).
    chunk_rows : int
        The largest number of rows of a chunk.
    read : mapping, optional
        How to read a CSV file (:class:`~boostlab.data.settings.ReadSettings`).
    where : str
        The condition that rows meet to be scored (:mod:`~boostlab.data.where`); empty: all rows.
    connection : str
        The address of the PostgreSQL database that answers a query; empty: DuckDB does.
    drift : Drift, optional
        Gets the counts of these rows; it forgets others.
    score : callable, optional
        Scores chunks elsewhere, such as :func:`~boostlab.scoring.workers.score_on_workers`; None: the model does, here.
    identity : str
        What tells the model from others: an interrupted scoring goes on if it is the same, and so are the files and all that is
        given here. Empty: it begins anew.
    watch : callable
        Receives the number of rows that were scored meanwhile.

    Raises
    ------
    DataError
        If the input cannot be read, lacks a required column, or has a value that the model does not take; or if the output
        cannot be written.
    """
    source = open_source(rows, ReadSettings(**(read or {})), where=Selection(where, can_state_types=False), connection=connection)
    before, files = read_stamps(source.files), identify_files(source.files)  # before the first row is looked at
    if not source.is_text:
        source = replace(source, in_pieces=True)  # Arrow's scanner reads up to 1 GB ahead of a slow reader
    check_output(output, rows, source)
    names = source.names
    missing = [item.name for item in contract.features if item.name not in names and not item.optional]
    if missing:
        raise DataError(f"{rows} lacks columns that the model needs: {', '.join(missing)}. It has: {', '.join(names)}.")
    features = [item for item in contract.features if item.name in names]
    labels = contract.labels if probabilities else ()
    answered = contract.answer_names or ["prediction", *(f"probability of {label}" for label in labels)]
    added = _name_columns(names, answered + name_reasons(reasons))
    typed: list[str] = []  # the columns of a CSV file that a Parquet file gets with their types
    if source.is_text:
        study_features(source, features)
        if output.suffix != ".csv":
            typed = list(names)
            source.study({name: None for name in names if name not in source.readings}, strict=False)
    scorer = ChunkScorer(source.parser, contract, tuple(features), tuple(added), probabilities, reasons, drift)
    work = [identity, files, drift and drift.identity, chunk_rows, probabilities, reasons, dict(read or {}), where]
    if drift:
        drift.clear()
    count = kept_count = 0
    head = pd.DataFrame()
    with ExitStack() as stack:
        kept = stack.enter_context(keep_scores(output, work if identity and files else None))
        write = stack.enter_context(write_chunks(output, source.separator))
        for chunk, scores in (score or partial(score_here, model))(scorer, _read_chunks(source, chunk_rows), kept):
            kept.add(chunk, scores)
            scored = _join(source, chunk, scores, typed=typed, is_text=output.suffix == ".csv")
            write(scored)
            if drift and scores.counts:
                drift.add(scores.counts)
            head = scored.slice(0, SHOWN_ROWS).to_pandas() if not count else head
            count += scored.num_rows
            kept_count += scored.num_rows if scores.is_kept else 0
            watch(scored.num_rows)
        source.refuse_changes(before)
        left_out = source.count_not_selected(count)
        if left_out and not count:
            raise DataError(
                f"where = {where!r}: none of the {left_out:,} rows of {rows} meets it. Correct it, or leave it empty."
            )
    return Scored(output, count, added, head, left_out, kept_count)


def _read_chunks(source: Source, chunk_rows: int) -> Iterator[Chunk]:
    first_row = 1
    for rows in filter(len, map(source.select, source.batches(source.all_names, chunk_rows))):
        yield Chunk(rows, first_row)
        first_row += rows.num_rows


def _join(source: Source, chunk: Chunk, scores: Scores, *, typed: Sequence[str], is_text: bool) -> pa.Table:
    """Return the rows of the output: those of a chunk, some columns with their types, and the scores."""
    table = chunk.rows
    for name in typed:
        table = table.set_column(table.column_names.index(name), name, source.parser.parse(table.column(name), name))
    for name, values in zip(scores.columns.column_names, scores.columns.columns, strict=True):
        if is_text and source.decimal == "," and pa.types.is_floating(values.type):
            values = pa.array([repr(value).replace(".", ",") for value in values.to_pylist()])
        table = table.append_column(name, values)
    return table


def _name_columns(taken: Sequence[str], answers: Sequence[str]) -> list[str]:
    names: list[str] = []
    for name in answers:
        while name in (*taken, *names):
            name += "_"
        names.append(name)
    return names
