"""The model contract: its file, and a model that version 0.1 of boostlab logged."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas._libs.parsers import STR_NA_VALUES  # type: ignore[import-not-found]

from boostlab.models.contract import MISSING_MARKERS, Contract, Feature
from boostlab.models.loading import check_model
from boostlab.models.predictor import load_predictor
from boostlab.scoring.scorer import score_file
from boostlab.serving.model import ServedModel

LOGGED = Path(__file__).with_name("logged_by_0_1")


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    """Return a copy of the model, in which Python may write its caches."""
    return Path(shutil.copytree(LOGGED / "model", tmp_path / "model"))


def test_writes_the_contract_as_version_0_1_did(tmp_path: Path) -> None:
    contract = Contract.read_model(LOGGED / "model")
    contract.write(tmp_path)

    assert (tmp_path / "contract.json").read_text() == (LOGGED / "model/data/model_data/contract.json").read_text()
    assert contract.labels == ("cheap", "dear")
    assert contract.features[3] == Feature("city", "category", "string", categories=("Faro", "Porto, PT", 'say "x"'))


def test_a_contract_without_device_was_trained_on_the_cpu(tmp_path: Path) -> None:
    (tmp_path / "contract.json").write_text('{"task": "regression", "labels": [], "features": []}')

    assert Contract.read(tmp_path).device == "cpu"


def test_a_model_of_version_0_1_answers_everywhere(logged: Path, tmp_path: Path) -> None:
    import mlflow.pyfunc

    check_model(logged)
    rows, expected = pd.read_parquet(LOGGED / "rows.parquet"), json.loads((LOGGED / "answers.json").read_text())
    model = mlflow.pyfunc.load_model(str(logged))
    rows.to_csv(tmp_path / "rows.csv", index=False)
    contract = Contract.read_model(logged)
    scored = score_file(
        model, contract, rows=str(tmp_path / "rows.csv"), output=tmp_path / "out.csv", probabilities=True, chunk_rows=7
    )
    split = json.loads(rows.to_json(orient="split", index=False, date_format="iso", date_unit="us"))
    served, _ = ServedModel(logged).answer(json.dumps({"dataframe_split": split}).encode(), "application/json")
    answers = np.array(expected["labels"])[np.argmax(expected["probabilities"], axis=1)].tolist()

    assert np.array_equal(model.predict(rows, params={"probabilities": True}), expected["probabilities"])
    assert np.array_equal(load_predictor(logged / "data/model_data").answers(rows), expected["probabilities"])
    assert json.loads(served)["predictions"] == answers
    with scored.path.open() as file:
        assert [row["prediction"] for row in csv.DictReader(file)] == answers


def test_takes_the_texts_for_missing_values_that_pandas_takes() -> None:
    assert MISSING_MARKERS == STR_NA_VALUES
