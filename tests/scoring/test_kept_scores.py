"""The scores of an interrupted scoring: the same scoring goes on from them, and no other one uses them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.support.packages import Packaged
from tests.support.waiting import TIMEOUT_S

from boostlab.data.drift import Drift
from boostlab.errors import DataError, RowError
from boostlab.models.loading import identify_model, open_predictor
from boostlab.scoring.chunks import Chunk, Scores, study_features
from boostlab.scoring.kept_scores import KeptScores, keep_scores
from boostlab.scoring.scorer import Scored, score_file

SCORE_AND_DIE = """
import signal, sys
from pathlib import Path
from boostlab.models.contract import Contract
from boostlab.models.loading import identify_model, open_predictor
from boostlab.scoring.scorer import score_file
model, rows, output, number, chunks = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), []
def watch(rows):
    chunks.append(rows)
    if len(chunks) == 4:
        signal.raise_signal(number)
        print("alive after the signal:", signal.getsignal(number), signal.pthread_sigmask(signal.SIG_BLOCK, []))
score_file(open_predictor(model), Contract.read_model(model), rows=rows, output=output, chunk_rows=10, reasons=1,
           identity=identify_model(model), watch=watch)
"""
CHUNK = Chunk(pa.table({"a": [1, 2]}), 1)
SCORES = Scores(pa.table({"prediction": [0.5, 1.5]}), None)


def repeat(packaged: Packaged, count: int) -> pd.DataFrame:
    """Return so many rows that training did not see, by repeating them."""
    rows = packaged[2].test.head(count)
    return rows.iloc[np.arange(count) % len(rows)]


def score(packaged: Packaged, **options: Any) -> Scored:
    folder, predictor, _ = packaged
    given: dict[str, Any] = {"chunk_rows": 10, "reasons": 1, "identity": identify_model(folder)}
    return score_file(open_predictor(folder), predictor.contract, **given | options)


def interrupt(packaged: Packaged, rows: Path, output: Path, number: int = 9) -> None:
    """Score four chunks in a process, and end it by a signal."""
    command = [sys.executable, "-c", SCORE_AND_DIE, str(packaged[0]), str(rows), str(output), str(number)]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode != 0, done.stdout


class Interrupt:
    """Ends a scoring after some chunks."""

    def __init__(self, chunks: int) -> None:
        self._left = chunks

    def __call__(self, _rows: int) -> None:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


def stop_here(packaged: Packaged, rows: Path, output: Path) -> None:
    """Score four chunks in this process, and interrupt it."""
    with pytest.raises(KeyboardInterrupt):
        score(packaged, rows=str(rows), output=output, watch=Interrupt(4))


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("number", [9, 2])
def test_goes_on_after_a_kill_and_after_an_interrupt(package: Callable[[str], Packaged], tmp_path: Path, number: int) -> None:
    packaged = package("own_classes")
    rows, output = tmp_path / "rows.parquet", tmp_path / "out.parquet"
    repeat(packaged, 75).to_parquet(rows)
    expected = score(packaged, rows=str(rows), output=tmp_path / "whole.parquet")
    interrupt(packaged, rows, output, number)
    assert not output.exists()
    scored = score(packaged, rows=str(rows), output=output)
    assert (scored.rows, scored.rows_kept, expected.rows_kept) == (75, 40, 0)
    assert output.read_bytes() == expected.path.read_bytes()
    assert not hidden(tmp_path)


@pytest.mark.parametrize("change", ["file", "model", "reasons", "chunk_rows", "where"])
def test_another_scoring_begins_anew(package: Callable[[str], Packaged], tmp_path: Path, change: str) -> None:
    packaged = package("own")
    rows, output = tmp_path / "rows.parquet", tmp_path / "out.parquet"
    repeat(packaged, 75).to_parquet(rows)
    stop_here(packaged, rows, output)
    assert len(hidden(tmp_path)) == 1
    options: dict[str, Any] = {}
    if change == "file":
        repeat(packaged, 75).iloc[::-1].to_parquet(rows)
    elif change == "model":
        packaged = package("own_folds")
    else:
        column = packaged[1].contract.names[0]
        options = {change: {"reasons": 2, "chunk_rows": 11, "where": f"`{column}` is not null or `{column}` is null"}[change]}
    scored = score(packaged, rows=str(rows), output=output, **options)
    assert (scored.rows, scored.rows_kept) == (75, 0)
    assert not hidden(tmp_path)


def test_goes_on_only_if_the_model_is_known(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    packaged, rows, output = package("own"), tmp_path / "rows.parquet", tmp_path / "out.parquet"
    repeat(packaged, 75).to_parquet(rows)
    stop_here(packaged, rows, output)
    assert score(packaged, rows=str(rows), output=output, identity="").rows_kept == 0


def stop(output: Path, error: BaseException, use: Callable[[KeptScores], object]) -> None:
    """Use what is kept, and end by an error."""
    with keep_scores(output, ["a"]) as kept:
        use(kept)
        raise error


def test_a_row_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with pytest.raises(RowError):
        stop(output, RowError("the column 'a' is wrong"), lambda kept: kept.add(CHUNK, SCORES))
    assert not hidden(tmp_path)


def test_another_error_costs_nothing_that_was_scored(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with pytest.raises(DataError):
        stop(output, DataError("the storage does not answer"), lambda kept: kept.add(CHUNK, SCORES))
    with keep_scores(output, ["a"]) as kept:
        assert kept.read(CHUNK)
    assert not hidden(tmp_path)


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    found: list[Scores | None] = []
    output = tmp_path / "out.csv"
    others = (Chunk(pa.table({"a": [1]}), 1), Chunk(CHUNK.rows, 3))
    with pytest.raises(KeyboardInterrupt):
        stop(output, KeyboardInterrupt(), lambda kept: kept.add(CHUNK, SCORES))
    with pytest.raises(KeyboardInterrupt):
        stop(output, KeyboardInterrupt(), lambda kept: found.extend(map(kept.read, (CHUNK, *others))))
    assert found == [Scores(SCORES.columns, None, is_kept=True), None, None]
    (file,) = tmp_path.glob(".out.csv.scores-*/*.arrow")
    for content in (b"", file.read_bytes()[:-100]):
        file.write_bytes(content)
        found.clear()
        with pytest.raises(KeyboardInterrupt):
            stop(output, KeyboardInterrupt(), lambda kept: found.append(kept.read(CHUNK)))
        assert found == [None]


def test_two_scorings_of_one_output_do_not_meet(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with keep_scores(output, ["a"]) as first:
        first.add(CHUNK, SCORES)
        with keep_scores(output, ["a"]) as second:
            assert second.folder is None
            second.add(CHUNK, SCORES)
        with keep_scores(output, ["b"]) as other:
            assert other.folder
        assert first.read(CHUNK)
    assert not hidden(tmp_path)


def test_keeps_nothing_where_no_file_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with keep_scores(tmp_path / "file" / "out.csv", ["a"]) as kept:
        assert kept.folder is None
        kept.add(CHUNK, SCORES)


def test_goes_on_without_keeping_if_the_disk_refuses_it(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    packaged, rows, output = package("own"), tmp_path / "rows.parquet", tmp_path / "out.parquet"
    repeat(packaged, 75).to_parquet(rows)

    def lose(_rows: int) -> None:
        for folder in tmp_path.glob(".out.parquet.scores-*"):
            shutil.rmtree(folder)

    assert score(packaged, rows=str(rows), output=output, watch=lose).rows == 75
    assert output.read_bytes() == score(packaged, rows=str(rows), output=tmp_path / "whole.parquet").path.read_bytes()
    assert not hidden(tmp_path)


def test_the_drift_counts_each_row_once(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    packaged, rows, output = package("own"), tmp_path / "rows.parquet", tmp_path / "out.parquet"
    repeat(packaged, 75).to_parquet(rows)
    features, reference = packaged[1].contract.features, repeat(packaged, 40)
    whole, drift = Drift(features, reference), Drift(features, reference)
    score(packaged, rows=str(rows), output=output, drift=whole)
    with pytest.raises(KeyboardInterrupt):
        score(packaged, rows=str(rows), output=output, drift=drift, watch=Interrupt(3))
    for kept in (30, 0):  # a cell that is run again counts anew
        assert score(packaged, rows=str(rows), output=output, drift=drift).rows_kept == kept
        pd.testing.assert_frame_equal(drift.tabulate(), whole.tabulate())


def test_counts_fit_only_the_rows_that_they_are_compared_with(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    packaged, rows, output = package("own"), tmp_path / "rows.parquet", tmp_path / "out.parquet"
    repeat(packaged, 75).to_parquet(rows)
    features = packaged[1].contract.features
    first, other = Drift(features, repeat(packaged, 40)), Drift(features, repeat(packaged, 20))
    with pytest.raises(KeyboardInterrupt):
        score(packaged, rows=str(rows), output=output, drift=first, watch=Interrupt(3))
    assert score(packaged, rows=str(rows), output=output, drift=other).rows_kept == 0
    whole = Drift(features, repeat(packaged, 20))
    whole.add(whole.count(repeat(packaged, 75)))
    pd.testing.assert_frame_equal(other.tabulate(), whole.tabulate())


def test_a_file_that_changes_while_it_is_scored_is_refused(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    packaged, rows, output = package("own"), tmp_path / "rows.parquet", tmp_path / "out.parquet"
    repeat(packaged, 75).to_parquet(rows)
    with pytest.raises(DataError, match=r"rows\.parquet changed while it was read"):
        score(packaged, rows=str(rows), output=output, watch=lambda _: rows.touch())
    assert not output.exists()


def test_a_file_that_changes_before_its_rows_are_scored_is_refused(
    package: Callable[[str], Packaged], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged, rows, output = package("own"), tmp_path / "rows.csv", tmp_path / "out.csv"
    repeat(packaged, 75).to_csv(rows, index=False)

    def study_and_change(*args: Any) -> None:
        study_features(*args)
        repeat(packaged, 75).iloc[::-1].to_csv(rows, index=False)

    with monkeypatch.context() as patched:
        patched.setattr("boostlab.scoring.scorer.study_features", study_and_change)
        with pytest.raises(DataError, match=r"rows\.csv changed while it was read"):
            score(packaged, rows=str(rows), output=output)
    assert score(packaged, rows=str(rows), output=output).rows_kept == 0
