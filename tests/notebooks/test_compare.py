"""``compare.ipynb`` as people run it: on a store with no run, one, fifty and ten thousand, and with wrong input."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.common import PAPERMILL, PROJECT, all_runs, artifacts

from boostlab.comparison.paired import FEWEST_ROWS, pair_runs
from boostlab.models.packaging import fetch_predictor
from boostlab.training.holdout import fetch_rows

pytestmark = pytest.mark.slow

COMPARE = PROJECT / "notebooks" / "compare.ipynb"
TRAIN = PROJECT / "notebooks" / "train.ipynb"
MADE = PROJECT / "benchmarks" / "compare_many" / "made.py"
PLOTS = {"spread", "parallel_coordinates", "hyperparameters", "learning_curves", "feature_importance", "difference"}
FILES = {"notebook/compare.ipynb", "notebook/compare.html"} | {f"plots/{name}.png" for name in PLOTS}
Papermill = Callable[..., subprocess.CompletedProcess[str]]
Look = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a SQLite store with two trainings; tests copy it."""
    folder = tmp_path_factory.mktemp("trained")
    for eta in ("0.1", "0.3"):
        command = [PAPERMILL, "--no-progress-bar", str(TRAIN), str(folder / "out.ipynb")]
        options = ["-p", "num_boost_round", "20", "-p", "eta", eta, "-p", "tracking_uri", f"sqlite:///{folder}/mlflow.db"]
        subprocess.run([*command, *options], check=True, capture_output=True)
    return folder


def words(output: Path) -> str:
    """Return the Markdown that an executed notebook's cells show."""
    outputs = [item for cell in json.loads(output.read_text())["cells"] for item in cell.get("outputs", [])]
    return "\n".join("".join(item.get("data", {}).get("text/markdown", "")) for item in outputs)


def compared(client: Any) -> Any:
    """Return the newest run of the compare notebook."""
    number = client.get_experiment_by_name("compare").experiment_id
    return client.search_runs([number], order_by=["start_time DESC"], max_results=1)[0]


@pytest.mark.parametrize("runs", [0, 1])
def test_says_what_to_do_first(papermill: Papermill, store: str, look: Look, tmp_path: Path, runs: int) -> None:
    for _ in range(runs):
        papermill(TRAIN, "train.ipynb", "-p", "tracking_uri", store, "-p", "num_boost_round", 5)
    done = papermill(COMPARE, "out.ipynb", "-p", "tracking_uri", store)
    again = papermill(COMPARE, "again.ipynb", "-p", "tracking_uri", store)

    assert (done.returncode, again.returncode) == (0, 0), done.stderr + again.stderr
    assert 'make train ARGS="-p eta 0.3"' in words(tmp_path / "out.ipynb")
    assert (
        len(set(re.findall(r"compare-\w+", words(tmp_path / "again.ipynb")))) == 1
    )  # its own name: the first comparison is not compared
    assert compared(look()).data.metrics["runs_compared"] == runs
    assert artifacts(look(), compared(look()).info.run_id) == FILES


def test_compares_two_trainings_row_by_row_and_registers_the_better(
    papermill: Papermill, trained: Path, look: Look, tmp_path: Path
) -> None:
    client = look(f"sqlite:///{trained}/mlflow.db")
    first, second = sorted(
        (run for run in all_runs(client) if "test_rmse" in run.data.metrics), key=lambda run: run.data.metrics["test_rmse"]
    )
    options = ["-p", "register_as", "sugar", "-p", "tracking_uri", f"sqlite:///{trained}/mlflow.db"]
    done = papermill(COMPARE, "out.ipynb", *options)

    assert done.returncode == 0, done.stderr
    said = words(tmp_path / "out.ipynb")
    assert f"The challenger `{first.info.run_name}`" in said and f"the champion `{second.info.run_name}`" in said
    assert "The rows are all 88 of the test part, which both runs held out." in said
    assert client.get_model_version("sugar", "1").run_id == first.info.run_id
    figures = compared(client).data.metrics
    gap = first.data.metrics["test_rmse"] - second.data.metrics["test_rmse"]
    assert figures["difference"] == pytest.approx(gap)
    assert figures["low"] < gap < figures["high"]
    assert artifacts(client, compared(client).info.run_id) == FILES


def test_a_champion_that_held_other_rows_out_predicts_the_challengers(
    papermill: Papermill, trained: Path, look: Look, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "seeds")
    address = f"sqlite:///{tmp_path}/seeds/mlflow.db"
    done = papermill(TRAIN, "train.ipynb", "-p", "tracking_uri", address, "-p", "seed", 5, "-p", "num_boost_round", 20)
    assert done.returncode == 0, done.stderr
    challenger, champion, _ = (run.info.run_id for run in all_runs(look(address)) if "test_rmse" in run.data.metrics)

    mine, theirs = (fetch_rows(look(address), run_id) for run_id in (challenger, champion))
    found = pair_runs(look(address), champion=champion, challenger=challenger)

    shared = len(set(mine.positions) & set(theirs.positions))
    assert shared < FEWEST_ROWS
    assert found.caution == f"The champion learned from up to {88 - shared} of these 88 rows, which favours it."
    answers = np.asarray(fetch_predictor(look(address), champion).predict(mine.frame))
    assert found.champion.tolist() == answers.tolist()
    assert found.challenger.tolist() == mine.answers.tolist()


@pytest.mark.parametrize("count", [48, pytest.param(9998, marks=pytest.mark.timeout(600))])
def test_many_runs_do_not_hurt(papermill: Papermill, trained: Path, look: Look, tmp_path: Path, count: int) -> None:
    shutil.copytree(trained, tmp_path / "many")
    runpy.run_path(str(MADE))["make_runs"](tmp_path / "many" / "mlflow.db", count)
    address = f"sqlite:///{tmp_path}/many/mlflow.db"
    done = papermill(COMPARE, "out.ipynb", "-p", "tracking_uri", address, "-p", "how_many", 10)

    assert done.returncode == 0, done.stderr
    assert "The best 10 runs on `diabetes" in words(tmp_path / "out.ipynb")
    with closing(sqlite3.connect(tmp_path / "many" / "mlflow.db")) as database:
        (best,) = database.execute("SELECT min(value) FROM latest_metrics WHERE key = 'test_rmse'").fetchone()
    assert compared(look(address)).data.metrics["best_test_rmse"] == best


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "how_many", 1], "how_many = 1 is out of range. Allowed: 2 <= how_many <= 1000."),
        (["-p", "direction", "up"], "direction has no choice 'up'. It takes: auto, lower, higher."),
        (["-y", "runs: [a]", "-p", "search", "x"], "runs names the runs to compare: leave experiments and search out"),
        (["-p", "tracking_uri", "http://127.0.0.1:9"], "no server answers"),
    ],
)
def test_refuses_before_anything_runs(papermill: Papermill, tmp_path: Path, options: list[object], message: str) -> None:
    done = papermill(COMPARE, "new/out.ipynb", *options, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/t.db")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert message in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-y", "runs: [train-nothing]"], "The store has no run of the id or name 'train-nothing'."),
        (["-y", "experiments: [trian]"], "The store has no experiment 'trian'. Did you mean 'train'?"),
        (["-p", "metric", "test_rmsee"], "Did you mean 'rmse'?"),
        (["-p", "search", "metrics.test_rmse >"], "It takes MLflow's search syntax, such as"),
        (["-p", "champion", "nobody"], "The store has no run of the id or name 'nobody'."),
    ],
)
def test_what_only_the_store_can_know_fails_with_one_message(
    papermill: Papermill, trained: Path, look: Look, options: list[object], message: str
) -> None:
    address = f"sqlite:///{trained}/mlflow.db"
    done = papermill(COMPARE, "out.ipynb", "-p", "tracking_uri", address, *options)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert message in done.stderr.strip().splitlines()[-1]
    assert compared(look(address)).info.status == "FAILED"


def test_a_best_run_without_a_model_cannot_be_registered(papermill: Papermill, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    runpy.run_path(str(MADE))["make_runs"](tmp_path / "copy" / "mlflow.db", 30)  # copies of records, without files
    options = ["-p", "tracking_uri", f"sqlite:///{tmp_path}/copy/mlflow.db", "-p", "register_as", "sugar"]
    done = papermill(COMPARE, "out.ipynb", *options)

    assert done.returncode == 1
    assert "logged no model. Choose a run of train.ipynb that is FINISHED." in done.stderr.strip().splitlines()[-1]
