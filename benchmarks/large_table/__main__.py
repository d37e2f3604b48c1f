"""Time a training on a million rows both ways. Print medians and ratios as Markdown.

Usage: ``python -m benchmarks.large_table [--rows N] [--repeat N] [--readme]``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.report import print_table

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
PAPERMILL = str(Path(sys.executable).with_name("papermill"))
ROUNDS, PATIENCE = 500, 30  # these values and PARAMS are the notebook's defaults
PARAMS = {"eta": 0.1, "max_depth": 4, "tree_method": "hist", "objective": "binary:logistic", "eval_metric": "logloss", "seed": 0}
TARGETS = {"training step": 1.05, "whole": 1.2, "peak memory": 1.15}
WORDS = np.array([f"word{n:02d}" for n in range(20)])


def make_table(path: Path, rows: int, *, text: bool) -> None:
    """Write a seeded table with 28 columns and a binary target. With `text`, four of the columns are words."""
    draw = np.random.default_rng(7)
    numbers = draw.standard_normal((rows, 28)).astype(np.float32)
    signal = numbers @ draw.standard_normal(28) * 0.5 + np.sin(numbers[:, 0] * 2) * 2 + numbers[:, 1] * numbers[:, 2]
    columns: dict[str, object] = {f"x{position:02d}": numbers[:, position] for position in range(28)}
    for position in range(4) if text else ():
        columns[f"x{position:02d}"] = WORDS[np.clip((numbers[:, position] * 4 + 10).astype(int), 0, 19)]
    columns["y"] = (signal + draw.standard_normal(rows) * 2 > 0).astype(np.int64)
    pq.write_table(pa.table(columns), path, row_group_size=100_000)


def run_boostlab(path: Path, folder: Path) -> dict[str, float]:
    """Run the notebook as a command. ``peak_mb`` is the kernel's peak memory, ``engine_mb`` papermill's."""
    given = {"dataset": str(path), "target": "y", "num_boost_round": ROUNDS, "early_stopping_rounds": PATIENCE}
    given |= {name: PARAMS[name] for name in ("eta", "max_depth", "tree_method", "seed")}
    command = [PAPERMILL, "--no-progress-bar", str(PROJECT / "notebooks/train.ipynb"), str(folder / "out.ipynb")]
    command += ["-y", json.dumps({**given, "tracking_uri": f"sqlite:///{folder}/mlflow.db"})]
    env = os.environ | {"XDG_STATE_HOME": str(folder)}
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    peaks: dict[int, float] = {}
    watcher = threading.Thread(target=_watch, args=(process, peaks))
    watcher.start()
    _, printed = process.communicate()
    seconds = time.perf_counter() - started
    watcher.join()
    if process.returncode:
        raise SystemExit(printed)
    figures = {line.split()[0]: float(line.split()[1]) for line in printed.splitlines() if line.startswith(("  fit_", "  test_"))}
    engine = peaks.pop(process.pid)
    return {**figures, "seconds": seconds, "peak_mb": max(peaks.values()), "engine_mb": engine}


def run_bare(path: Path, folder: Path) -> dict[str, float]:
    """Run the bare script as a command."""
    command = [sys.executable, str(HERE / "bare.py"), str(path), json.dumps(PARAMS), str(ROUNDS), str(PATIENCE)]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return {**json.loads(done.stdout), "seconds": time.perf_counter() - started}


def _watch(process: subprocess.Popen[str], peaks: dict[int, float]) -> None:
    """Read the peak resident memory (MB) of a process and of its children from the operating system, twice a second.

    The system keeps the peak, so rare reading is enough and does not disturb the measurement.
    """
    while process.poll() is None:
        try:
            parent = psutil.Process(process.pid)
            for one in [parent, *parent.children(recursive=True)]:
                status = Path(f"/proc/{one.pid}/status").read_text()
                peaks[one.pid] = int(status.partition("VmHWM:")[2].split()[0]) / 1024
        except (psutil.NoSuchProcess, FileNotFoundError, IndexError, ValueError):
            continue
        finally:
            time.sleep(0.5)


def compare(rows: int, repeat: int, *, text: bool) -> list[str]:
    """Measure one kind of table and return its lines of the Markdown table."""
    ours: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_table(folder / "big.parquet", rows, text=text)
        for _ in range(repeat):
            for results, run in ((ours, run_boostlab), (bare, run_bare)):
                results.append(run(folder / "big.parquet", folder))
                print(run.__name__, results[-1], file=sys.stderr)

    def middle(results: list[dict[str, float]], name: str) -> float:
        return statistics.median(result[name] for result in results)

    what = "28 numbers" if not text else "24 numbers, 4 texts"
    lines = []
    for label, name, unit in (("training step", "fit_time_s", "s"), ("whole", "seconds", "s"), ("peak memory", "peak_mb", "MB")):
        left, right = middle(ours, name), middle(bare, name)
        lines.append(
            f"| {what}: {label} | {left:.4g} {unit} | {right:.4g} {unit} | {left / right:.2f} | at most {TARGETS[label]} |"
        )
    loss = middle(ours, "test_log_loss"), middle(bare, "test_log_loss")
    lines.append(f"| {what}: test log loss | {loss[0]:.4f} | {loss[1]:.4f} | | |")
    lines.append(f"| {what}: memory of papermill and MLflow in addition | {middle(ours, 'engine_mb'):.4g} MB | | | |")
    return lines


def main() -> None:
    """Measure and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    lines = [f"| {options.rows:,} rows | boostlab | bare XGBoost | ratio | target |", "| --- | --- | --- | --- | --- |"]
    for text in (False, True):
        lines += compare(options.rows, options.repeat, text=text)
    print_table("large_table", lines, rounds=options.repeat, readme=options.readme)


if __name__ == "__main__":
    main()
