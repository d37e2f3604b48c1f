"""Warm kernels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.executions import Papermill, Write

pytestmark = pytest.mark.slow


def test_a_variable_set_in_a_cell_acts_on_a_package_imported_later(
    write_notebook: Write, papermill: Papermill, store: str, tmp_path: Path
) -> None:
    (tmp_path / "loud.py").write_text("print('loaded')")
    cells = (
        "import os\nos.environ['OMP_NUM_THREADS'] = '1'",
        "import loud, xgboost, threadpoolctl\nprint(threadpoolctl.threadpool_info())",
    )
    done = papermill(write_notebook(*cells), "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    outputs = json.loads((tmp_path / "out.ipynb").read_text())["cells"][-1]["outputs"]
    printed = "".join(text for output in outputs for text in output["text"])
    assert printed.startswith("loaded")
    assert "'num_threads': 1" in printed
    assert "'user_api': 'openmp', 'internal_api': 'openmp', 'num_threads': 2" not in printed
