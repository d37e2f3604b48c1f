"""The scores of an unfinished file, kept beside its output: the same scoring goes on from them after it was interrupted."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from boostlab.data.drift import Counts
from boostlab.errors import RowError
from boostlab.scoring.chunks import Chunk, Scores

COUNTS = b"boostlab.counts"  # in the metadata of a kept table
LOCK = "lock"


class KeptScores:
    """The scores of chunks, a file for each.

    Parameters
    ----------
    folder : pathlib.Path or None
        Where they are kept; None: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

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
        """Keep the scores of a chunk, unless they are kept. If the disk refuses it, nothing is kept from then on."""
        if self.folder is None or scores.is_kept:
            return
        about = {COUNTS: json.dumps(asdict(scores.counts) if scores.counts else None, default=np.ndarray.tolist)}
        table = scores.columns.replace_schema_metadata(about)
        name = self._name(chunk)
        draft = name.with_suffix(".draft")
        try:
            with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
            draft.replace(name)
        except OSError:  # such as a full disk: the output needs the space more
            remove(self.folder)
            self.folder = None

    def _name(self, chunk: Chunk) -> Path:
        assert self.folder is not None
        return self.folder / f"{chunk.first_row}.arrow"


@contextmanager
def keep_scores(output: Path, work: Any) -> Iterator[KeptScores]:
    """Open what is kept of a scoring until it ends; what is kept for the same output by another one is removed.

    It goes after success, and if a row is refused: then it would be refused again. After any other end it stays.

    Parameters
    ----------
    work : object
        All that the scores depend on, as plain values; None: nothing is kept.
    """
    digest = hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()[:16] if work is not None else ""
    start = f".{output.name}.scores-"
    _remove_others(output, start, but=digest)
    with _locked(output.with_name(f"{start}{digest}") if digest else None) as mine:
        kept = KeptScores(mine)
        try:
            yield kept
        except RowError:
            remove(mine)
            raise
        remove(mine)


def remove(folder: Path | None) -> None:
    """Remove what is kept."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


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
    with suppress(OSError):  # such as no folder yet
        others = [path for path in output.parent.iterdir() if path.name.startswith(start) and path.name != f"{start}{but}"]
        for folder in others:
            with suppress(Timeout, OSError, NotImplementedError), FileLock(folder / LOCK, timeout=0):
                remove(folder)


def _to_counts(values: Any) -> Counts | None:
    if values is None:
        return None
    rows = {name: np.array(each) for name, each in values["rows"].items()}
    return Counts(rows, {name: tuple(each) for name, each in values["unseen"].items()})
