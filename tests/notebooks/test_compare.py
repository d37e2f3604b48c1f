"""``compare.ipynb`` by papermill: on a store with no run, one, three and ten thousand, and with wrong input."""

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
from tests.support.comparison import compare_settings
from tests.support.executions import run_here
from tests.support.paths import PAPERMILL, PROJECT
from tests.support.stores import NewStore, all_runs, artifacts

from boostlab.comparison import Comparison
from boostlab.comparison.configurations import MOST_CONFIGURATIONS
from boostlab.comparison.rows import pair_runs
from boostlab.comparison.selection import SPARE_RUNS
from boostlab.evaluation.holdout import fetch_holdout
from boostlab.models.packaging import fetch_predictor

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("compare")]  # one store of trainings for all

COMPARE = PROJECT / "notebooks" / "compare.ipynb"
TRAIN = PROJECT / "notebooks" / "train.ipynb"
MADE = PROJECT / "benchmarks" / "compare_many" / "made.py"
PLOTS = {"spread", "parallel_coordinates", "hyperparameters", "learning_curves", "feature_importance", "difference"}
FILES = {"notebook/compare.ipynb", "notebook/compare.html"} | {f"plots/{name}.png" for name in PLOTS}
Papermill = Callable[..., subprocess.CompletedProcess[str]]
Look = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> Path:
    """Return the folder of a SQLite store with three trainings; tests that write more than a comparison copy it."""
    folder = tmp_path_factory.mktemp("trained")
    address = new_store(folder)
    trainings: dict[str, list[str]] = {
        "plain": [],
        "other-split": ["-p", "test_size", "0.3"],
        "sampled": ["-p", "eta", "0.3", "-y", "xgb_params: {sampling_method: uniform}"],
    }
    for name, given in trainings.items():
        command = [PAPERMILL, "--no-progress-bar", str(TRAIN), str(folder / "out.ipynb"), "-p", "run_name", name]
        options = ["-p", "num_boost_round", "20", "-p", "tracking_uri", address]
        subprocess.run([*command, *options, *given], check=True, capture_output=True)
    return folder


def words(output: Path) -> str:
    """Return the Markdown that an executed notebook's cells show."""
    outputs = [item for cell in json.loads(output.read_text())["cells"] for item in cell.get("outputs", [])]
    return "\n".join("".join(item.get("data", {}).get("text/markdown", "")) for item in outputs)


def compared(client: Any) -> Any:
    """Return the newest run of the compare notebook."""
    number = client.get_experiment_by_name("compare").experiment_id
    return client.search_runs([number], order_by=["start_time DESC"], max_results=1)[0]


def test_says_what_to_do_first_without_runs(execute: Papermill, store: str, look: Look, tmp_path: Path) -> None:
    done = execute(COMPARE, "out.ipynb", "-p", "tracking_uri", store)
    again = execute(COMPARE, "again.ipynb", "-p", "tracking_uri", store)

    assert (done.returncode, again.returncode) == (0, 0), done.stderr + again.stderr
    assert 'make train ARGS="-p eta 0.3"' in words(tmp_path / "out.ipynb")
    assert len(set(re.findall(r"compare-\w+", words(tmp_path / "again.ipynb")))) == 1  # the first comparison is not compared
    assert compared(look()).data.metrics["runs_compared"] == 0
    assert artifacts(look(), compared(look()).info.run_id) == FILES


def test_asks_for_another_run_with_one(execute: Papermill, trained: Path, look: Look, tmp_path: Path) -> None:
    address = f"sqlite:///{trained}/mlflow.db"
    done = execute(COMPARE, "out.ipynb", "-p", "tracking_uri", address, "-y", "runs: [plain]")

    assert done.returncode == 0, done.stderr
    assert 'train another one, as `make train ARGS="-p eta 0.3"`' in words(tmp_path / "out.ipynb")
    assert compared(look(address)).data.metrics["runs_compared"] == 1


def test_compares_two_models_on_the_same_rows_and_registers_the_better(
    execute: Papermill, trained: Path, look: Look, tmp_path: Path
) -> None:
    client = look(f"sqlite:///{trained}/mlflow.db")
    runs = [run for run in all_runs(client) if run.info.run_name in ("plain", "sampled")]
    first, second = sorted(runs, key=lambda run: run.data.metrics["best_valid_rmse"])
    done = execute(COMPARE, "out.ipynb", "-p", "register_as", "sugar", "-p", "tracking_uri", f"sqlite:///{trained}/mlflow.db")

    assert done.returncode == 0, done.stderr
    said = words(tmp_path / "out.ipynb")
    assert f"challenger [{first.info.run_name}](" in said and f"the champion [{second.info.run_name}](" in said
    assert "The rows are all 88 of the test part, which both runs held out." in said
    assert "Runs on another split or on other data are listed apart" in said
    assert client.get_model_version("sugar", "1").run_id == first.info.run_id
    metrics = compared(client).data.metrics
    difference = first.data.metrics["test_rmse"] - second.data.metrics["test_rmse"]
    assert metrics["difference"] == pytest.approx(difference)
    assert metrics["low"] < difference < metrics["high"]
    assert artifacts(client, compared(client).info.run_id) == FILES


def test_compares_on_the_rows_that_both_runs_held_out(trained: Path, look: Look) -> None:
    client = look(f"sqlite:///{trained}/mlflow.db")
    ids = {run.info.run_name: run.info.run_id for run in all_runs(client)}

    mine, theirs = (fetch_holdout(client, ids[name]) for name in ("other-split", "plain"))
    found = pair_runs(client, champion=ids["plain"], challenger=ids["other-split"])

    shared = len(set(mine.positions) & set(theirs.positions))
    assert 0 < shared < len(mine)
    assert (found.basis, found.caution) == (f"The rows are {shared} that both runs held out.", "")
    here = np.isin(mine.positions, theirs.positions)
    answers = np.asarray(fetch_predictor(client, ids["plain"]).predict(mine.frame[here]))
    assert found.champion.tolist() == pytest.approx(answers.tolist())
    assert found.challenger.tolist() == mine.answers[here].tolist()


def test_reads_few_of_ten_thousand_runs(
    execute: Papermill, trained: Path, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained, tmp_path / "many")
    runpy.run_path(str(MADE))["make_runs"](tmp_path / "many" / "mlflow.db", 9998)
    address = f"sqlite:///{tmp_path}/many/mlflow.db"
    done = execute(COMPARE, "out.ipynb", "-p", "tracking_uri", address, "-p", "how_many", 10)

    assert done.returncode == 0, done.stderr
    assert "The best 10 runs on `diabetes" in words(tmp_path / "out.ipynb")
    with closing(sqlite3.connect(tmp_path / "many" / "mlflow.db")) as database:
        (best,) = database.execute("SELECT min(value) FROM latest_metrics WHERE key = 'best_valid_rmse'").fetchone()
    assert compared(look(address)).data.metrics["best_valid_rmse"] == best

    client = look(address)
    pages: list[Any] = []
    search = client.search_runs

    def search_and_count(*given: Any, **named: Any) -> Any:
        pages.append(search(*given, **named))
        return pages[-1]

    monkeypatch.setattr(client, "search_runs", search_and_count)
    Comparison(client, compare_settings(how_many=10)).plot_spread()
    assert len(pages) <= 3 + MOST_CONFIGURATIONS  # the newest run, the ranking, other data; the seeds of each configuration
    assert sum(map(len, pages)) <= 1 + (10 + SPARE_RUNS) + SPARE_RUNS + 100 * MOST_CONFIGURATIONS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "how_many", 1], "how_many = 1 is out of range. Allowed: 2 <= how_many <= 1000."),
        (["-p", "direction", "up"], "direction has no choice 'up'. It takes: auto, lower, higher."),
        (["-y", "runs: [a]", "-p", "search", "x"], "runs names the runs to compare: leave experiments and search out"),
        (["-p", "tracking_uri", "http://127.0.0.1:9"], "no server answers"),
    ],
)
def test_refuses_before_anything_runs(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    done = run_here(COMPARE, "new/out.ipynb", *options)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert message in line
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "search", "metrics.test_rmse >"], "It takes MLflow's search syntax, such as"),
        (["-p", "champion", "nobody"], "The store has no run of the id or name 'nobody'."),
    ],
)
def test_fails_with_one_message_if_the_store_lacks_a_run_or_refuses_the_search(
    execute: Papermill, trained: Path, look: Look, options: list[object], message: str
) -> None:
    address = f"sqlite:///{trained}/mlflow.db"
    done = execute(COMPARE, "out.ipynb", "-p", "tracking_uri", address, *options)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert message in done.stderr.strip().splitlines()[-1]
    assert compared(look(address)).info.status == "FAILED"


def test_a_best_run_without_a_model_cannot_be_registered(execute: Papermill, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    runpy.run_path(str(MADE))["make_runs"](tmp_path / "copy" / "mlflow.db", 30)  # copies of records, without files
    options = ["-p", "tracking_uri", f"sqlite:///{tmp_path}/copy/mlflow.db", "-p", "register_as", "sugar"]
    done = execute(COMPARE, "out.ipynb", *options)

    assert done.returncode == 1
    assert "logged no model. Choose a run of train.ipynb that is FINISHED." in done.stderr.strip().splitlines()[-1]
