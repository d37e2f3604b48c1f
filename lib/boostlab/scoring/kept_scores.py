"""The scores of an unfinished file, kept beside its output: the same scoring goes on from them after it was interrupted."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from boostlab.data.drift import Counts
from boostlab.errors import DataError
from boostlab.scoring.chunks import Chunk, Scores

COUNTS = b"boostlab.counts"  # in the metadata of a kept table
LOCK = "lock"


@dataclass(frozen=True)
class KeptScores:
    """The scores of chunks in a folder, a file for each; without a folder, nothing is kept."""

    folder: Path | None

    def read(self, chunk: Chunk) -> Scores | None:
        """Return the scores of a chunk, or None if there are none."""
        if self.folder is None:
            return None
        try:
            with pa.ipc.open_file(self._name(chunk)) as file:
                table = file.read_all()
            counts = json.loads(table.schema.metadata[COUNTS])
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):  # such as a file that a loss of power cut
            return None
        if table.num_rows != chunk.rows.num_rows:
            return None
        return Scores(table.replace_schema_metadata(None), _to_counts(counts), is_kept=True)

    def add(self, chunk: Chunk, scores: Scores) -> None:
        """Keep the scores of a chunk, unless they are kept.

        Raises
        ------
        OSError
            If the disk is full.
        """
        if self.folder is None or scores.is_kept:
            return
        about = {COUNTS: json.dumps(asdict(scores.counts) if scores.counts else None, default=np.ndarray.tolist)}
        table = scores.columns.replace_schema_metadata(about)
        name = self._name(chunk)
        draft = name.with_suffix(".draft")
        with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        draft.replace(name)

    def _name(self, chunk: Chunk) -> Path:
        assert self.folder is not None
        return self.folder / f"{chunk.first_row}.arrow"


@contextmanager
def keep_scores(output: Path, work: Any) -> Iterator[KeptScores]:
    """Open what is kept of a scoring until it ends; what is kept for the same output by another one is removed.

    It stays if the block is interrupted. It goes after success, and after an error of the data.

    Parameters
    ----------
    work : object
        All that the scores depend on, as plain values; None: nothing is kept.
    """
    digest = hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()[:16]
    start = f".{output.name}.scores-"
    _remove_others(output, start, but=digest)
    folder = output.with_name(f"{start}{digest}")
    with _locked(folder if work is not None else None) as mine:
        try:
            yield KeptScores(mine)
        except DataError:
            _remove(mine)
            raise
        _remove(mine)


@contextmanager
def _locked(folder: Path | None) -> Iterator[Path | None]:
    """Make a folder and hold its lock; None if another process holds it, or the disk refuses it."""
    if folder is None:
        yield None
        return
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (Timeout, OSError, NotImplementedError):
        yield None
        return
    try:
        yield folder
    finally:
        lock.release()


def _remove_others(output: Path, start: str, *, but: str) -> None:
    """Remove what is kept of other scorings of an output, unless they run."""
    if not output.parent.is_dir():
        return
    for folder in output.parent.iterdir():
        if folder.name.startswith(start) and folder.name != f"{start}{but}":
            with suppress(Timeout, OSError, NotImplementedError), FileLock(folder / LOCK, timeout=0):
                _remove(folder)


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _to_counts(values: Any) -> Counts | None:
    if values is None:
        return None
    rows = {name: np.array(each) for name, each in values["rows"].items()}
    return Counts(rows, {name: tuple(each) for name, each in values["unseen"].items()})
