"""Files of rows scored a chunk at a time: the same rows, the same order, the model's own answers, whole or not at all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.common import PROJECT, all_runs, artifacts
from tests.support.packages import Packaged
from tests.support.registry import add_version

from boostlab.errors import DataError
from boostlab.models.contract import Feature
from boostlab.scoring.drift import Drift, judge, plot_drift, stability_index
from boostlab.scoring.scorer import name_output, score_file

SCORE = PROJECT / "notebooks" / "score.ipynb"
SCORE_AND_BE_KILLED = """
import sys, os, signal
from pathlib import Path
import mlflow.pyfunc
from boostlab.models.contract import Contract
from boostlab.scoring.scorer import score_file
folder = Path(sys.argv[1])
features = Contract.read_model(folder).features
seen = []
def watch(frame):
    seen.append(len(frame))
    if len(seen) == 3:
        os.kill(os.getpid(), int(sys.argv[4]))
score_file(mlflow.pyfunc.load_model(str(folder)), features, sys.argv[2], Path(sys.argv[3]), chunk_rows=10, watch=watch)
"""


def load(packaged: Packaged) -> tuple[Any, Sequence[Feature], pd.DataFrame]:
    """Return a model, its contract's features and rows that it did not see."""
    import mlflow.pyfunc

    folder, predictor, split = packaged
    return mlflow.pyfunc.load_model(str(folder)), predictor.contract.features, split.test.head(60)


def ignore(frame: pd.DataFrame) -> None:
    pass


@pytest.mark.parametrize("name", ["own", "own_classes", "iris"])
@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_keeps_rows_and_order_and_adds_the_models_answers(
    package: Callable[[str], Packaged], tmp_path: Path, name: str, ending: str
) -> None:
    model, features, rows = load(package(name))
    rows = rows.assign(**{"order no": [f"A-{number:03d}" for number in range(len(rows))]})
    if ending == ".csv":
        rows.to_csv(tmp_path / "rows.csv", index=False)
    else:
        rows.to_parquet(tmp_path / "rows.parquet", index=False)
    labels = package(name)[1].contract.labels
    expected = package(name)[1].predict(rows)

    done = score_file(
        model, features, str(tmp_path / f"rows{ending}"), tmp_path / f"out{ending}", labels=labels, chunk_rows=17, watch=ignore
    )
    out = pd.read_csv(done.path) if ending == ".csv" else pd.read_parquet(done.path)

    assert done.rows == len(out) == len(rows)
    assert list(out.columns) == [*rows.columns, "prediction", *(f"probability of {label}" for label in labels)]
    assert out["order no"].tolist() == rows["order no"].tolist()
    assert out["prediction"].tolist() == list(np.asarray(expected).tolist())
    if ending == ".parquet":
        pd.testing.assert_frame_equal(out[rows.columns], rows, check_dtype=False)


def test_never_holds_more_than_a_chunk(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    model, features, rows = load(package("iris"))
    rows.to_csv(tmp_path / "rows.csv", index=False)
    sizes: list[int] = []

    score_file(
        model,
        features,
        str(tmp_path / "rows.csv"),
        tmp_path / "out.csv",
        chunk_rows=7,
        watch=lambda frame: sizes.append(len(frame)),
    )

    assert max(sizes) == 7 and sum(sizes) == len(rows)


def test_reads_a_folder_of_files_in_order(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    model, features, rows = load(package("iris"))
    (tmp_path / "parts").mkdir()
    rows.iloc[:10].to_parquet(tmp_path / "parts" / "a.parquet")
    rows.iloc[10:].to_parquet(tmp_path / "parts" / "b.parquet")

    done = score_file(model, features, str(tmp_path / "parts"), tmp_path / "out.parquet", chunk_rows=100, watch=ignore)

    assert done.rows == len(rows)
    assert pd.read_parquet(done.path)[rows.columns].to_numpy().tolist() == rows.to_numpy().tolist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("sepal length (cm),x\n1,2\n", "lacks columns that the model needs: sepal width"),
        ("a,b,c,d\n", "lacks columns"),
        (
            "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n1,2,3,4\n1,2,three,4\n",
            "cannot be read: .*three",
        ),
        ("sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n1,2,3\n", "cannot be read"),
        ("sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n", "no rows"),
        (
            "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n1,2,3,inf\n",
            "does not take rows 1 to 1: .*infinite",
        ),
    ],
)
def test_writes_nothing_of_an_input_that_it_cannot_score(
    package: Callable[[str], Packaged], tmp_path: Path, change: str, words: str
) -> None:
    model, features, _ = load(package("iris"))
    (tmp_path / "rows.csv").write_text(change)

    with pytest.raises(DataError, match=words):
        score_file(model, features, str(tmp_path / "rows.csv"), tmp_path / "out.csv", chunk_rows=100, watch=ignore)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_leaves_no_half_output_when_it_is_stopped(package: Callable[[str], Packaged], tmp_path: Path, number: int) -> None:
    folder, _, split = package("iris")
    split.test.head(30).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "out.csv").write_text("what was there before")
    command = [sys.executable, "-c", SCORE_AND_BE_KILLED, str(folder), str(tmp_path / "rows.csv"), str(tmp_path / "out.csv")]

    done = subprocess.run([*command, str(int(number))], capture_output=True, timeout=120, check=False)

    assert done.returncode != 0
    assert (tmp_path / "out.csv").read_text() == "what was there before"
    assert len([*tmp_path.glob(".out.csv.*.part")]) == (number == signal.SIGKILL)

    model, features, _ = load(package("iris"))
    other = tmp_path / f".out.csv.{socket.gethostname()}-{os.getppid()}.part"  # of a process that lives
    other.write_text("")
    score_file(model, features, str(tmp_path / "rows.csv"), tmp_path / "out.csv", chunk_rows=10, watch=ignore)
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "out.csv", "rows.csv"]


def test_names_the_output_beside_the_input_and_never_the_input_itself(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    model, features, rows = load(package("iris"))
    rows.to_csv(tmp_path / "rows.csv.gz", index=False)
    rows.to_csv(tmp_path / "rows.csv", index=False)

    assert name_output(str(tmp_path / "rows.csv.gz"), "") == tmp_path / "rows-scored.csv"
    with pytest.raises(DataError, match="is the input"):
        score_file(model, features, str(tmp_path / "rows.csv"), tmp_path / "rows.csv", chunk_rows=10, watch=ignore)


def test_says_that_the_output_cannot_be_written(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    model, features, rows = load(package("iris"))
    rows.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match="cannot be written"):
        score_file(model, features, str(tmp_path / "rows.csv"), tmp_path / "file" / "out.csv", chunk_rows=10, watch=ignore)


def test_sees_what_drifted_and_what_did_not() -> None:
    draw = np.random.default_rng(0)
    features = [
        Feature("a", "number", "double"),
        Feature("b", "number", "double", optional=True),
        Feature("c", "category", "string", categories=("x", "y")),
        Feature("d", "date", "datetime", parts=("days",)),
        Feature("e", "boolean", "boolean"),
    ]

    def rows(shift: float, gaps: float, odd: float) -> pd.DataFrame:
        size = 4000
        return pd.DataFrame(
            {
                "a": draw.normal(shift, 1, size),
                "b": np.where(draw.random(size) < gaps, np.nan, draw.normal(size=size)),
                "c": np.where(draw.random(size) < odd, "z", draw.choice(["x", "y"], size)),
                "d": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 300, size), unit="D"),
                "e": draw.random(size) < 0.5,
            }
        )

    drift = Drift(features, rows(0, 0.1, 0))
    new = rows(1.0, 0.6, 0.3)
    for start in range(0, 4000, 1000):
        drift.add(new.iloc[start : start + 1000])
    table: Any = drift.tabulate()

    assert table["verdict"].to_dict() == {"a": "drifted", "b": "drifted", "c": "drifted", "d": "as before", "e": "as before"}
    assert table.loc["c", "unseen"].endswith("% (z)") and 25 < float(table.loc["c", "unseen"].partition("%")[0]) < 35
    assert [round(float(table.loc["b", f"missing {when}"][:-1]), -1) for when in ("before", "now")] == [10, 60]
    assert plot_drift(table["drift (PSI)"].to_dict()).axes[0].get_xlabel() == "population stability index"


def test_the_index_is_that_of_the_books() -> None:
    assert stability_index(np.array([50.0, 50.0]), np.array([25.0, 75.0])) == pytest.approx(0.2747, abs=1e-4)
    assert [judge(index, 0.01) for index in (0.05, 0.2, 0.4)] == ["as before", "worth a look", "drifted"]


@pytest.mark.slow
def test_the_notebook_scores_with_the_version_in_production(
    papermill: Callable[..., Any], store: str, look: Callable[..., Any], tmp_path: Path
) -> None:
    from boostlab.tracking.store import find_store, open_store

    client = open_store(find_store(store, project=tmp_path)).client
    add_version(client, "iris", dataset="iris")
    from sklearn.datasets import load_iris

    rows = load_iris(as_frame=True).data
    rows.to_csv(tmp_path / "rows.csv", index=False)
    options = ["-p", "tracking_uri", store, "-p", "model", "iris", "-p", "rows", tmp_path / "rows.csv"]

    refused = papermill(SCORE, "out.ipynb", *options)
    assert refused.returncode == 1 and "iris has no version in production" in refused.stderr
    client.set_registered_model_alias("iris", "production", "1")
    done = papermill(SCORE, "out.ipynb", *options, "-p", "stage", "produção", "-p", "probabilities", "True")
    assert done.returncode == 0, done.stderr

    run = all_runs(look())[0]
    assert run.info.status == "FINISHED" and run.data.metrics["rows"] == 150
    assert {"plots/drift.png", "drift/columns.json"} <= artifacts(look(), run.info.run_id)
    out = pd.read_csv(tmp_path / "rows-scored.csv")
    assert out[rows.columns].to_numpy().tolist() == rows.to_numpy().tolist()
    assert (out["prediction"] == np.repeat(["setosa", "versicolor", "virginica"], 50)).mean() > 0.9
    assert "model is missing" in papermill(SCORE, "out.ipynb", *options[:3], *options[6:]).stderr
