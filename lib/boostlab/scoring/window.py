"""Several chunks in work at a time, and their scores in the order of the rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from boostlab.scoring.chunks import Chunk, Scores
from boostlab.scoring.kept_scores import KeptScores

MOST_BYTES = 1 << 30  # of the rows of all chunks in work, if there are several
Pending = TypeVar("Pending")


def score_in_order(
    chunks: Iterable[Chunk],
    kept: KeptScores,
    *,
    begin: Callable[[Chunk], Pending],
    finish: Callable[[Chunk, Pending], Scores],
    most: Callable[[], int],
) -> Iterator[tuple[Chunk, Scores]]:
    """Yield each chunk with its scores, in order; those that are kept are not scored again.

    Parameters
    ----------
    begin : callable
        Begins to score a chunk.
    finish : callable
        Waits for what `begin` returned, and returns the scores.
    most : callable
        Returns how many chunks may be in work.
    """
    waiting: deque[tuple[Chunk, Callable[[], Scores]]] = deque()
    for chunk in chunks:
        found = kept.read(chunk)
        waiting.append((chunk, partial(_return, found) if found else partial(finish, chunk, begin(chunk))))
        while len(waiting) > most() or (len(waiting) > 1 and sum(each.rows.nbytes for each, _ in waiting) > MOST_BYTES):
            first, get = waiting.popleft()
            yield first, get()
    for first, get in waiting:
        yield first, get()


def _return(scores: Scores) -> Scores:
    return scores
