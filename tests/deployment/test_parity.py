"""The parity check against a real server, for models with columns of every type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.support.packages import Packaged

from boostlab.deployment.parity import MIN_ROWS, ParityCase, check_answers, check_refusals, make_parity_case
from boostlab.deployment.service import run_process
from boostlab.training.holdout import make_holdout, read_holdout
from boostlab.training.metrics import evaluate_test

FORMATS = ["dataframe_split", "dataframe_records", "inputs"]


@pytest.fixture
def case(request: pytest.FixtureRequest, package: Callable[[str], Packaged], tmp_path: Path) -> tuple[Path, ParityCase]:
    """Return a model's folder and its parity case."""
    folder, predictor, split = package(request.param)
    kept = make_holdout(evaluate_test(predictor, split))
    pq.write_table(kept, tmp_path / "rows.parquet")
    model = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
    return folder, make_parity_case(model, folder, read_holdout(tmp_path / "rows.parquet"))


@pytest.mark.parametrize(
    ("case", "formats"),
    [
        ("own", FORMATS),  # dates: not as CSV; missing values: not as instances
        ("own_classes", [*FORMATS, "their probabilities"]),
        ("iris", [*FORMATS, "instances", "CSV", "their probabilities"]),
    ],
    indirect=["case"],
)
def test_a_server_of_the_same_model_passes(case: tuple[Path, ParityCase], formats: list[str]) -> None:
    folder, expected = case
    with run_process(folder) as service:
        results = check_answers(service.address, expected) + check_refusals(service.address)

    assert [result for result in results if not result.passed] == []
    sent = {result.name.rpartition(" as ")[2] for result in results if not result.name.startswith("malformed")}
    assert sent == {*formats, "the input example", "the recorded answers of the training"}
    assert len(expected.frame) >= MIN_ROWS


@pytest.mark.parametrize("case", ["iris"], indirect=True)
def test_one_wrong_answer_fails(case: tuple[Path, ParityCase]) -> None:
    folder, expected = case
    wrong = replace(
        expected,
        predictions=[*expected.predictions[:-1], "another class"],
        probabilities=expected.probabilities[:-1],
        recorded=(np.asarray(expected.recorded) + 0.01).tolist(),
        example_answer=expected.example_answer[1:],
    )
    with run_process(folder) as service:
        failed = [result for result in check_answers(service.address, wrong) if not result.passed]
    found = {result.name.rpartition(" as ")[2]: result.found for result in failed}

    count = len(expected.predictions)
    assert found["CSV"].startswith(f"1 of {count} answers differ, the first: ")
    assert found["their probabilities"] == f"{count} answers to {count - 1} rows"
    assert {"the recorded answers of the training", "the input example"} <= found.keys()


@pytest.mark.parametrize("case", ["iris"], indirect=True)
def test_a_server_of_another_model_fails(case: tuple[Path, ParityCase], package: Callable[[str], Packaged]) -> None:
    with run_process(package("own")[0]) as service:
        results = check_answers(service.address, case[1])

    assert [result.name for result in results if result.passed] == ["the recorded answers of the training"]
    assert "status 400" in results[0].found
