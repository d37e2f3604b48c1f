"""Train with bare XGBoost (pyarrow, QuantileDMatrix, train), compute the test log loss, and print the figures as JSON.

The rows are in random order, so slices without a copy are a valid split, and the cheapest one.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import pyarrow.parquet as pq
import xgboost as xgb

path, params, rounds, patience = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
started = time.perf_counter()
table = pq.read_table(path)
target = table.column("y").to_numpy()
features = table.drop_columns(["y"])
for position, field in enumerate(features.schema):
    if field.type == "string":
        features = features.set_column(position, field.name, features.column(position).dictionary_encode().unify_dictionaries())
rows = len(target)
first, second = int(rows * 0.6), int(rows * 0.8)
train = xgb.QuantileDMatrix(features.slice(0, first), label=target[:first], enable_categorical=True)
valid = xgb.QuantileDMatrix(features.slice(first, second - first), label=target[first:second], ref=train, enable_categorical=True)
fitting = time.perf_counter()
watched = [(train, "train"), (valid, "valid")]
booster = xgb.train(params, train, rounds, evals=watched, early_stopping_rounds=patience, verbose_eval=False)
fit_time_s = time.perf_counter() - fitting
test = xgb.DMatrix(features.slice(second), label=target[second:], enable_categorical=True)
loss = booster.eval(test)
print(
    json.dumps(
        {
            "fit_time_s": fit_time_s,
            "test_log_loss": float(loss.rpartition(":")[2]),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "seconds_inside": time.perf_counter() - started,
        }
    )
)
