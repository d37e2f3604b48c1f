"""Train with bare ``ExtMemQuantileDMatrix`` over batches of a Parquet file, and print the figures as JSON.

The rows are in random order, so row groups are a valid split. The words are known, so that batches have the same codes.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xgboost as xgb

from benchmarks.scale.peak import Peak

WORDS = pa.array([f"word number {number:03d}" for number in range(200)])


class Batches(xgb.DataIter):
    """Row groups of a file."""

    def __init__(self, path: str, groups: range, prefix: Path) -> None:
        self._file, self._groups, self._next = pq.ParquetFile(path), groups, 0
        super().__init__(cache_prefix=str(prefix), on_host=False)

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Give XGBoost a row group."""
        if self._next >= len(self._groups):
            return False
        inputs, label, types = read_group(self._file, self._groups[self._next])
        input_data(data=inputs, label=label, feature_types=types)
        self._next += 1
        return True

    def reset(self) -> None:
        """Begin again."""
        self._next = 0


def read_group(file: pq.ParquetFile, group: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[str]]:
    """Return a row group's inputs, labels and types of inputs."""
    table = file.read_row_group(group)
    features = table.drop_columns(["y"])
    inputs = np.empty(features.shape, np.float32)
    types = []
    for place, column in enumerate(features.columns):
        is_text = pa.types.is_string(column.type)
        inputs[:, place] = (pc.index_in(column, WORDS) if is_text else column).to_numpy()
        types.append("c" if is_text else "q")
    return inputs, table.column("y").to_numpy(), types


def main() -> None:
    """Train and evaluate."""
    path, params = sys.argv[1], json.loads(sys.argv[2])
    rounds = params.pop("num_boost_round")
    peak = Peak()
    started = time.perf_counter()
    count = pq.ParquetFile(path).num_row_groups
    first, second = int(count * 0.6), int(count * 0.8)
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        train = xgb.ExtMemQuantileDMatrix(Batches(path, range(first), Path(folder) / "train"), enable_categorical=True)
        valid = xgb.ExtMemQuantileDMatrix(
            Batches(path, range(first, second), Path(folder) / "valid"), ref=train, enable_categorical=True
        )
        booster = xgb.train(params, train, rounds, evals=[(train, "train"), (valid, "valid")], verbose_eval=False)
        fit_s = time.perf_counter() - started
        errors, file = [], pq.ParquetFile(path)
        for group in range(second, count):
            inputs, label, types = read_group(file, group)
            answers = booster.predict(xgb.DMatrix(inputs, feature_types=types, enable_categorical=True))
            errors.append((answers - label) ** 2)
        del train, valid
    rmse = float(np.concatenate(errors).mean() ** 0.5)
    print(json.dumps({"fit_s": fit_s, "whole_s": time.perf_counter() - started, "peak_mb": peak.bytes / 1e6, "rmse": rmse}))


if __name__ == "__main__":
    main()
