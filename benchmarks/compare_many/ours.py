"""The comparison's table, as the notebook makes it. Prints its figures as JSON."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.compare_many.memory import report, start

from boostlab.comparison.tables import tabulate_runs
from boostlab.comparison.selection import select_runs
from boostlab.tracking.store import find_store, open_store

import mlflow  # noqa: F401  # loaded before the clock starts, as on the other side

begun = start()
client = open_store(find_store(sys.argv[1], project=Path.cwd())).client
selection = select_runs(client, notebook="train", metric="test_rmse")
table = tabulate_runs(selection)
report(begun, best=table.loc[1, "run"], value=table.loc[1, "test_rmse"])
