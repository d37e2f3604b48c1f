"""Scoring on the workers of a Dask cluster: the file of one process, also if workers die."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest
from distributed import Client
from tests.support.clusters import Cluster, kill_group
from tests.support.packages import Packaged
from tests.support.waiting import wait_until

from boostlab.data.drift import Drift
from boostlab.errors import DataError, LabError
from boostlab.models.loading import identify_model, open_predictor
from boostlab.scoring.scorer import Scored, score_file
from boostlab.scoring.workers import open_workers, score_on_workers

pytestmark = pytest.mark.slow
Process: TypeAlias = "Popen[bytes]"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster(tmp_path_factory.mktemp("cluster"), dict(os.environ))
    for _ in range(2):
        started.start_worker(nthreads=1)
    started.wait_for_workers(2)
    yield started
    started.end()


@pytest.fixture
def client(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with open_workers(cluster.address, n_workers=0, folder=tmp_path_factory.mktemp("client")) as connected:
        yield connected


def repeat(packaged: Packaged, count: int) -> pd.DataFrame:
    """Return so many rows that training did not see, by repeating them."""
    rows = packaged[2].test.head(count)
    return rows.iloc[np.arange(count) % len(rows)]


def score(packaged: Packaged, client: Client | None, **options: Any) -> tuple[Scored, Drift]:
    """Score a file here or on workers, and return what was scored and the drift."""
    folder, predictor, split = packaged
    drift = Drift(predictor.contract.features, split.test.head(1_000))
    on_workers = None if client is None else partial(score_on_workers, client, folder)
    scored = score_file(
        open_predictor(folder), predictor.contract, drift=drift, score=on_workers, identity=identify_model(folder), **options
    )
    return scored, drift


def write(rows: pd.DataFrame, path: Path) -> str:
    rows.to_csv(path, index=False) if path.suffix == ".csv" else rows.to_parquet(path, index=False)
    return str(path)


@pytest.mark.parametrize("name", ["own", "own_quantiles", "own_classes"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_the_file_and_the_drift_are_those_of_one_process(
    package: Callable[[str], Packaged], client: Client, tmp_path: Path, name: str, suffix: str
) -> None:
    packaged = package(name)
    rows = repeat(packaged, 200)
    path = write(rows.assign(number=range(len(rows))), tmp_path / f"rows{suffix}")
    options: dict[str, Any] = {"probabilities": bool(packaged[1].contract.labels), "reasons": 2, "chunk_rows": 17}
    here, drift = score(packaged, None, rows=path, output=tmp_path / f"here{suffix}", where="number != 40", **options)
    there, other = score(packaged, client, rows=path, output=tmp_path / f"there{suffix}", where="number != 40", **options)
    assert (here.rows, here.columns, here.rows_not_selected) == (there.rows, there.columns, there.rows_not_selected)
    assert here.path.read_bytes() == there.path.read_bytes()
    pd.testing.assert_frame_equal(drift.tabulate(), other.tabulate())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([here.path.name, there.path.name, f"rows{suffix}"])


def test_a_wrong_value_is_named_as_in_one_process(package: Callable[[str], Packaged], client: Client, tmp_path: Path) -> None:
    packaged = package("iris")
    rows = repeat(packaged, 30).astype(object)
    rows.iloc[20, 0] = "wide"
    path = write(rows.astype(str), tmp_path / "rows.parquet")
    messages = []
    for where in (None, client):
        with pytest.raises(DataError) as error:
            score(packaged, where, rows=path, output=tmp_path / "out.csv", chunk_rows=8)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "wide" in messages[0]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


def test_few_chunks_are_in_memory(package: Callable[[str], Packaged], client: Client, tmp_path: Path) -> None:
    packaged = package("iris")
    path = write(repeat(packaged, 100), tmp_path / "rows.parquet")
    ahead, read, done = [0], 0, 0

    def count(on: Any, scorer: Any, chunks: Any, kept: Any) -> Iterator[Any]:
        nonlocal done

        def note(chunk: Any) -> Any:
            nonlocal read
            read += 1
            ahead.append(read - done)
            return chunk

        for pair in on(scorer, map(note, chunks), kept):
            done += 1
            yield pair

    on_workers = partial(count, partial(score_on_workers, client, packaged[0]))
    score_file(
        open_predictor(packaged[0]),
        packaged[1].contract,
        rows=path,
        output=tmp_path / "out.csv",
        chunk_rows=5,
        score=on_workers,
    )
    assert read > 10
    assert max(ahead) == 5  # two for each of two threads, and the next one


class Kill:
    """Kills a process after some chunks."""

    def __init__(self, process: Process) -> None:
        self._process, self.chunks = process, 0

    def __call__(self, _rows: int) -> None:
        self.chunks += 1
        if self.chunks == 8:
            kill_group(self._process)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster without workers, for one test alone."""
    (tmp_path / "cluster").mkdir()
    started = Cluster(tmp_path / "cluster", dict(os.environ))
    yield started
    started.end()


def test_the_loss_of_a_worker_changes_nothing(package: Callable[[str], Packaged], own: Cluster, tmp_path: Path) -> None:
    packaged = package("own")
    path = write(repeat(packaged, 300), tmp_path / "rows.parquet")
    here, _ = score(packaged, None, rows=path, output=tmp_path / "here.csv", chunk_rows=10)
    kill = Kill(own.start_worker(nthreads=1))
    own.start_worker(nthreads=1)
    own.wait_for_workers(2)
    with open_workers(own.address, n_workers=0, folder=tmp_path) as client:
        there, _ = score(packaged, client, rows=path, output=tmp_path / "there.csv", chunk_rows=10, watch=kill)
    assert kill.chunks == 30
    assert here.path.read_bytes() == there.path.read_bytes()


@pytest.mark.parametrize("what", ["scheduler", "worker"])
def test_scoring_goes_on_after_the_loss_of_the_cluster(
    package: Callable[[str], Packaged], own: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("boostlab.scoring.workers.MEET_S", 3.0)
    packaged = package("own")
    path = write(repeat(packaged, 300), tmp_path / "rows.parquet")
    here, drift = score(packaged, None, rows=path, output=tmp_path / "here.csv", chunk_rows=10)
    output = tmp_path / "there.csv"
    output.write_text("old content")
    kill = Kill({"worker": own.start_worker(nthreads=1), "scheduler": own.scheduler}[what])
    own.wait_for_workers(1)
    with (
        open_workers(own.address, n_workers=0, folder=tmp_path) as client,
        pytest.raises(LabError, match=r"(?s)(scheduler was lost|has no worker any more).*Run the same command again"),
    ):
        score(packaged, client, rows=path, output=output, chunk_rows=10, watch=kill)
    assert output.read_text() == "old content"
    there, other = score(packaged, None, rows=path, output=output, chunk_rows=10)
    assert 80 <= there.rows_kept < 300
    assert here.path.read_bytes() == there.path.read_bytes()
    pd.testing.assert_frame_equal(drift.tabulate(), other.tabulate())
    assert not [*tmp_path.glob(".there*")]


def test_says_that_all_workers_are_short_of_memory(
    package: Callable[[str], Packaged], own: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boostlab.scoring.workers.MEET_S", 3.0)
    packaged = package("own")
    path = write(repeat(packaged, 30), tmp_path / "rows.parquet")
    own.start_worker(nthreads=1, options=["--no-nanny", "--memory-limit", "60MB"])  # a worker needs more, so it pauses
    own.wait_for_workers(1)
    with open_workers(own.address, n_workers=0, folder=tmp_path) as client:
        wait_until(lambda: "paused" in {each["status"] for each in client.scheduler_info()["workers"].values()})
        with pytest.raises(LabError, match=r"no worker any more that takes tasks: they are lost, or short of memory"):
            score(packaged, client, rows=path, output=tmp_path / "out.csv")
