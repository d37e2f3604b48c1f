"""Time a sweep of the small training against what a user would write instead, as whole commands; print ratios as Markdown.

Usage: ``python -m benchmarks.sweep [--trials N] [--repeat N] [--readme]``. All sides run two trials at a time, but for the first
loop. With ``--readme`` the table replaces the one in the README.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import print_table

PROJECT = Path(__file__).resolve().parents[2]
PROCESSES = 2
SWEEP = "boostlab's sweep"
TARGETS = {  # the least or the most of the sweep's time
    "loop of stock notebooks": ("at least 12 times as fast", "times as fast"),
    "the same loop, two at a time": ("at least 6 times as fast", "times as fast"),
    "Optuna and MLflow in a script": ("at most 1.3 of its time", "of its time"),
}


def commands(store: str, trials: int) -> dict[str, list[str]]:
    """Return the command of each side."""
    papermill = str(Path(sys.executable).with_name("papermill"))
    own = [papermill, str(PROJECT / "notebooks/sweep.ipynb"), "out.ipynb", "-p", "space", "quick", "-p", "tracking_uri", store]
    loop = [sys.executable, "-m", "benchmarks.sweep.loop", store, str(trials)]
    script = [sys.executable, "-m", "benchmarks.sweep.optuna_script", store, str(trials), str(PROCESSES)]
    own += ["-p", "n_trials", str(trials), "-p", "n_jobs", str(PROCESSES), "--no-progress-bar"]
    names = [SWEEP, *TARGETS]
    return dict(zip(names, [own, [*loop, "1"], [*loop, str(PROCESSES)], script], strict=True))


def measure(trials: int, repeat: int) -> dict[str, list[float]]:
    """Return seconds of wall time of each side; each round has stores of its own, which exist already."""
    seconds: dict[str, list[float]] = {}
    for turn in range(repeat):
        for name in commands("", trials):
            with tempfile.TemporaryDirectory() as folder:
                store = f"sqlite:///{folder}/mlflow.db"
                env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "XDG_STATE_HOME": folder, "PYTHONPATH": str(PROJECT)}
                make = "import sys, mlflow; mlflow.MlflowClient(sys.argv[1]).search_experiments()"
                subprocess.run([sys.executable, "-c", make, store], cwd=folder, env=env, check=True, capture_output=True)
                started = time.perf_counter()
                subprocess.run(commands(store, trials)[name], cwd=folder, env=env, check=True, capture_output=True)
                seconds.setdefault(name, []).append(time.perf_counter() - started)
            print(f"round {turn + 1} of {repeat}: {name:<32}{seconds[name][-1]:7.1f} s", file=sys.stderr)
    return seconds


def render(seconds: dict[str, list[float]], trials: int) -> list[str]:
    """Return the lines of the Markdown table."""
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    lines = [f"| {trials} trials | median | the sweep is, or takes | target |", "| --- | --- | --- | --- |"]
    for name, value in middle.items():
        target, unit = TARGETS.get(name, ("", ""))
        share = value / middle[SWEEP] if unit.startswith("times") else middle[SWEEP] / value
        lines.append(f"| {name} | {value:.1f} s | {f'{share:.2f} {unit}' if unit else ''} | {target} |")
    return lines


def main() -> None:
    """Measure all sides in one session."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--readme", action="store_true")
    given = parser.parse_args()
    lines = render(measure(given.trials, given.repeat), given.trials)
    print_table("sweep", lines, rounds=given.repeat, readme=given.readme)


if __name__ == "__main__":
    main()
