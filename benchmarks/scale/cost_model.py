"""Compare what a training on two workers reads, sends and holds with a model on paper, at three sizes; and ask it for 1 TB.

Usage: ``python -m benchmarks.scale.cost_model [--rows N] [--rounds N] [--readme]``. It counts the bytes of the loopback
interface, so nothing else may talk there meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.report import print_table
from benchmarks.scale.peak import read_status
from benchmarks.scale.workers import COLUMNS, write_table

PROJECT = Path(__file__).parents[2]
INPUTS, DEPTH, BINS, WORKERS = COLUMNS + 1, 6, 256, 2
SIZES = (0.25, 0.5, 1.0)  # of the largest number of rows
SHARED = 0.8  # of the rows: the training and the validation part
VALUE, LABEL, SUMS = 4, 4, 16  # bytes of an input, of a label, and of the two sums of a bin
BIN = 4 + 1  # bytes of a value's bin, by rows and by columns: by rows 1 instead of 4 in a table without gaps
ROW = 55  # bytes of the label, gradients, predictions and positions of a row of a worker


@dataclass(frozen=True)
class Costs:
    """What a training needs, in bytes."""

    rows_sent: float  #: from the notebook's process to the workers, once
    sums_sent: float  #: among the workers, for each tree
    worker_memory: float  #: of each worker, beyond its packages


def estimate(rows: float, *, inputs: int = INPUTS, workers: int = WORKERS, depth: int = DEPTH, bins: int = BINS) -> Costs:
    """Return the costs of a training: the model on paper of the guide."""
    shared = rows * SHARED
    level_nodes = 2 ** (depth - 1)  # the root, and one of two children at each level: XGBoost subtracts for the other one
    return Costs(
        rows_sent=shared * (VALUE * inputs + LABEL),
        sums_sent=(2 * workers - 1) * level_nodes * inputs * bins * SUMS,
        worker_memory=shared / workers * ((VALUE + BIN) * inputs + ROW),
    )


class Watch:
    """The bytes that cross the loopback interface, and the largest memory of each child of this process, from now on."""

    def __init__(self) -> None:
        self.memory: dict[int, int] = {}
        self._start = read_loopback()
        threading.Thread(target=self._look, daemon=True).start()

    @property
    def sent(self) -> int:
        """The bytes so far."""
        return read_loopback() - self._start

    def _look(self) -> None:
        while True:
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(OSError):  # it has ended
                    self.memory[child.pid] = max(self.memory.get(child.pid, 0), read_status("RssAnon", child.pid))
            time.sleep(0.1)


def read_loopback() -> int:
    """Return the bytes that the loopback interface has received."""
    return psutil.net_io_counters(pernic=True)["lo"].bytes_recv


def train(path: str, rounds: int) -> None:
    """Train on workers in this process, and print the figures."""
    from tests.support.settings import make_settings

    from boostlab.data import load_table, profile_columns, split_table
    from boostlab.training import fit_booster

    settings = make_settings(
        dataset=path, target="y", num_boost_round=rounds, early_stopping_rounds=0, workers=WORKERS, nthread=1, max_depth=DEPTH
    )
    before = psutil.Process().io_counters().read_chars
    split = split_table(load_table(settings), settings)
    read = psutil.Process().io_counters().read_chars - before
    columns = profile_columns(split)
    watch = Watch()
    fit = fit_booster(split, columns, settings)
    largest = sorted(watch.memory.values())[-WORKERS:]
    figures = {"read": read, "sent": watch.sent, "memory": sum(largest) / WORKERS, "boosting_s": fit.fit_time_s}
    print(json.dumps(figures))


def measure(path: Path, rounds: int) -> dict[str, float]:
    """Train in a process of its own, and return what it prints."""
    command = [sys.executable, "-m", "benchmarks.scale.cost_model", "--train", str(path), "--rounds", str(rounds)]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(path.name, rounds, figures, file=sys.stderr, flush=True)
    return figures


def main() -> None:
    """Measure and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.cost_model")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the largest table")
    parser.add_argument("--rounds", type=int, default=40, help="of a training; it is compared with one of half as many")
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        train(given.train, given.rounds)
        return
    lines = [
        f"| {INPUTS} inputs, depth {DEPTH}, {WORKERS} workers | file read | rows sent | sent per tree | memory of a worker |",
        "| --- | --- | --- | --- | --- |",
    ]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        empty = None
        for share in (0.001, *SIZES):
            rows = int(given.rows * share)
            path = Path(folder) / f"{rows}.parquet"
            write_table(path, rows)
            size = path.stat().st_size
            few, many = measure(path, given.rounds // 2), measure(path, given.rounds)
            if empty is None:
                empty = many["memory"]
                continue
            tree = (many["sent"] - few["sent"]) / (given.rounds - given.rounds // 2)
            costs = estimate(rows)
            cells = [
                (many["read"], size),
                (many["sent"] - tree * given.rounds, costs.rows_sent),
                (tree, costs.sums_sent),
                (many["memory"] - empty, costs.worker_memory),
            ]
            shown = " | ".join(f"{ours / 1e6:,.1f} MB, of {paper / 1e6:,.1f}" for ours, paper in cells)
            lines.append(f"| {rows:,} rows: measured, of the estimate | {shown} |")
            found = {"rows": rows, "tree_s": (many["boosting_s"] - few["boosting_s"]) / (given.rounds - given.rounds // 2)}
    speed = found["rows"] * SHARED * INPUTS * DEPTH / found["tree_s"] / WORKERS
    lines += ["", f"A core took {speed / 1e6:,.0f} million values of a level in a second."]
    print_table("scale.cost_model", lines, rounds=1, readme=given.readme)


if __name__ == "__main__":
    main()
