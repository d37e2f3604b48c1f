from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.support.settings import make_settings

from boostlab.data.table import Roles, Table, encode_labels, find_labels, load_table
from boostlab.errors import DataError
from boostlab.models.contract import Task


def make_table(frame: pd.DataFrame) -> Table:
    data = pa.Table.from_pandas(frame, preserve_index=False)
    names = tuple(data.column_names)
    return Table(data, Roles(target=names[-1]), names[:-1], name="made", source="sklearn.made", task="regression")


def make_classes(classes: dict[str, int]) -> Table:
    target = [name for name, count in classes.items() for _ in range(count)]
    return make_table(pd.DataFrame({"a": np.arange(len(target), dtype=float), "kind": target}))


@pytest.mark.parametrize(
    ("dataset", "task", "shape", "labels"),
    [
        ("breast_cancer", "classification", (569, 30), ["benign", "malignant"]),
        ("diabetes", "regression", (442, 10), None),
        ("digits", "classification", (1797, 64), list(range(10))),
        ("iris", "classification", (150, 4), ["setosa", "versicolor", "virginica"]),
        ("wine", "classification", (178, 13), ["class_0", "class_1", "class_2"]),
    ],
)
def test_loads_each_data_set_for_its_task(dataset: str, task: Task, shape: tuple[int, int], labels: list[object] | None) -> None:
    table = load_table(make_settings(dataset=dataset))

    assert (table.task, len(table), len(table.features)) == (task, *shape)
    assert labels is None or find_labels(table.target) == labels
    assert {table.data.schema.field(name).type for name in table.features} == {pa.float64()}


def test_chooses_columns_of_a_data_set_that_ships_with_scikit_learn() -> None:
    chosen = load_table(make_settings(features=["bmi", "age"], drop=["age"]))

    assert (chosen.features, chosen.kept, chosen.data.column_names) == (("bmi",), frozenset(["bmi", "age"]), ["bmi", "target"])
    assert load_table(make_settings(drop=["age"])).features == ("sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
    with pytest.raises(DataError, match=r"diabetes has no column 'bmj'\. Did you mean 'bmi'"):
        load_table(make_settings(drop=["bmj"]))


@pytest.mark.parametrize(
    ("values", "labels", "codes"), [(["b", "a"], ["a", "b"], [1, 0]), ([7.0, 3.0], [3.0, 7.0], [1, 0]), ([True], [True], [0])]
)
def test_sorts_labels_and_encodes_them_by_position(values: list[Any], labels: list[Any], codes: list[int]) -> None:
    found = find_labels(pd.Series(values))

    assert (found, type(found[0])) == (labels, type(labels[0]))
    assert encode_labels(pd.Series(values), labels).tolist() == codes


@pytest.mark.parametrize("rows", [list(range(10)), [0, 3, 4, 9], [5], []])
def test_gives_the_requested_rows_however_the_table_is_chunked(rows: list[int]) -> None:
    whole = make_table(pd.DataFrame({"a": range(10), "b": "text", "y": range(10)}))
    pieces = Table(pa.concat_tables([whole.data[:4], whole.data[4:]]), whole.roles, whole.features, "made", "here", "regression")
    frames = list(pieces.batches(["y"], np.array(rows, int)))

    assert [value for frame in frames for value in frame["y"]] == rows
    assert all(list(frame.columns) == ["y"] and len(frame) for frame in frames)


def test_describes_itself_as_mlflow_records_a_data_set(tmp_path: Path) -> None:
    facts = make_classes({"a": 2}).describe()
    pd.DataFrame({"a": [1, 2], "kind": ["x", None]}).to_parquet(tmp_path / "t.parquet", index=False)
    read = load_table(make_settings(dataset=str(tmp_path / "t.parquet"), target="a")).describe()

    assert [column["name"] for column in json.loads(facts["schema"])["mlflow_colspec"]] == ["a", "kind"]
    assert facts["profile"] == '{"num_rows": 2, "num_elements": 2}'
    assert len(facts["digest"]) == 16
    assert (facts["source_type"], read["source_type"]) == ("code", "local")
    assert json.loads(read["source"]) == {"uri": str(tmp_path / "t.parquet")}
