"""Settings of a table and its split: an existing data set, one role per column, and rows for each part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boostlab.data.settings import SplitSettings, TableSettings
from boostlab.errors import ParameterError

TABLE = {"target": "y", "features": [], "drop": [], "sample_weight": "", "group": "", "time": "", "task": "auto"}
SPLIT = {
    "split": "random",
    "time_gap": "",
    "stratify": True,
    "duplicates": "together",
    "test_size": 0.2,
    "valid_size": 0.2,
    "split_seed": 0,
}


@pytest.mark.parametrize("dataset", ["t.csv", "folder", "*.csv"])
def test_takes_a_file_a_folder_or_a_glob(tmp_path: Path, dataset: str) -> None:
    (tmp_path / "t.csv").touch()
    (tmp_path / "folder").mkdir()

    assert TableSettings.check(TABLE | {"dataset": str(tmp_path / dataset)}).target == "y"


def test_takes_a_data_set_of_scikit_learn_without_a_target() -> None:
    assert TableSettings.check(TABLE | {"dataset": "iris", "target": ""}).dataset == "iris"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dataset": "iriss"},
            r"nor a file at /.*/iriss\. Did you mean 'iris'\? It takes: breast_cancer,",
        ),
        ({"dataset": "nothing/*.csv"}, "neither a data set of scikit-learn nor a file"),
        ({"dataset": "iris", "group": "g"}, "target and group is for tables of your own: iris has its target"),
        ({"test_dataset": "iris"}, r"test_dataset = 'iris': a data set of scikit-learn\. It takes a table of your own"),
        ({"test_dataset": "none.csv"}, r"test_dataset = 'none\.csv': neither a data set of scikit-learn nor a file"),
        ({"dataset": "iris", "target": "", "test_dataset": __file__}, "test_dataset is for tables of your own: iris has its"),
        ({"target": ""}, "needs a target: name the column to predict, as -p target NAME"),
        ({"features": ["a", "y"]}, "'y' is the target or the weight: leave it out of features and drop"),
        ({"drop": ["w"], "sample_weight": "w"}, "'w' is the target or the weight"),
    ],
)
def test_refuses_a_table_that_cannot_be_read_as_requested(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        TableSettings.check(TABLE | {"dataset": __file__} | changes)


def test_refuses_shares_that_leave_no_rows_for_training() -> None:
    assert SplitSettings.check(SPLIT | {"test_size": 0.5, "valid_size": 0.49}).valid_size == 0.49
    with pytest.raises(ParameterError, match=r"test_size = 0\.5 and valid_size = 0\.5 leave no rows for training"):
        SplitSettings.check(SPLIT | {"test_size": 0.5, "valid_size": 0.5})


@pytest.mark.parametrize("gap", ["7 days", "12h", "0.5", "0"])
def test_takes_a_gap_of_time_as_duration_or_number(gap: str) -> None:
    assert SplitSettings.check(SPLIT | {"split": "time", "time_gap": gap}).time_gap == gap


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "time", "time_gap": "a week"}, r"time_gap = 'a week': neither a duration of at least zero, such as '7 days'"),
        ({"split": "time", "time_gap": "-1 days"}, "neither a duration of at least zero"),
        ({"split": "time", "time_gap": "nan"}, "neither a duration of at least zero"),
        ({"time_gap": "7 days"}, "time_gap is for a split by time: set split to time"),
        ({"duplicates": "drop"}, "duplicates has no choice 'drop'.*It takes: together, apart"),
    ],
)
def test_refuses_a_split_that_contradicts_itself(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        SplitSettings.check(SPLIT | changes)
