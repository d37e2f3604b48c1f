"""Parameters from Python's API: values of numpy and paths become plain ones, in the cell, the metadata and the run."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import papermill
import pytest
from tests.support.executions import Look, Write
from tests.support.stores import artifacts, only_run

from boostlab.execution.injection import to_plain


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(5), 5),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array([1, 2]), [1, 2]),
        (np.array("a"), "a"),
        (Path("a/b"), "a/b"),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        ({"a": (np.int8(1), None)}, {"a": [1, None]}),
    ],
)
def test_makes_a_value_plain(value: object, plain: object) -> None:
    made = to_plain(value)
    assert (made, type(made)) == (plain, type(plain))
    json.dumps(made)


@pytest.mark.slow
def test_executes_with_values_of_numpy_and_paths_under_any_name(
    write_notebook: Write, store: str, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_notebook("print(x + 1, experiment)", name="hash#2 100%.ipynb")
    given: dict[str, Any] = {"x": np.int64(5), "experiment": Path("numbers"), "tracking_uri": store}
    papermill.execute_notebook(str(path), "out.ipynb", parameters=given, progress_bar=False)
    run = only_run(look())
    assert (run.info.status, run.data.params["x"], run.data.params["experiment"]) == ("FINISHED", "5", "numbers")
    assert "6 numbers" in Path("out.ipynb").read_text()
    assert artifacts(look(), run.info.run_id) == {"notebook/hash_2 100_.html", "notebook/hash_2 100_.ipynb"}
