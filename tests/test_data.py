from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from boostlab.data import Part, Split, Table, Task, compute_digest, encode_labels, find_labels, find_task, load_table, split_table
from boostlab.errors import DataError


def make_table(classes: dict[str, int]) -> Table:
    target = pd.Series([name for name, count in classes.items() for _ in range(count)], name="kind")
    return Table(pd.DataFrame({"a": np.arange(len(target), dtype=float)}), target, name="made", source="test")


def split(table: Table, *, task: Task = "classification", test: float = 0.2, valid: float = 0.2, seed: int = 0) -> Split:
    return split_table(table, task=task, test_size=test, valid_size=valid, seed=seed)


def rows(part: Part) -> set[int]:
    return set(part.features.index)


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
    table = load_table(dataset)

    assert (find_task(table.target), table.features.shape) == (task, shape)
    assert labels is None or find_labels(table.target) == labels
    assert {str(kind) for kind in table.features.dtypes} == {"float64"}


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"], "classification"),
        ([True, False], "classification"),
        (list(range(50)), "classification"),
        (list(range(51)), "regression"),
        ([1.0, 2.0], "classification"),
        ([1.0, 2.5], "regression"),
    ],
)
def test_finds_the_task_that_a_target_is_for(values: list[object], task: Task) -> None:
    assert find_task(pd.Series(values)) == task


def test_takes_whole_numbers_for_a_quantity_where_asked() -> None:
    assert find_task(pd.Series([1, 2, 3]), "regression") == "regression"


@pytest.mark.parametrize(
    ("values", "asked", "words"),
    [
        (["low", "high"], "regression", "which holds 'low', 'high'. Regression takes numbers"),
        ([True, False], "regression", "which holds True, False. Regression takes numbers"),
        ([0.5, 1.5], "classification", "2 different numbers, such as 0.5, 1.5. Classes are text"),
        (list(range(51)), "classification", "51 different numbers, such as 0, 1, 2. Classes are text"),
    ],
)
def test_refuses_a_task_that_does_not_fit(values: list[object], asked: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        find_task(pd.Series(values, name="y"), asked)

    assert f"task = {asked!r} does not fit the target 'y'" in str(caught.value)
    assert words in str(caught.value)


def test_splits_into_parts_that_share_no_row_and_leave_none_out() -> None:
    parts = split(load_table("diabetes"), task="regression", test=0.3, valid=0.1)

    assert [len(part) for part in (parts.train, parts.valid, parts.test)] == [442 - 133 - 44, 44, 133]
    assert rows(parts.train) | rows(parts.valid) | rows(parts.test) == set(range(442))
    assert all(part.features.index.equals(part.target.index) for part in (parts.train, parts.valid, parts.test))


def test_keeps_the_shares_of_classes_in_each_part() -> None:
    parts = split(make_table({"a": 100, "b": 60, "c": 40}))

    assert [part.target.value_counts().to_dict() for part in (parts.train, parts.valid, parts.test)] == [
        {"a": 60, "b": 36, "c": 24},
        {"a": 20, "b": 12, "c": 8},
        {"a": 20, "b": 12, "c": 8},
    ]


def test_splits_by_seed() -> None:
    table = load_table("iris")

    assert rows(split(table, seed=3).test) == rows(split(table, seed=3).test) != rows(split(table, seed=4).test)


def test_tabulates_sizes_and_shares() -> None:
    sizes = split(make_table({"a": 10, "b": 10})).sizes()

    assert sizes.to_dict("list") == {"rows": [12, 4, 4], "share": ["60%", "20%", "20%"]}
    assert list(sizes.index) == ["train", "valid", "test"]


@pytest.mark.parametrize(
    ("test", "valid", "words"),
    [
        (0.01, 0.2, "The test part of 'made' would have 0 of 20 rows, and needs at least 1"),
        (0.2, 0.01, "The validation part of 'made' would have 0 of 20 rows"),
        (0.5, 0.49, "The train part of 'made' would have 0 of 20 rows"),
    ],
)
def test_refuses_a_part_without_rows(test: float, valid: float, words: str) -> None:
    with pytest.raises(DataError, match=rf"{words}.*Change test_size or valid_size"):
        split(make_table({"a": 20}), task="regression", test=test, valid=valid)


def test_refuses_a_part_with_fewer_rows_than_classes() -> None:
    with pytest.raises(DataError, match="The test part of 'made' would have 2 of 21 rows, and needs at least 3"):
        split(make_table({"a": 7, "b": 7, "c": 7}), test=0.1)


@pytest.mark.parametrize(
    ("classes", "words"),
    [({"a": 20}, "'kind' has one class only, 'a'"), ({"a": 20, "b": 2}, r"The class 'b' of 'kind' has 2 row\(s\), too few")],
)
def test_refuses_classes_that_cannot_be_split(classes: dict[str, int], words: str) -> None:
    with pytest.raises(DataError, match=words):
        split(make_table(classes))


@pytest.mark.parametrize(("count", "test", "valid"), [(12, 0.5, 0.2), (97, 0.2, 0.2), (97, 0.05, 0.05)])
def test_has_each_class_in_each_part_or_refuses(count: int, test: float, valid: float) -> None:
    try:
        parts = split(make_table({"a": count, "rare": 3}), test=test, valid=valid)
    except DataError:
        return
    assert [part.target.nunique() for part in (parts.train, parts.valid, parts.test)] == [2, 2, 2]


def test_encodes_labels_by_their_position() -> None:
    assert encode_labels(pd.Series(["b", "a", "b"]), ["a", "b"]).tolist() == [1, 0, 1]


def test_has_the_same_digest_when_it_is_loaded_again() -> None:
    assert compute_digest(load_table("iris")) == compute_digest(load_table("iris"))


@pytest.mark.parametrize(
    "change",
    [
        lambda x, y: (x.assign(a=x["a"].where(x.index != 3, 3.0000001)), y),
        lambda x, y: (x, y.where(y.index != 3, "b")),
        lambda x, y: (x.rename(columns={"a": "b"}), y),
        lambda x, y: (x, y.rename("sort")),
        lambda x, y: (x.iloc[::-1], y.iloc[::-1]),
    ],
    ids=["feature", "target", "column", "target name", "order"],
)
def test_has_another_digest_after_any_change(
    change: Callable[[pd.DataFrame, pd.Series], tuple[pd.DataFrame, pd.Series]],
) -> None:
    table = make_table({"a": 5, "c": 5})
    changed = Table(*change(table.features, table.target), name="made", source="test")

    assert compute_digest(changed) != compute_digest(table)


def test_describes_itself_as_mlflow_records_a_data_set() -> None:
    facts = make_table({"a": 2}).describe()

    assert facts["schema"] == '{"mlflow_colspec": [{"name": "a", "type": "float64"}, {"name": "kind", "type": "str"}]}'
    assert facts["profile"] == '{"num_rows": 2, "num_elements": 2}'
    assert len(facts["digest"]) == 16
