"""``score.ipynb`` as a whole, by papermill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.paths import PROJECT
from tests.support.registry import add_version
from tests.support.stores import all_runs, artifacts, read_artifact

from boostlab.tracking.store import find_store, open_store

SCORE = PROJECT / "notebooks" / "score.ipynb"


@pytest.mark.slow
def test_scores_with_the_version_in_production_and_lists_the_models_without_one(
    execute: Callable[..., Any], store: str, look: Callable[..., Any], tmp_path: Path
) -> None:
    from sklearn.datasets import load_iris

    client = open_store(find_store(store, project=tmp_path)).client
    add_version(client, "iris", dataset="iris")
    rows = load_iris(as_frame=True).data
    rows.to_csv(tmp_path / "rows.csv", index=False)
    options = ["-p", "tracking_uri", store, "-p", "model", "iris", "-p", "rows", tmp_path / "rows.csv"]

    refused = execute(SCORE, "out.ipynb", *options)
    assert refused.returncode == 1 and "iris has no version in production" in refused.stderr
    client.set_registered_model_alias("iris", "production", "1")
    done = execute(SCORE, "out.ipynb", *options, "-p", "stage", "produção", "-p", "probabilities", "True")
    assert done.returncode == 0, done.stderr

    run = all_runs(look())[0]
    assert run.info.status == "FINISHED" and run.data.metrics["rows"] == 150
    assert {"plots/drift.png", "drift/columns.json"} <= artifacts(look(), run.info.run_id)
    out = pd.read_csv(tmp_path / "rows-scored.csv")
    assert out[rows.columns].to_numpy().tolist() == rows.to_numpy().tolist()
    assert (out["prediction"] == np.repeat(["setosa", "versicolor", "virginica"], 50)).mean() > 0.9

    listed = execute(SCORE, "listed.ipynb", *options[:3])
    assert listed.returncode == 0, listed.stderr
    run = all_runs(look())[0]
    assert run.info.status == "FINISHED" and "rows" not in run.data.metrics
    assert not [path for path in artifacts(look(), run.info.run_id) if not path.startswith("notebook/")]
    assert "Registered models" in (tmp_path / "listed.ipynb").read_text()


@pytest.mark.slow
def test_workers_of_this_machine_score_as_one_process_does(
    execute: Callable[..., Any], store: str, look: Callable[..., Any], tmp_path: Path
) -> None:
    from sklearn.datasets import load_iris

    client = open_store(find_store(store, project=tmp_path)).client
    add_version(client, "iris", dataset="iris")
    client.set_registered_model_alias("iris", "production", "1")
    load_iris(as_frame=True).data.to_parquet(tmp_path / "rows.parquet")
    options = [
        "-p",
        "tracking_uri",
        store,
        "-p",
        "model",
        "iris",
        "-p",
        "rows",
        tmp_path / "rows.parquet",
        "-p",
        "chunk_rows",
        20,
    ]

    refused = execute(SCORE, "out.ipynb", *options, "-p", "workers", 2, "-p", "trust_code", "True")
    assert refused.returncode == 1 and "works in this process only: leave workers out" in refused.stderr
    for name, more in {"here": [], "there": ["-p", "workers", 2]}.items():
        done = execute(SCORE, f"{name}.ipynb", *options, *more, "-p", "output", tmp_path / f"{name}.csv")
        assert done.returncode == 0, done.stderr

    there, here, *_ = all_runs(look())
    assert (there.info.status, there.data.metrics) == ("FINISHED", here.data.metrics)
    assert there.data.params["workers"] == "2"
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    tables = [read_artifact(look(), run.info.run_id, "drift/columns.json") for run in (here, there)]
    assert tables[0] == tables[1]
    assert not [*tmp_path.glob(".*.csv*")]
