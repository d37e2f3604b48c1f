"""Train on one table with 2 threads of one process, and with 2 workers of a thread each: time, memory, and the metric.

The notebook's process keeps the table while workers train: in memory, or with ``memory: external`` on disk.

Usage: ``python -m benchmarks.scale.workers [--rows N] [--rounds N] [--repeat N] [--readme]``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from benchmarks.report import print_table
from benchmarks.scale.peak import read_status

COLUMNS, CORES = 20, 2
TIME_TARGET, MEMORY_TARGET = 1.4, 1.5
WORKERS: dict[str, Any] = {"workers": CORES, "nthread": 1}
WAYS: dict[str, dict[str, Any]] = {
    "one process": {"nthread": CORES, "memory": "internal"},
    "workers": {**WORKERS, "memory": "internal"},
    "workers, table on disk": {**WORKERS, "memory": "external"},
}


def write_table(path: Path, rows: int) -> None:
    """Write a table with numbers, gaps and a column of text."""
    draw = np.random.default_rng(0)
    numbers = draw.normal(size=(rows, COLUMNS)).astype(np.float32)
    table = pd.DataFrame(numbers, columns=[f"x{number}" for number in range(COLUMNS)])
    table.loc[draw.random(rows) < 0.1, "x3"] = np.nan
    city = draw.integers(0, 50, rows)
    table["city"] = [f"city {number}" for number in city]
    table["y"] = 3 * numbers[:, 0] + np.sin(3 * numbers[:, 1]) + city / 20 + draw.normal(0, 0.5, rows)
    table.to_parquet(path)


def train(path: str, rounds: int, way: str) -> None:
    """Train in this process, and print the seconds of the boosting, of all, the metric, and the memory in MB."""
    import nbformat

    from boostlab import Train
    from boostlab.data import load_table, profile_columns, split_table
    from boostlab.notebook.parameters import read_parameters
    from boostlab.training import fit_booster

    sheet = nbformat.read(Path(__file__).parents[2] / "notebooks" / "train.ipynb", as_version=4)
    values = {parameter.name: parameter.default for parameter in read_parameters(sheet)}
    own = {"dataset": path, "target": "y", "num_boost_round": rounds, "early_stopping_rounds": 0, **WAYS[way]}
    settings = Train.check(values | own)
    split = split_table(load_table(settings), settings)
    columns = profile_columns(split)
    started = time.perf_counter()
    with Memory() as memory:
        fit = fit_booster(split, columns, settings)
    total_s = time.perf_counter() - started
    print(fit.fit_time_s, total_s, fit.curves["valid_rmse"][-1], memory.most_mb)


class Memory:
    """The largest memory of this process and its children together that belongs to no file, looked at ten times a second.

    A page that several processes share since a fork counts once.
    """

    def __enter__(self) -> Memory:
        self.most_mb, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.1):
            own = psutil.Process()
            total = 0
            for process in [own, *own.children(recursive=True)]:
                with contextlib.suppress(OSError):  # it has ended
                    total += read_status("Pss_Anon", process.pid, file="smaps_rollup")
            self.most_mb = max(self.most_mb, total / 1e6)


def measure(path: Path, rounds: int, way: str) -> list[float]:
    """Train in a process of its own, and return what it prints."""
    command = [sys.executable, "-m", "benchmarks.scale.workers", "--train", way, "--path", str(path), "--rounds", str(rounds)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": "."}, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()[-4:]]


def main() -> None:
    """Measure and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.workers")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        train(given.path, given.rounds, given.train)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        write_table(path, given.rows)
        turns = [{way: measure(path, given.rounds, way) for way in WAYS} for _ in range(given.repeat)]
    one, *others = ([statistics.median(turn[way][place] for turn in turns) for place in range(4)] for way in WAYS)

    def compare(name: str, place: int, form: str, target: str = "") -> str:
        ours = [f"{form.format(other[place])} ({other[place] / one[place]:.2f})" for other in others]
        return f"| {name} | {form.format(one[place])} | {' | '.join(ours)} | {target} |"

    lines = [
        f"| {given.rows:,} rows × {COLUMNS + 1}, {given.rounds} rounds | 1 process, {CORES} threads | {CORES} workers (ratio) "
        f"| {CORES} workers, table on disk (ratio) | target |",
        "| --- | --- | --- | --- | --- |",
        compare("time, with start and sending", 1, "{:.1f} s", f"at most {TIME_TARGET}"),
        compare("boosting", 0, "{:.1f} s"),
        compare("memory of all processes", 3, "{:,.0f} MB", f"at most {MEMORY_TARGET}"),
        compare("RMSE of the validation rows", 2, "{:.5f}"),
    ]
    print_table("scale.workers", lines, rounds=given.repeat, readme=given.readme)


if __name__ == "__main__":
    main()
