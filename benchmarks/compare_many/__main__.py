"""Time the comparison's table both ways, alternating, each in a fresh process. Print medians and ratios as Markdown.

Usage: ``python -m benchmarks.compare_many [--runs N] [--repeat N] [--readme]``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.compare_many.made import make_runs
from benchmarks.report import print_table

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
PAPERMILL = str(Path(sys.executable).with_name("papermill"))
FEW = 1000  # runs of the smaller store: the difference shows what grows with the store
TARGET = 0.5


def make_store(folder: Path, runs: int) -> str:
    """Make a SQLite store with `runs` copies of one real training, and return its address."""
    folder.mkdir()
    address = f"sqlite:///{folder}/mlflow.db"
    notebook = str(PROJECT / "notebooks/train.ipynb")
    options = ["-p", "tracking_uri", address, "-p", "num_boost_round", "20"]
    subprocess.run(
        [PAPERMILL, "--no-progress-bar", notebook, str(folder / "out.ipynb"), *options], check=True, capture_output=True
    )
    make_runs(folder / "mlflow.db", runs - 1)
    return address


def measure(addresses: dict[str, str], repeat: int) -> dict[str, list[dict[str, Any]]]:
    """Return each side's figures on each store, by ``<side> <store>``. The first round warms the disk and does not count."""
    found: dict[str, list[dict[str, Any]]] = {}
    for turn in range(repeat + 1):
        for store, address in addresses.items():
            for side in ("ours", "stock"):
                command = [sys.executable, "-m", f"benchmarks.compare_many.{side}", address]
                started = time.perf_counter()
                done = subprocess.run(command, cwd=PROJECT, env=os.environ, check=True, capture_output=True, text=True)
                figures = {**json.loads(done.stdout.splitlines()[-1]), "whole_s": time.perf_counter() - started}
                print(f"round {turn} of {repeat}: {side} {store} {figures}", file=sys.stderr)
                if turn:
                    found.setdefault(f"{side} {store}", []).append(figures)
    return found


def render(found: dict[str, list[dict[str, Any]]], stores: list[str]) -> list[str]:
    """Return the lines of the Markdown table."""
    lines = ["| | boostlab | `mlflow.search_runs` | ratio | target |", "| --- | --- | --- | --- | --- |"]
    for store in stores:
        assert len({run["best"] for side in ("ours", "stock") for run in found[f"{side} {store}"]}) == 1, "both find the same run"
        for label, name, unit, target in (
            ("table ready", "ready_s", "s", f"at most {TARGET}"),
            ("whole command", "whole_s", "s", ""),
            ("memory beyond the loaded program", "grown_mb", "MB", ""),
        ):
            left, right = (statistics.median(run[name] for run in found[f"{side} {store}"]) for side in ("ours", "stock"))
            lines.append(f"| {store}: {label} | {left:.3g} {unit} | {right:.3g} {unit} | {left / right:.2f} | {target} |")
    return lines


def main() -> None:
    """Measure and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ |= {"XDG_STATE_HOME": temporary, "MLFLOW_DISABLE_TELEMETRY": "true"}
        sizes = sorted({min(FEW, options.runs), options.runs})
        addresses = {f"{runs:,} runs": make_store(Path(temporary) / str(runs), runs) for runs in sizes}
        found = measure(addresses, options.repeat)
    print_table("compare_many", render(found, list(addresses)), rounds=options.repeat, readme=options.readme)


if __name__ == "__main__":
    main()
