"""Make the comparison's table as the notebook does, and print the figures as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import cast

from benchmarks.compare_many.memory import report, start

from boostlab.comparison.settings import Compare
from boostlab.comparison.steps import Comparison
from boostlab.notebook.parameters import check_parameters
from boostlab.tracking.store import find_store, open_store

import mlflow  # noqa: F401  # loaded before the clock starts, as in stock.py

notebook = json.loads((Path(__file__).parents[2] / "notebooks" / "compare.ipynb").read_text(encoding="utf-8"))
settings = cast(Compare, check_parameters(notebook, {"metric": "test_rmse"}))

begun = start()
client = open_store(find_store(sys.argv[1], project=Path.cwd())).client
comparison = Comparison(client, settings)
comparison.tabulate_runs()
report(begun, best=comparison.selection.runs[0].info.run_name, value=comparison.selection.values[0])
