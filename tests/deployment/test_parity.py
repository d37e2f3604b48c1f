"""The parity case of a model that boostlab did not make: its input example, and the answers of its own code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from boostlab.deployment.parity import make_example_case
from boostlab.deployment.service import run_process
from boostlab.deployment.verification import check_answers, check_refusals
from boostlab.errors import LabError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow")  # advice for people who log a model
ROWS = pd.DataFrame(
    {
        "count": [1, 2, 3],
        "size": np.array([0.1, np.nan, 1 / 3]),
        "small": np.array([1, 2, 3], np.int32),
        "sold": [True, False, True],
        "town": ["Porto", "São João", "a,b"],
        "day": pd.to_datetime(["2026-01-31", "2026-02-28", "2026-03-31"]),
    }
)
TYPES = {"count": "long", "size": "double", "small": "integer", "sold": "boolean", "town": "string", "day": "datetime"}
PLAIN = ["count", "small", "sold", "town"]  # neither dates nor missing values: they go in each format
FORMATS = ["the input example", "dataframe_split", "dataframe_records", "inputs", "their contributions"]
TENSOR = ModelSignature(inputs=Schema([TensorSpec(np.dtype(float), (-1, 2))]))


class Foreign(PythonModel):
    """Answers in the form that a function of the rows gives."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads hints
        return self.answer(model_input)


def save(folder: Path, answer: Any, columns: list[str] | None = None, **given: Any) -> Path:
    """Save a model of another tool, and return its folder."""
    names = columns or list(TYPES)
    columns_of = [ColSpec(DataType[TYPES[name]], name, required=name != "size") for name in names]
    options = {
        "input_example": ROWS[names],
        "signature": ModelSignature(inputs=Schema(columns_of)),
        "pip_requirements": ["mlflow"],
    }
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # an image has no tests
    mlflow.pyfunc.save_model(str(folder / "model"), python_model=Foreign(answer), **options | given)
    return folder / "model"


def make_case(model: Path) -> Any:
    return make_example_case(mlflow.pyfunc.load_model(str(model)), model)


def test_a_server_gives_the_answers_of_the_models_own_code(tmp_path: Path) -> None:
    model = save(
        tmp_path, lambda rows: pd.DataFrame({"a": rows["count"] / 7, "b": rows["size"].fillna(0), "c": rows["day"].dt.day})
    )
    with run_process(model, trust_code=True) as service:
        results = check_answers(service.address, make_case(model))
    assert [result.found for result in results if not result.passed] == []
    assert [result.name.removeprefix("3 rows of the input example as ") for result in results] == FORMATS


def test_plain_rows_are_sent_in_each_format_and_other_answers_fail(tmp_path: Path) -> None:
    model = save(tmp_path, lambda rows: rows["count"].to_numpy() / 3, PLAIN)
    other = save(tmp_path / "other", lambda rows: rows["count"].to_numpy() / 4, PLAIN)
    with run_process(model, trust_code=True) as service:
        results = check_answers(service.address, make_case(model)) + check_refusals(service.address)
        wrong = check_answers(service.address, make_case(other))
    assert [result.found for result in results if not result.passed] == []
    assert len(results) == 14
    failed = [result for result in wrong if not result.passed]
    assert len(failed) == 6 and all("3 of 3 answers differ, the first" in result.found for result in failed)
    assert [result.found for result in wrong if result.skipped] == ["another tool made the model"]
    assert not [result for result in wrong if result.passed and not result.skipped]


def test_answers_may_be_a_list_of_texts(tmp_path: Path) -> None:
    model = save(tmp_path, lambda rows: [f"{town} in {day:%m}" for town, day in zip(rows["town"], rows["day"], strict=True)])
    assert make_case(model).predictions == ["Porto in 01", "São João in 02", "a,b in 03"]


@pytest.mark.parametrize(
    ("answer", "given", "words"),
    [
        (len, {"input_example": None}, "no input example with rows.*Log it with both: log_model"),
        (lambda rows: rows[:, 0], {"input_example": np.eye(2), "signature": TENSOR}, "has no signature with named columns"),
        (
            lambda rows: rows["count"][:1].to_numpy(),
            {},
            r"gives a list of 1 for the 3 rows of its input example\. It must give 3 answers",
        ),
        (lambda _: "yes", {}, "gives no list for the 3 rows"),
        (lambda rows: rows["size"].missing(), {}, "fails on its input example: AttributeError: 'Series' object has no"),
    ],
)
def test_refuses_a_model_that_no_rows_can_check(answer: Any, given: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=words):
        make_case(save(tmp_path, answer, **given))
