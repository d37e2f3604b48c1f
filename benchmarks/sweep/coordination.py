"""Measure what the coordinator of a sweep takes for itself, and whether that grows with the number of trials.

A trial executes a notebook that only sleeps, with whole records. Usage:
``python -m benchmarks.sweep.coordination [--trials N] [--sleep SECONDS] [--jobs N] [--readme]``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.report import print_table

NOTEBOOK = Path(__file__).with_name("sleep.ipynb")
SPACE = "a: {low: 0.0, high: 1.0}\nb: {low: 0.0, high: 1.0}\n"
TARGET_MS = 9
QUARTERS = 4
FIRST = 32  # trials, after which all packages are loaded


def sweep(folder: Path, *, trials: int, sleep_s: float, jobs: int, sampler: str) -> list[str]:
    """Run the sweep in this process, and return the lines of the table."""
    from boostlab import Sweep, start_run
    from boostlab.notebook.parameters import read_parameters
    from boostlab.sweep import Sweeper

    import nbformat

    (folder / "space.yaml").write_text(SPACE)
    sheet = nbformat.read(NOTEBOOK.parents[2] / "notebooks" / "sweep.ipynb", as_version=4)
    values = {parameter.name: parameter.default for parameter in read_parameters(sheet)}
    values |= {"notebook": str(NOTEBOOK), "space": str(folder / "space.yaml"), "metric": ["loss"], "direction": ["lower"]}
    values |= {
        "fixed": {"seconds": sleep_s},
        "n_trials": trials,
        "n_jobs": jobs,
        "sampler": sampler,
        "tracking_uri": f"sqlite:///{folder}/mlflow.db",
    }
    settings = Sweep.check(values)
    run = start_run(settings)
    sweeper = Sweeper(run, settings)
    first: list[float] = []
    noting = threading.Thread(target=note_memory, args=[sweeper, first], daemon=True)
    noting.start()
    started = time.thread_time()
    sweeper.search()
    own_s = time.thread_time() - started  # Dask's scheduler has a thread of its own
    last = read_memory()
    noting.join(1)
    run.finish()
    ends = sorted(trial.end_ms for trial in sweeper.trials if trial.state == "complete")
    size = len(ends) // QUARTERS
    gaps = [(ends[(part + 1) * size - 1] - ends[part * size]) / (size - 1) for part in (0, QUARTERS - 1)]
    duration_s = statistics.median(trial.end_ms - trial.start_ms for trial in sweeper.trials) / 1000
    return [
        f"| {trials:,} trials that sleep {sleep_s:g} s, {jobs} at a time, sampler {sampler} | | target |",
        "| --- | --- | --- |",
        f"| processor time of the coordinator per trial | {own_s / trials * 1000:.1f} ms | at most {TARGET_MS} ms |",
        f"| time per trial, last quarter against first | {gaps[1] / gaps[0]:.2f} | 0.9 to 1.1 |",
        f"| memory of the coordinator, at the end against {FIRST} trials | {last:.0f} MB, {last / first[0]:.2f} | at most 1.1 |",
        f"| median duration of a trial | {duration_s:.2f} s | |",
    ]


def read_memory() -> float:
    """Return this process's memory in MB."""
    return float(psutil.Process().memory_info().rss / 2**20)


def note_memory(sweeper: Any, noted: list[float]) -> None:
    """Note the memory once the first trials have ended."""
    while sum(trial.state == "complete" for trial in sweeper.trials) < FIRST:
        time.sleep(0.1)
    noted.append(read_memory())


def main() -> None:
    """Measure one sweep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep.coordination")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--sleep", type=float, default=1.0)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--sampler", default="random", help="another one adds the time that Optuna takes to choose a point")
    parser.add_argument("--readme", action="store_true")
    given = parser.parse_args()
    if given.trials < FIRST:
        parser.error(f"--trials {given.trials}: at least {FIRST}, after which the memory is first noted")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        os.chdir(folder)
        lines = sweep(Path(folder), trials=given.trials, sleep_s=given.sleep, jobs=given.jobs, sampler=given.sampler)
    print_table("sweep.coordination", lines, rounds=1, readme=given.readme)


if __name__ == "__main__":
    main()
