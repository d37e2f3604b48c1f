"""Time the reading of one table in 10, 100 and 1,000 Parquet files of one total size, against pyarrow, and a training on them.

Usage: ``python -m benchmarks.scale.files [--rows N] [--repeat N] [--readme]``. The files are in the cache of the disk. Reading is
measured in CPU time. A training is all work of ``train.ipynb``, with the rows in memory and on disk, from 10 and 1,000 files.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks.report import print_table
from benchmarks.scale.training import PARAMS, run
from boostlab.data.settings import ReadSettings
from boostlab.data.sources import open_source

COLUMNS, COUNTS, TARGET = 28, (10, 100, 1_000), 1.15
ROUNDS = 100


def write_files(folder: Path, rows: int) -> dict[int, Path]:
    """Write the same rows as so many files; return the folder of each number of files."""
    draw = np.random.default_rng(0)
    names = ["y", *(f"x{number}" for number in range(1, COLUMNS))]
    table = pa.table({name: draw.normal(size=rows).astype(np.float32) for name in names})
    folders = {count: folder / str(count) for count in COUNTS}
    for count, place in folders.items():
        place.mkdir()
        for number in range(count):
            start, end = number * rows // count, (number + 1) * rows // count
            pq.write_table(table.slice(start, end - start), place / f"{number:05}.parquet")
    return folders


def read(folder: Path) -> None:
    """Read a folder as ``train.ipynb`` does."""
    source = open_source(str(folder), ReadSettings())
    source.read(dict.fromkeys(source.names))


def read_bare(folder: Path) -> None:
    """Read a folder as pyarrow's documentation shows."""
    ds.dataset(folder, format="parquet").to_table()


def measure(work: Callable[[Path], None], folder: Path) -> float:
    """Return the seconds of CPU time that a reading takes, all threads together."""
    started = time.process_time()
    work(folder)
    return time.process_time() - started


def train(folders: dict[int, Path], memory: str) -> dict[int, float]:
    """Return the seconds that a whole training takes, for the fewest and the most files."""
    params = json.dumps({**PARAMS, "num_boost_round": ROUNDS})
    counts = (COUNTS[0], COUNTS[-1])
    return {count: run("ours", folders[count].parent, folders[count], memory, 0, params)["whole_s"] for count in counts}


def main() -> None:
    """Measure and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=7, help="counted rounds")
    parser.add_argument("--trainings", type=int, default=3, help="trainings of each kind")
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folders = write_files(Path(name), options.rows)
        rounds = [
            {(work, count): measure(work, folder) for count, folder in folders.items() for work in (read, read_bare)}
            for _ in range(options.repeat + 1)
        ][1:]
        trainings = {way: [train(folders, way) for _ in range(options.trainings)] for way in ("internal", "external")}
    middle = {key: statistics.median(turn[key] for turn in rounds) for key in rounds[0]}
    lines = [
        f"| {options.rows:,} rows, {COLUMNS} numbers | boostlab, CPU time | bare pyarrow | ratio | target |",
        "| --- | --- | --- | --- | --- |",
    ]
    for count in COUNTS:
        ours, bare = middle[read, count], middle[read_bare, count]
        lines.append(f"| {count:,} files | {ours:.2f} s | {bare:.2f} s | {ours / bare:.2f} | at most {TARGET} |")
    few, many = COUNTS[0], COUNTS[-1]
    lines += [
        "",
        f"| whole training, {ROUNDS} rounds, median of {options.trainings} | {few:,} files | {many:,} files | ratio | target |",
        "| --- | --- | --- | --- | --- |",
    ]
    for way, times in trainings.items():
        first, last = (statistics.median(turn[count] for turn in times) for count in (few, many))
        lines.append(f"| `memory: {way}` | {first:.1f} s | {last:.1f} s | {last / first:.2f} | at most {TARGET} |")
    print_table("scale.files", lines, rounds=options.repeat, readme=options.readme)


if __name__ == "__main__":
    main()
