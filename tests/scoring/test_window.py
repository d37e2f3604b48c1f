"""Several chunks in work at a time: few enough for the memory, and in the order of the rows."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from boostlab.scoring import window
from boostlab.scoring.chunks import Chunk, Scores
from boostlab.scoring.kept_scores import KeptScores

CHUNKS = [Chunk(pa.table({"a": [float(number)] * 1_000}), number) for number in range(20)]  # 8,000 bytes each


def work(*, most: int) -> tuple[list[int], int]:
    """Score the chunks, and return their first rows in the order of the answers, and the largest number in work."""
    begun: list[int] = []
    done: list[int] = []
    largest = 0

    def begin(chunk: Chunk) -> int:
        begun.append(chunk.first_row)
        return chunk.first_row

    def finish(chunk: Chunk, pending: int) -> Scores:
        assert pending == chunk.first_row
        return Scores(pa.table({"prediction": [pending]}), None)

    answers: Iterator[tuple[Chunk, Scores]] = window.score_in_order(
        CHUNKS, KeptScores(None), begin=begin, finish=finish, most=lambda: most
    )
    for chunk, scores in answers:
        largest = max(largest, len(begun) - len(done))
        done.append(chunk.first_row)
        assert scores.columns["prediction"].to_pylist() == [chunk.first_row]
    return done, largest


def test_no_more_chunks_than_allowed_are_in_work() -> None:
    assert work(most=3) == ([*range(20)], 4)  # and the one that was read last


@pytest.mark.parametrize(("size", "count"), [(40_000, 6), (1, 2)])
def test_no_more_bytes_than_allowed_are_in_work(monkeypatch: pytest.MonkeyPatch, size: int, count: int) -> None:
    monkeypatch.setattr(window, "MOST_BYTES", size)
    assert work(most=1_000) == ([*range(20)], count)
