from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from boostlab.data.splits import Part
from boostlab.data.table import Roles, Table
from boostlab.errors import LabError
from boostlab.evaluation.holdout import MOST_ROWS, Holdout, make_holdout, read_holdout
from boostlab.evaluation.metrics import Evaluation
from boostlab.models.contract import Contract, Feature, Task

WORDS = ["lamp", "chair", "desk"]


def part(count: int, rows: Any, *, target: str = "y", weight: str = "") -> Part:
    draw = np.random.default_rng(0)
    data = pa.table(
        {
            "size": pa.array(draw.integers(0, 9, count)),
            "kind": pa.array(draw.choice(WORDS, count)),
            "sold": pa.array(pd.date_range("2026-01-01", periods=count, freq="h")),
            "unused": pa.array(np.arange(count)),
            "w": pa.array(np.full(count, 0.5)),
            "position": pa.array(np.zeros(count)),
            "y": pa.array(draw.standard_normal(count)),
            "label": pa.array(draw.choice(["no", "yes"], count)),
        }
    )
    table = Table(
        data,
        Roles(target=target, weight=weight),
        ("size", "kind", "sold", "unused"),
        name="made",
        source="here",
        task="regression",
    )
    return Part(table, np.asarray(rows), table.target.iloc[rows], None)


def contract(
    task: Task = "regression", labels: tuple[str, ...] = (), names: tuple[str, ...] = ("size", "kind", "sold")
) -> Contract:
    return Contract(task, labels, tuple(Feature(name, "number", "double") for name in names))


def evaluate(tested: Part, answers: np.ndarray, made: Contract) -> Evaluation:
    return Evaluation(tested, made, answers, scores={}, baseline={})


def kept(table: pa.Table, folder: Path) -> Holdout:
    pq.write_table(table, folder / "rows.parquet")
    return read_holdout(folder / "rows.parquet")


def test_brings_back_the_rows_that_the_model_saw_and_its_answers(tmp_path: Path) -> None:
    tested = part(100, [3, 7, 50, 99])
    answers = np.array([1.5, 2.5, -1.0, 0.1], np.float32)

    rows = kept(make_holdout(evaluate(tested, answers, contract())), tmp_path)

    assert rows.positions.tolist() == [3, 7, 50, 99]
    assert rows.answers.tolist() == answers.tolist()
    assert rows.true.tolist() == tested.target.tolist()
    pd.testing.assert_frame_equal(rows.frame, tested.head(4)[["size", "kind", "sold"]])
    assert (rows.digest, rows.task, rows.labels, rows.test_rows) == (tested.table.digest, "regression", [], 4)
    assert rows.weight is None


def test_brings_back_the_probability_of_each_class_and_the_weights(tmp_path: Path) -> None:
    tested = part(50, [1, 2, 3], target="label", weight="w")
    answers = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])

    table = make_holdout(evaluate(tested, answers, contract("classification", ("no", "yes"))))
    rows = kept(table, tmp_path)

    assert table.column_names[-2:] == ["probability of no", "probability of yes"]
    assert rows.answers.tolist() == answers.tolist()
    assert [rows.labels[position] for position in rows.true] == tested.target.tolist()
    assert rows.weight is not None and rows.weight.tolist() == [0.5, 0.5, 0.5]


def test_a_column_of_the_users_may_be_called_as_one_of_ours(tmp_path: Path) -> None:
    rows = kept(make_holdout(evaluate(part(10, [4, 5]), np.zeros(2), contract(names=("position",)))), tmp_path)

    assert rows.frame["position"].tolist() == [0.0, 0.0]
    assert rows.positions.tolist() == [4, 5]


def test_keeps_a_sample_of_many_rows_and_much_the_same_for_another_test_part(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    first, second = (np.sort(draw.choice(200_000, 100_000, replace=False)) for _ in range(2))
    answers = np.arange(100_000, dtype=float)

    one = kept(make_holdout(evaluate(part(200_000, first), answers, contract())), tmp_path)
    again = kept(make_holdout(evaluate(part(200_000, first), answers, contract())), tmp_path)
    other = kept(make_holdout(evaluate(part(200_000, second), answers, contract())), tmp_path)

    assert len(one) == MOST_ROWS and one.test_rows == 100_000
    assert one.positions.tolist() == again.positions.tolist()
    assert (first[one.answers.astype(int)] == one.positions).all()
    assert len(np.intersect1d(one.positions, other.positions)) > 0.4 * MOST_ROWS  # drawn apart, it would be 5 %


def test_says_that_a_file_holds_no_test_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")

    with pytest.raises(LabError, match="does not hold the test rows of a run"):
        read_holdout(tmp_path / "other.parquet")


def test_refuses_a_small_file_of_many_rows(tmp_path: Path) -> None:
    rows = 5_000_000
    pq.write_table(pa.table({"x": pa.array(np.zeros(rows))}, metadata={"boostlab.rows": "{}"}), tmp_path / "rows.parquet")
    assert (tmp_path / "rows.parquet").stat().st_size < 100_000
    with pytest.raises(LabError, match=r"has 5,000,000 rows, and a run keeps at most 10,000 test rows\. Train again\.$"):
        read_holdout(tmp_path / "rows.parquet")
