"""Chunks scored on the workers of a Dask cluster, and their scores in the order of the rows.

The notebook's process reads the rows and writes the file. The workers convert the values, predict, explain and count. They need
no access to the file, to the model or to the store. What a worker had when it is lost, another one does again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import dask
import pyarrow as pa
import xgboost as xgb
from distributed import Client, Future, KilledWorker
from distributed.client import ClosedClientError

from boostlab.cluster import Members, check_versions, connect, count_cores, list_workers, read_versions
from boostlab.data.drift import Counts
from boostlab.errors import LabError
from boostlab.models.contract import BOOSTER_FILE, MODEL_DATA
from boostlab.scoring.chunks import Chunk, ChunkScorer, Scores
from boostlab.scoring.kept_scores import KeptScores
from boostlab.scoring.window import score_in_order

if TYPE_CHECKING:
    from boostlab.models.predictor import Predictor

CHECK_S = 1.0  # between two looks at the workers while one is waited for
MEET_S = 30.0  # for a worker to come back when there is none
AHEAD = 2  # chunks for each thread of the workers that are read before their scores are written
Answer: TypeAlias = "tuple[bytes, Counts | None, dict[str, str]]"  # the scores, the counts, the versions of the worker
Result: TypeAlias = "Future[Answer]"
REMEDY = "Run the same command again: it goes on from the rows that were scored."


@dataclass(frozen=True)
class Task:
    """What all chunks of one scoring have in common; each worker gets it once."""

    booster: bytes  #: that this process has checked and loaded
    scorer: ChunkScorer

    @cached_property
    def predictor(self) -> Predictor:
        """The predictor, which each worker loads once."""
        from boostlab.models.predictor import Predictor

        return Predictor(xgb.Booster(model_file=bytearray(self.booster)), self.scorer.contract)

    def __getstate__(self) -> dict[str, Any]:
        return {"booster": self.booster, "scorer": self.scorer}


@contextmanager
def open_workers(scheduler: str, *, n_workers: int, folder: Path) -> Iterator[Client]:
    """Yield the client of a cluster with at least one worker that has the versions of this process.

    Raises
    ------
    LabError
        If the scheduler cannot be reached, has no worker, or its workers have other versions.
    """
    with (
        tempfile.TemporaryDirectory(prefix=".", dir=folder) as own,
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}),
        connect(scheduler, n_workers=n_workers, threads=max(1, count_cores() // max(1, n_workers)), folder=Path(own)) as client,
    ):
        with _loss_explained():
            found = Members(client).find(timeout_s=MEET_S)
        if not found:
            raise LabError(f"The cluster has no worker any more. {REMEDY}")
        yield client


def score_on_workers(
    client: Client, model: Path, scorer: ChunkScorer, chunks: Iterable[Chunk], kept: KeptScores
) -> Iterator[tuple[Chunk, Scores]]:
    """Yield each chunk with its scores, in order; those that are kept are not scored again.

    Only some chunks are in memory: two for each thread of the workers, and no more than 1 GB.

    Parameters
    ----------
    model : pathlib.Path
        The folder of an MLflow Model that boostlab made.

    Raises
    ------
    DataError
        If a row has a value that the model does not take.
    LabError
        If the cluster is lost, or several workers died of the same chunk.
    """
    with _loss_explained():
        shared = client.submit(_pass_on, Task((model / MODEL_DATA / BOOSTER_FILE).read_bytes(), scorer), pure=False)
    try:
        yield from score_in_order(
            chunks,
            kept,
            begin=partial(_submit, client, shared, scorer),
            finish=partial(_take, client),
            most=lambda: AHEAD * max(1, _count_threads(client)),
        )
    finally:
        with suppress(Exception):  # such as a lost scheduler
            client.cancel(shared)  # with all tasks that need it


def _count_threads(client: Client) -> int:
    """Return the number of threads of all workers that take tasks: one that is short of memory pauses."""
    with _loss_explained():
        workers = list_workers(client).values()
    return sum(about["nthreads"] for about in workers if about["status"] == "running")


def _submit(client: Client, task: Future[Task], scorer: ChunkScorer, chunk: Chunk) -> Result:
    rows = chunk.rows.select([feature.name for feature in scorer.features])
    with _loss_explained():
        return client.submit(_score, task, _to_bytes(rows), chunk.first_row, pure=False)


def _take(client: Client, chunk: Chunk, scores: Result) -> Scores:
    """Wait for the scores of a chunk."""
    try:
        columns, counts, versions = _wait(client, scores)
    except KilledWorker:
        raise LabError(
            f"The workers that scored {chunk.place} were lost, one after the other, perhaps for want of memory. "
            f"Try a smaller chunk_rows, or workers with more memory. {REMEDY}"
        ) from None
    except ModuleNotFoundError as error:
        check_versions(error, where="A worker")
        raise
    except LabError:
        raise
    except (Exception, asyncio.CancelledError):
        if scores.status == "error":  # the task itself failed
            raise
        raise _explain_loss() from None
    check_versions(versions, where="A worker")  # it may have come after the others were compared
    return Scores(_to_table(columns), counts)


def _wait(client: Client, future: Result) -> Answer:
    """Return what a task returns. As long as there is a worker, it makes progress: also if its worker is lost, or its answer."""

    async def gather() -> Any:
        return await client.gather(future, asynchronous=True)

    loop = cast(Any, client.loop).asyncio_loop
    result: concurrent.futures.Future[Answer] = asyncio.run_coroutine_threadsafe(gather(), loop)
    alone_since = None
    try:
        while True:
            if concurrent.futures.wait([result], CHECK_S).done:
                return result.result()
            now = time.monotonic()
            alone_since = (alone_since or now) if not _count_threads(client) else None
            if alone_since and now - alone_since > MEET_S:
                raise LabError(
                    f"The cluster has no worker any more that takes tasks: they are lost, or short of memory. {REMEDY}"
                )
    finally:
        result.cancel()


def _explain_loss() -> LabError:
    return LabError(f"The scheduler was lost while rows were scored. Start it again. {REMEDY}")


@contextmanager
def _loss_explained() -> Iterator[None]:
    """Turn what Dask raises without a connection into a LabError."""
    try:
        yield
    except (OSError, ClosedClientError):
        raise _explain_loss() from None


def _pass_on(task: Task) -> Task:
    """On a worker: return the task, which the scheduler can make again if the worker is lost."""
    return task


def _score(task: Task, rows: bytes, first_row: int) -> Answer:
    """On a worker: return the scores of a chunk, and the worker's versions."""
    chunk = Chunk(_to_table(rows), first_row)
    with xgb.config_context(nthread=1):  # the worker runs as many tasks at a time as it has threads
        scores = task.scorer.score(task.predictor, chunk)
    return _to_bytes(scores.columns), scores.counts, _read_versions()


_read_versions = lru_cache(read_versions)


def _to_bytes(table: pa.Table) -> bytes:
    """Return a table as bytes; a part of a larger table is sent alone."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _to_table(content: bytes) -> pa.Table:
    return pa.ipc.open_stream(content).read_all()
