"""Train on a table of five times the memory that a process may have, and on one that fits, each both ways.

Usage: ``python -m benchmarks.scale.training [--limit-mb N] [--rounds N] [--readme]``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.report import print_table
from benchmarks.scale.bare import WORDS

PROJECT = Path(__file__).parents[2]
TIMES = 5  # the limit
NUMBERS, TEXTS = 60, 30
ROW_BYTES = NUMBERS * 8 + TEXTS * 19 + 8
GROUP_ROWS = 50_000
SMALLER = 10  # times: the table that fits
PARAMS = {"eta": 0.1, "max_depth": 6, "max_bin": 256, "nthread": os.cpu_count()}


def make_table(path: Path, rows: int) -> None:
    """Write a seeded table of numbers, words and a numeric target."""
    draw, writer = np.random.default_rng(7), None
    for _ in range(max(5, rows // GROUP_ROWS)):
        numbers = draw.standard_normal((GROUP_ROWS, NUMBERS))
        codes = draw.integers(0, len(WORDS), (GROUP_ROWS, TEXTS))
        columns: dict[str, Any] = {f"x{place}": numbers[:, place] for place in range(NUMBERS)}
        columns |= {f"t{place}": WORDS.take(pa.array(codes[:, place])) for place in range(TEXTS)}
        signal = numbers[:, 0] * 2 + numbers[:, 1] * numbers[:, 2] + codes[:, 0] % 3
        columns["y"] = signal + draw.standard_normal(GROUP_ROWS)
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def run(module: str, folder: Path, *arguments: object) -> dict[str, Any]:
    """Run a script as a process of its own, and return its figures."""
    command = [sys.executable, "-m", f"benchmarks.scale.{module}", *map(str, arguments)]
    env = os.environ | {"BOOSTLAB_CACHE": str(folder / "cache")}
    done = subprocess.run(command, cwd=PROJECT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(module, *arguments, figures, file=sys.stderr, flush=True)
    return figures


def describe_large(ours: dict[str, Any], bare: dict[str, Any], limit_mb: int) -> list[str]:
    """Return the lines of the table that does not fit."""
    size = f"{ours['rows']:,} rows, {NUMBERS} numbers and {TEXTS} texts: {ours['table_mb'] / 1e3:.2g} GB"
    lines = [f"| {size} | boostlab | bare | ratio | target |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| memory, without pages of files | {ours['peak_mb']:.0f} MB | {bare['peak_mb']:.0f} MB | "
        f"{ours['peak_mb'] / bare['peak_mb']:.2f} | at most the limit, {limit_mb} MB |"
    ]
    for name, label, target in (
        ("fit_s", "bins and training", "at most 1.5"),
        ("whole_s", "whole, with all studies and checks", ""),
    ):
        lines += [f"| {label} | {ours[name]:.0f} s | {bare[name]:.0f} s | {ours[name] / bare[name]:.2f} | {target} |"]
    return [*lines, f"| test RMSE | {ours['rmse']:.4f} | {bare['rmse']:.4f} |  |  |"]


def describe_small(outside: dict[str, Any], inside: dict[str, Any], chosen: str) -> list[str]:
    """Return the lines of the table that fits."""
    lines = [
        f"| {outside['rows']:,} rows, which fit: `auto` takes {chosen} | external | internal | ratio |",
        "| --- | --- | --- | --- |",
    ]
    for name, label, unit, digits in (
        ("fit_s", "bins and training", "s", 1),
        ("peak_mb", "memory, without pages of files", "MB", 0),
    ):
        ratio = outside[name] / inside[name]
        lines += [f"| {label} | {outside[name]:,.{digits}f} {unit} | {inside[name]:,.{digits}f} {unit} | {ratio:.2f} |"]
    return [*lines, f"| test RMSE | {outside['rmse']:.6f} | {inside['rmse']:.6f} |  |"]


def main() -> None:
    """Measure and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit-mb", type=int, default=800, help="memory of the process")
    parser.add_argument("--rounds", type=int, default=20, help="boosting rounds")
    parser.add_argument("--readme", action="store_true", help="put the table into the README")
    options = parser.parse_args()
    limit = options.limit_mb * 1_000_000
    params = json.dumps({**PARAMS, "num_boost_round": options.rounds})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = folder / "large.parquet"
        make_table(path, TIMES * limit // ROW_BYTES)
        ours, bare = run("ours", folder, path, "auto", limit, params), run("bare", folder, path, params)
        path = folder / "small.parquet"
        make_table(path, TIMES * limit // ROW_BYTES // SMALLER)
        outside, inside, chosen = (run("ours", folder, path, memory, 0, params) for memory in ("external", "internal", "auto"))
    assert ours["memory"] == "external"
    lines = [*describe_large(ours, bare, options.limit_mb), "", *describe_small(outside, inside, chosen["memory"])]
    print_table("scale.training", lines, rounds=1, readme=options.readme)


if __name__ == "__main__":
    main()
