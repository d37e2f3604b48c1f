"""Measure what the coordinator of a sweep takes for itself, and whether that grows with the number of trials.

A trial executes a notebook that only sleeps, with whole records. Usage:
``python -m benchmarks.sweep.coordination [--trials N] [--sleep SECONDS] [--jobs N] [--readme]``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.report import print_table

NOTEBOOK = Path(__file__).with_name("sleep.ipynb")
SPACE = "a: {low: 0.0, high: 1.0}\nb: {low: 0.0, high: 1.0}\n"
TARGET_MS = 9
QUARTERS = 4


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
    process = psutil.Process()
    memory, started = [process.memory_info().rss / 2**20], time.thread_time()
    sweeper.search()
    own_s = time.thread_time() - started  # Dask's scheduler has a thread of its own
    memory.append(process.memory_info().rss / 2**20)
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
        f"| memory of the coordinator, after against before | {memory[1]:.0f} MB, {memory[1] / memory[0]:.2f} | flat |",
        f"| median duration of a trial | {duration_s:.2f} s | |",
    ]


def main() -> None:
    """Measure one sweep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep.coordination")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--sleep", type=float, default=1.0)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--readme", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        os.chdir(folder)
        lines = sweep(Path(folder), trials=given.trials, sleep_s=given.sleep, jobs=given.jobs, sampler=given.sampler)
    print_table("sweep.coordination", lines, rounds=1, readme=given.readme)


if __name__ == "__main__":
    main()
