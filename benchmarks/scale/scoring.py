"""Score a Parquet file in chunks, with the drift of each column, against bare ``inplace_predict`` over the same batches.

Usage: ``python -m benchmarks.scale.scoring [--rows N] [--rounds N] [--repeat N] [--readme]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.report import print_table
from benchmarks.scale.bare import WORDS
from benchmarks.scale.peak import Peak

PROJECT = Path(__file__).parents[2]
NUMBERS, TEXTS = 26, 4
CHUNK_ROWS = 65_536
SMALLER = 10  # times: the file whose memory is compared
WAYS = ("here", "workers", "predict", "copy")


def write_rows(path: Path, rows: int, *, with_target: bool = False) -> None:
    """Write a seeded file of numbers with gaps, and texts."""
    draw, writer = np.random.default_rng(7), None
    for start in range(0, rows, CHUNK_ROWS):
        count = min(CHUNK_ROWS, rows - start)
        numbers = draw.standard_normal((count, NUMBERS))
        gaps = draw.random(count) < 0.1
        codes = draw.integers(0, len(WORDS), (count, TEXTS))
        columns: dict[str, Any] = {f"x{place}": pa.array(numbers[:, place]) for place in range(NUMBERS)}
        columns["x3"] = pa.array(numbers[:, 3], mask=gaps)
        columns |= {f"t{place}": WORDS.take(pa.array(codes[:, place])) for place in range(TEXTS)}
        if with_target:
            columns["y"] = numbers[:, 0] * 2 + numbers[:, 1] * numbers[:, 2] + codes[:, 0] % 3 + draw.standard_normal(count)
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def make_model(folder: Path, rounds: int) -> None:
    """Train a model, and write it as an MLflow Model with the rows that its drift is measured against."""
    from mlflow.models import Model
    from tests.support.settings import make_settings

    from boostlab.data import load_table, profile_columns, split_table
    from boostlab.models.packaging import package_model, write_model
    from boostlab.training import fit_booster

    write_rows(folder / "train.parquet", 100_000, with_target=True)
    settings = make_settings(
        dataset=str(folder / "train.parquet"), target="y", num_boost_round=rounds, early_stopping_rounds=0, max_depth=6
    )
    split = split_table(load_table(settings), settings)
    fit = fit_booster(split, profile_columns(split), settings)
    write_model(fit.predictor, split.test.head(5), folder / "parts")
    package_model(folder / "parts", folder / "model", mlflow_model=Model())
    split.test.head(10_000).to_parquet(folder / "reference.parquet")


def score(folder: Path, way: str, rows: str) -> None:
    """Score in this process, and print the seconds and the peak of the memory."""
    if way in ("here", "workers"):
        work = partial(score_ours, folder, rows, on_workers=way == "workers")
    else:
        work = partial(score_bare, folder, rows, copy=way == "copy")
    peak = Peak()
    started = time.perf_counter()
    work()
    print(json.dumps({"s": time.perf_counter() - started, "mb": peak.bytes / 1e6}))


def score_ours(folder: Path, rows: str, *, on_workers: bool) -> None:
    """Score as ``score.ipynb`` does."""
    import pandas as pd

    from boostlab.data.drift import Drift
    from boostlab.models.contract import Contract
    from boostlab.models.loading import identify_model, open_predictor
    from boostlab.scoring import score_file
    from boostlab.scoring.workers import open_workers, score_on_workers

    model = folder / "model"
    contract = Contract.read_model(model)
    options: dict[str, Any] = {
        "rows": rows,
        "output": folder / "out.parquet",
        "drift": Drift(contract.features, pd.read_parquet(folder / "reference.parquet")),
        "chunk_rows": CHUNK_ROWS,
        "identity": identify_model(model),
    }
    if not on_workers:
        score_file(open_predictor(model), contract, **options)
        return
    with open_workers("", n_workers=2, folder=folder) as client:
        score_file(open_predictor(model), contract, score=partial(score_on_workers, client, model), **options)


def score_bare(folder: Path, rows: str, *, copy: bool) -> None:
    """Predict each batch with XGBoost alone; with `copy`, write the rows with the predictions."""
    import xgboost as xgb

    from boostlab.models.contract import BOOSTER_FILE, MODEL_DATA, Contract

    booster = xgb.Booster(model_file=folder / "model" / MODEL_DATA / BOOSTER_FILE)
    features = Contract.read_model(folder / "model").features
    file, writer = pq.ParquetFile(rows), None
    for batch in file.iter_batches(CHUNK_ROWS):
        inputs = np.empty((batch.num_rows, len(features)), np.float32)
        for place, item in enumerate(features):
            column = batch.column(item.name)
            values = pc.index_in(column, pa.array(item.categories)) if item.type == "category" else column
            inputs[:, place] = values.to_numpy(zero_copy_only=False)
        answers = booster.inplace_predict(inputs)
        if copy:
            table = pa.Table.from_batches([batch]).append_column("prediction", pa.array(answers))
            writer = writer or pq.ParquetWriter(folder / "bare.parquet", table.schema)
            writer.write_table(table)
    if writer:
        writer.close()


def measure(folder: Path, way: str, rows: Path) -> dict[str, float]:
    """Score in a process of its own, and return what it prints."""
    command = [sys.executable, "-m", "benchmarks.scale.scoring", "--score", way, "--folder", str(folder), "--file", str(rows)]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(way, rows.name, figures, file=sys.stderr, flush=True)
    return figures


def main() -> None:
    """Measure and print; with ``--readme``, update the README."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.scoring")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=200, help="trees of the model")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--readme", action="store_true")
    for name in ("--score", "--folder", "--file"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.score:
        score(Path(given.folder), given.score, given.file)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_model(folder, given.rounds)
        large, small = folder / "large.parquet", folder / "small.parquet"
        write_rows(large, given.rows)
        write_rows(small, given.rows // SMALLER)
        turns = [{way: measure(folder, way, large) for way in WAYS} for _ in range(given.repeat)]
        fewer = measure(folder, "here", small)
    speed = {way: given.rows / statistics.median(turn[way]["s"] for turn in turns) for way in WAYS}
    most = statistics.median(turn["here"]["mb"] for turn in turns)
    lines = [
        f"| {given.rows:,} rows × {NUMBERS + TEXTS}, {given.rounds} trees of depth 6 | rows/s | ratio | target |",
        "| --- | --- | --- | --- |",
        f"| boostlab, one process: file, predictions, drift | {speed['here']:,.0f} | | |",
        f"| boostlab, two workers | {speed['workers']:,.0f} | {speed['workers'] / speed['here']:.2f} of one process | |",
        f"| bare `inplace_predict`, nothing kept | {speed['predict']:,.0f} | boostlab has {speed['here'] / speed['predict']:.2f} "
        "of it | at least 0.9 |",
        f"| bare `inplace_predict`, and the same file | {speed['copy']:,.0f} | boostlab has {speed['here'] / speed['copy']:.2f} "
        "of it | |",
        "",
        f"Memory of one process, without pages of files: {fewer['mb']:,.0f} MB for {given.rows // SMALLER:,} rows, "
        f"{most:,.0f} MB for {given.rows:,}.",
    ]
    print_table("scale.scoring", lines, rounds=given.repeat, readme=given.readme)


if __name__ == "__main__":
    main()
