"""The hashes of the rows that a model has learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.settings import make_settings

from boostlab.data.splits import Split, split_table
from boostlab.data.table import load_table
from boostlab.evaluation import training_rows
from boostlab.evaluation.holdout import Holdout, make_holdout, read_holdout
from boostlab.evaluation.metrics import Evaluation
from boostlab.evaluation.training_rows import digest_split, make_training_rows, read_training_rows
from boostlab.models.contract import Contract, Feature

DRAW = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "id": [f"row {number}" for number in range(300)],
        "a": DRAW.standard_normal(300).round(3),
        "b": DRAW.integers(0, 9, 300),
        "kind": DRAW.choice(["x", "y"], 300),
        "y": DRAW.standard_normal(300),
    }
)


def split(frame: pd.DataFrame, file: Path, **given: Any) -> Split:
    frame.to_csv(file, index=False) if file.suffix == ".csv" else frame.to_parquet(file, index=False)
    settings = make_settings(dataset=str(file), target="y", **given)
    return split_table(load_table(settings), settings)


def hold_out(parts: Split, folder: Path, *names: str) -> Holdout:
    """Return the holdout of a model with these features."""
    contract = Contract("regression", (), tuple(Feature(name, "number", "double") for name in names))
    evaluation = Evaluation(parts.test, contract, np.zeros(len(parts.test)), scores={}, baseline={})
    pq.write_table(make_holdout(evaluation), folder / "rows.parquet")
    return read_holdout(folder / "rows.parquet")


def find_unseen(old: Split, new: Holdout, folder: Path) -> Any:
    pq.write_table(make_training_rows(old), folder / "hashes.parquet")
    return read_training_rows(folder / "hashes.parquet").find_unseen(new)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_finds_the_training_rows_of_one_table_in_another(tmp_path: Path, suffix: str) -> None:
    old = split(FRAME.iloc[:250], tmp_path / "old.csv")
    changed = FRAME.sample(frac=1, random_state=1)[["y", "kind", "b", "a", "id"]]
    new = split(changed, tmp_path / f"new.{suffix}")
    learned = {FRAME["id"][row] for part in (old.train, old.valid) for row in part.rows}
    tested = changed["id"].iloc[new.test.rows]
    unseen = find_unseen(old, hold_out(new, tmp_path, "a"), tmp_path)

    assert unseen.tolist() == (~tested.isin(learned)).tolist()
    assert 5 < unseen.sum() < 50


def test_does_not_know_if_a_column_is_gone_or_an_added_one_was_not_kept(tmp_path: Path) -> None:
    old = split(FRAME, tmp_path / "old.csv")
    fewer = hold_out(split(FRAME, tmp_path / "new.csv", drop=["kind"]), tmp_path, "a")
    more = split(FRAME.assign(c=1.0), tmp_path / "new.csv")

    assert find_unseen(old, fewer, tmp_path) is None
    assert find_unseen(old, hold_out(more, tmp_path, "a"), tmp_path) is None
    assert find_unseen(old, hold_out(more, tmp_path, "a", "c"), tmp_path).all()


def test_keeps_at_most_a_million_hashes_and_the_smallest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = split(FRAME, tmp_path / "t.csv")
    every = make_training_rows(parts)["hash"].to_pylist()
    monkeypatch.setattr(training_rows, "MOST_HASHES", 100)

    assert make_training_rows(parts)["hash"].to_pylist() == every[:100] == sorted(every)[:100]
    assert len(every) == len(parts.train) + len(parts.valid)


def test_the_digest_of_a_split_is_that_of_its_rows_and_not_of_the_features(tmp_path: Path) -> None:
    digest = digest_split(split(FRAME, tmp_path / "t.csv"))

    same: list[tuple[pd.DataFrame, str, dict[str, Any]]] = [
        (FRAME, "t.parquet", {}),
        (FRAME.drop(columns="id").assign(more=1), "t.csv", {}),
        (FRAME[["y", "b", "a"]], "t.csv", {"features": ["a"]}),
    ]
    other: list[tuple[pd.DataFrame, str, dict[str, Any]]] = [
        (FRAME, "t.csv", {"test_size": 0.3}),
        (FRAME.assign(y=FRAME.y + 1), "t.csv", {}),
        (FRAME.iloc[::-1], "t.csv", {}),
        (FRAME, "t.csv", {"sample_weight": "b"}),
    ]
    assert {digest_split(split(frame, tmp_path / name, **given)) for frame, name, given in same} == {digest}
    assert digest not in {digest_split(split(frame, tmp_path / name, **given)) for frame, name, given in other}


@pytest.mark.parametrize(
    ("metric", "labels", "same"),
    [("f1", ("a", "b"), True), ("f1", ("b", "a"), False), ("average_precision", (2, 1), False), ("log_loss", ("b", "a"), True)],
)
def test_figures_of_the_other_class_are_not_ranked_together(tmp_path: Path, metric: str, labels: Any, same: bool) -> None:
    parts = split(FRAME, tmp_path / "t.csv")
    contract = Contract("classification", labels, (), metric=metric)

    assert (digest_split(parts, contract) == digest_split(parts)) == same


def test_knows_nothing_of_a_holdout_without_hashes(tmp_path: Path) -> None:
    parts = split(FRAME, tmp_path / "t.csv")
    rows = pa.table({"a": [1.0]})
    old = Holdout(rows, FRAME.y[:1], None, np.arange(1), np.zeros(1), "d", "regression", [], 1)

    assert find_unseen(parts, old, tmp_path) is None
