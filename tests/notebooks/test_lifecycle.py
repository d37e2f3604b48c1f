"""One model's whole life, by the commands that users give: train, register, promote, serve and score.

Continuous integration runs this file alone on each further Python, where other versions of XGBoost and NumPy are installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from sklearn.datasets import load_wine
from tests.support.paths import PROJECT
from tests.support.stores import all_runs
from tests.support.waiting import TIMEOUT_S

from boostlab.models.loading import fetch_version

NOTEBOOKS = PROJECT / "notebooks"


@pytest.mark.slow
def test_a_promoted_model_answers_alike_where_it_is_served_and_where_it_scores(
    papermill: Callable[..., Any], execute: Callable[..., Any], look: Callable[..., Any], store: str, tmp_path: Path
) -> None:
    rows = load_wine(as_frame=True).data.sample(20, random_state=0)
    rows.to_csv(tmp_path / "rows.csv", index=False)

    def run(notebook: str, command: Callable[..., Any] = execute, **parameters: object) -> None:
        given = {"tracking_uri": store, **parameters}
        options = [word for name, value in given.items() for word in ("-p", name, value)]
        done = command(NOTEBOOKS / notebook, "out.ipynb", *options)
        assert done.returncode == 0, done.stderr

    run("train.ipynb", papermill, dataset="wine", num_boost_round=20, register_as="wine")
    for stage in ("staging", "production"):
        run("registry.ipynb", model="wine", version=1, stage=stage)
    run("score.ipynb", model="wine", rows="rows.csv", output="scored.csv")
    scored = pd.read_csv(tmp_path / "scored.csv")

    assert [run.info.status for run in all_runs(look())] == ["FINISHED"] * 4
    assert int(look().get_model_version_by_alias("wine", "production").version) == 1
    folder = fetch_version(look(), "wine", 1)
    assert _served(str(folder), rows) == scored["prediction"].tolist()


def _served(folder: str, rows: pd.DataFrame) -> list[Any]:
    process = subprocess.Popen(
        [sys.executable, "-m", "boostlab.serving", folder, "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        address = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}/invocations"
        answer = requests.post(address, json={"dataframe_split": json.loads(rows.to_json(orient="split"))}, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return list(answer.json()["predictions"])
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)
