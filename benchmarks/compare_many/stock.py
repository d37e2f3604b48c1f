"""Make the same table as MLflow's documentation does (``mlflow.search_runs``, then pandas), and print the figures as JSON."""

from __future__ import annotations

import sys

from benchmarks.compare_many.memory import report, start

import mlflow

begun = start()
mlflow.set_tracking_uri(sys.argv[1])
runs = mlflow.search_runs(experiment_names=["train"])
table = runs.sort_values("metrics.test_rmse").head(20)
report(begun, best=table.iloc[0]["tags.mlflow.runName"], value=table.iloc[0]["metrics.test_rmse"])
