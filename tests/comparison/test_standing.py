"""How a new run stands among the others: its rank as the store tells it, and the best of the others."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow.exceptions import MlflowException
from tests.support.comparison import record_run
from tests.support.figures import make_evaluation

from boostlab.comparison.standing import describe_rivals
from boostlab.evaluation.holdout import make_holdout
from boostlab.tracking import rivals
from boostlab.tracking.rivals import MOST_RIVALS, find_rivals
from boostlab.tracking.ui import MlflowUI


def ask(client: Any, run_id: str, folder: Path, *, is_higher: bool = False) -> dict[str, Any]:
    return find_rivals(client, run_id, folder, tag="boostlab.split", prefix="best_valid_", is_higher=is_higher, file="rows.txt")


def test_ranks_a_run_among_the_finished_ones_on_its_split(client_of_each_store: Any, tmp_path: Path) -> None:
    client = client_of_each_store
    own = record_run(client, "own", split="s", status="RUNNING", metrics={"best_valid_rmse": 2.0})
    assert ask(client, own, tmp_path) == {"metric": "best_valid_rmse", "value": 2.0, "better": 0, "others": 0}

    record_run(client, "equal", split="s", metrics={"best_valid_rmse": 2.0})
    best = record_run(client, "best", split="s", experiment="mine", metrics={"best_valid_rmse": 1.0})
    record_run(client, "another metric", split="s", metrics={"best_valid_mae": 0.1})
    record_run(client, "elsewhere", split="t", metrics={"best_valid_rmse": 0.1})
    record_run(client, "failed", split="s", status="FAILED", metrics={"best_valid_rmse": 0.1})
    found = ask(client, own, tmp_path)
    assert (found["better"], found["others"]) == (1, 2)
    assert found["best"] | {"experiment_id": ""} == {
        "run_id": best,
        "experiment_id": "",
        "name": "best",
        "value": 1.0,
        "file": "",
    }

    (tmp_path / "rows.txt").write_text("kept")
    client.log_artifact(best, str(tmp_path / "rows.txt"))
    (tmp_path / "copies").mkdir()
    assert Path(ask(client, own, tmp_path / "copies")["best"]["file"]).read_text() == "kept"


def test_a_higher_metric_may_be_better(client: Any, tmp_path: Path) -> None:
    own = record_run(client, "own", status="RUNNING", metrics={"best_valid_auc": 0.7})
    for value in (0.6, 0.9):
        record_run(client, "other", metrics={"best_valid_auc": value})
    found = ask(client, own, tmp_path, is_higher=True)
    assert (found["better"], found["best"]["value"]) == (1, 0.9)


def test_asks_for_a_bounded_number_of_runs(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "MOST_RIVALS", 2)
    own = record_run(client, "own", status="RUNNING", metrics={"best_valid_rmse": 9.0})
    for value in (3.0, 2.0, 1.0):
        record_run(client, "other", metrics={"best_valid_rmse": value})
    found = ask(client, own, tmp_path)
    assert (found["better"], found["others"], found["best"]["value"]) == (2, 2, 1.0)


@pytest.mark.parametrize(
    ("better", "others", "words"),
    [
        (0, 0, "It is the first finished run on this split: there is nothing yet to compare it with."),
        (
            0,
            1,
            "Number 1 of 2 runs on this split by valid rmse: 2.5. The next is [best](http://h/#/experiments/1/runs/r) with 1.",
        ),
        (3, MOST_RIVALS, f"Number 4 of at least {MOST_RIVALS + 1} runs on this split by valid rmse: 2.5. The best is [best]("),
        (
            MOST_RIVALS,
            MOST_RIVALS,
            f"It is not among the best {MOST_RIVALS} runs on this split by valid rmse: 2.5. The best is",
        ),
    ],
)
def test_says_only_what_the_store_could_tell(better: int, others: int, words: str) -> None:
    best = {"run_id": "r", "experiment_id": "1", "name": "best", "value": 1.0, "file": ""}
    found = {"metric": "best_valid_rmse", "value": 2.5, "better": better, "others": others, "best": best}
    evaluation = make_evaluation([1.0], np.array([1.0]))
    (text,) = describe_rivals(found, evaluation, MlflowUI("http://h/"))
    assert text.startswith(words)
    assert ("kept no test rows" in text) == (others > 0 and better < MOST_RIVALS)
    assert "could not tell" in describe_rivals({}, evaluation)[0]
    assert describe_rivals(found, evaluation) == [text.replace("[best](http://h/#/experiments/1/runs/r)", "best")]


@pytest.mark.parametrize("split", ["s", "another"])
def test_says_how_a_run_stands_against_the_version_in_production(client: Any, tmp_path: Path, split: str) -> None:
    evaluation, worse = (
        replace(each, contract=replace(each.contract, metric="rmse"))
        for shift in (0.1, 1.0)
        for each in [make_evaluation(np.arange(30.0).tolist(), np.arange(30.0) + shift * np.tile([0.9, 1.1], 15))]
    )
    champion = record_run(client, "champion", split=split, metrics={"best_valid_rmse": 1.0})
    pq.write_table(make_holdout(worse), tmp_path / "rows.parquet")
    client.log_artifact(champion, str(tmp_path / "rows.parquet"))
    name = f"houses-{split}"
    client.create_registered_model(name)
    own = record_run(client, "own", split="s", status="RUNNING", metrics={"best_valid_rmse": 2.0})
    ask_for: dict[str, Any] = {
        "tag": "boostlab.split",
        "prefix": "best_valid_",
        "is_higher": False,
        "file": "rows.parquet",
        "model": name,
    }
    assert "champion" not in find_rivals(client, own, tmp_path, **ask_for)

    version = client.create_model_version(name, source=str(tmp_path), run_id=champion)
    client.set_registered_model_alias(name, "production", version.version)
    text = describe_rivals(find_rivals(client, own, tmp_path, **ask_for), evaluation)[-1]
    assert text.startswith("Version 1, champion, is in production.")
    if split == "s":
        assert "This run is better than the version in production: rmse 0.1005 against 1.005 on 30 rows" in text
        assert "(98.75 % interval" in text  # it allows for a choice: the run is number 2 of 2
    else:
        assert text.endswith("the gate compares both on rows that neither has learned from.")


def test_says_that_a_version_that_knows_all_rows_did_not_give_the_answers(tmp_path: Path) -> None:
    evaluation = make_evaluation(np.arange(30.0).tolist(), np.arange(30.0) + np.tile([0.9, 1.1], 15))
    evaluation = replace(evaluation, contract=replace(evaluation.contract, metric="rmse"))
    for is_of_model in (True, False):
        pq.write_table(make_holdout(evaluation, is_of_model=is_of_model), tmp_path / "rows.parquet")
        other = {"run_id": "r", "experiment_id": "1", "name": "other", "file": str(tmp_path / "rows.parquet")}
        found = {"metric": "best_valid_rmse", "value": 2.0, "better": 0, "others": 0}
        champion = other | {"version": 1, "is_on_rows": True}
        text = describe_rivals(found | {"champion": champion}, evaluation)[-1]
        words = "The answers of the version in production are from its training: it keeps another, final model."
        assert (words in text) is not is_of_model


def test_a_registry_that_fails_is_not_one_without_a_champion(client: Any, tmp_path: Path) -> None:
    own = record_run(client, "own", split="s", status="RUNNING", metrics={"best_valid_rmse": 2.0})
    given: dict[str, Any] = {"tag": "boostlab.split", "prefix": "best_valid_", "is_higher": False, "file": "rows.parquet"}
    assert "champion" not in find_rivals(client, own, tmp_path, **given, model="nobody")

    client.create_registered_model("somebody")
    address = client.tracking_uri.removeprefix("sqlite:///")
    with closing(sqlite3.connect(address)) as database:
        database.execute("ALTER TABLE registered_model_aliases RENAME TO hidden")
        try:
            with pytest.raises(MlflowException):
                find_rivals(client, own, tmp_path, **given, model="somebody")
        finally:
            database.execute("ALTER TABLE hidden RENAME TO registered_model_aliases")
