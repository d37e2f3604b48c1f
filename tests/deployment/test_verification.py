"""The verification of a real server, for models with columns of every type, and its report."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pyarrow.parquet as pq
import pytest
import xgboost as xgb
from tests.support.docker import deploy_settings
from tests.support.packages import Packaged
from tests.support.servers import serve_model

from boostlab.deployment.load_test import LoadResult
from boostlab.deployment.parity import MIN_ROWS, ParityCase, make_parity_case
from boostlab.deployment.service import run_process
from boostlab.deployment.target import choose_target
from boostlab.deployment.verification import (
    CheckResult,
    VerificationReport,
    check_answers,
    check_refusals,
    verify,
)
from boostlab.errors import DeploymentError
from boostlab.evaluation.holdout import fetch_holdout, make_holdout, read_holdout, to_holdout
from boostlab.evaluation.metrics import evaluate_test
from boostlab.models.loading import load_version
from boostlab.models.signature import state_types
from boostlab.serving.settings import ServerSettings

LOADS = {1: LoadResult([0.001, 0.003], Counter({200: 2}), seconds=2.0), 8: LoadResult([0.002] * 4, seconds=2.0)}
FORMATS = ["dataframe_split", "dataframe_records", "inputs", "CSV", "the contributions of 50 of them"]


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
        ("own", FORMATS),  # missing values: not as instances
        ("own_quantiles", FORMATS),
        ("own_folds", [*FORMATS, "their probabilities"]),
        ("own_classes", [*FORMATS, "their probabilities"]),
        ("iris", [*FORMATS, "instances", "their probabilities"]),
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


@pytest.mark.slow
@pytest.mark.parametrize("case", ["own_classes"], indirect=True)
def test_mlflows_server_of_the_model_in_an_image_passes(case: tuple[Path, ParityCase], tmp_path: Path) -> None:
    folder, expected = case
    state_types(Path(shutil.copytree(folder, tmp_path / "model")))
    with serve_model(str(tmp_path / "model"), f"sqlite:///{tmp_path / 'mlflow.db'}") as address:
        results = check_answers(address, expected)

    assert [result for result in results if not result.passed] == []
    assert any(result.name.endswith(" as CSV") for result in results)
    assert any(result.name == "the contributions of 50 of them" for result in results)


@pytest.mark.parametrize("case", ["iris"], indirect=True)
def test_one_wrong_answer_fails(case: tuple[Path, ParityCase]) -> None:
    folder, expected = case
    wrong = replace(
        expected,
        predictions=[*expected.predictions[:-1], "another class"],
        probabilities=expected.probabilities[:-1],
        recorded=(np.asarray(expected.recorded) + 0.01).tolist(),
        example_answer=expected.example_answer[1:],
        explained=[expected.explained[0] | {"bias": 0.0}, *expected.explained[1:]],
    )
    with run_process(folder) as service:
        failed = [result for result in check_answers(service.address, wrong) if not result.passed]
    found = {result.name.rpartition(" as ")[2]: result.found for result in failed}

    count = len(expected.predictions)
    assert found["CSV"].startswith(f"1 of {count} answers differ, the first: ")
    assert found["their probabilities"] == f"{count} answers to {count - 1} rows"
    assert {"the recorded answers of the training", "the input example"} <= found.keys()
    assert found["the contributions of 50 of them"].startswith("1 of 50 answers differ, the first: ")


@pytest.mark.parametrize("case", ["iris"], indirect=True)
def test_a_server_of_another_model_fails(case: tuple[Path, ParityCase], package: Callable[[str], Packaged]) -> None:
    with run_process(package("own")[0]) as service:
        results = check_answers(service.address, case[1])

    assert [result.name for result in results if result.passed] == ["the recorded answers of the training"]
    assert "status 400" in results[0].found


def test_a_model_without_contributions_is_not_asked_for_them(package: Callable[[str], Packaged], tmp_path: Path) -> None:
    folder, predictor, split = package("iris")
    kept = to_holdout(make_holdout(evaluate_test(predictor, split)))
    data = Path(shutil.copytree(folder, tmp_path / "model")) / "data" / "model_data"
    params = {"objective": "multi:softprob", "num_class": 3, "multi_strategy": "multi_output_tree", "nthread": 1}
    matrix = xgb.DMatrix(split.train.head(90).to_numpy(np.float32), np.arange(90) % 3)
    xgb.train(params, matrix, 2).save_model(data / "model.ubj")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"), suppress_warnings=True)
    case = make_parity_case(model, tmp_path / "model", replace(kept, is_of_model=False))
    with run_process(tmp_path / "model") as service:
        results = check_answers(service.address, case)

    (skipped,) = [result for result in results if "contributions" in result.name]
    assert skipped.skipped and skipped.found.startswith("contributions: XGBoost has none for this model")
    assert all(result.passed for result in results)


def test_asks_for_no_more_contributions_than_a_server_computes(
    package: Callable[[str], Packaged], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, predictor, split = package("iris")
    monkeypatch.setattr(ServerSettings, "max_contributions", 4 * 3 * 7 + 1)
    model = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
    case = make_parity_case(model, folder, to_holdout(make_holdout(evaluate_test(predictor, split))))

    assert len(case.explained) == 7


def test_reports_checks_and_load_tests_of_a_server(version_store: Any) -> None:
    target = choose_target(version_store, deploy_settings())
    model = load_version(version_store, target.model, target.version)
    case = make_parity_case(model, target.folder, fetch_holdout(version_store, target.run_id))
    with run_process(target.folder) as service:
        report = verify(service, case, load_test_s=0.2)

    assert not report.failed and len(report.checks) >= 14
    assert [set(load.statuses) for load in report.loads.values()] == [{200}, {200}]
    assert report.start_s == service.start_s
    report.raise_if_failed()


def test_names_its_figures() -> None:
    checks = [CheckResult("a", True, "equal"), CheckResult("b", False, "status 500")]
    report = VerificationReport(checks, LOADS, 1.5)

    assert report.passed == "1 of 2"
    assert report.metrics == {
        "checks": 2, "checks_failed": 1, "start_s": 1.5,
        "p50_ms_1_clients": 3.0, "p99_ms_1_clients": 3.0, "requests_per_s_1_clients": 1.0,
        "p50_ms_8_clients": 2.0, "p99_ms_8_clients": 2.0, "requests_per_s_8_clients": 2.0,
    }  # fmt: skip
    with pytest.raises(DeploymentError, match=r"1 of 2 checks failed, so nothing is released\. b: status 500"):
        report.raise_if_failed()
