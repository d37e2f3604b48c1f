"""The parity check: a server must answer as the model does, in every format, and refuse malformed requests.

It compares what a client receives: the numbers are equal to the last bit, or the check fails.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import requests

from boostlab.models.contract import Contract, Feature
from boostlab.models.packaging import cast_to_signature
from boostlab.training.holdout import Holdout

MIN_ROWS = 200
MAX_ROWS = 1000
JSON, CSV = "application/json", "text/csv"
MALFORMED: dict[str, tuple[bytes, str]] = {
    "broken JSON": (b'{"dataframe_split": ', JSON),
    "no known format": (b'{"rows": []}', JSON),
    "a list": (b"[]", JSON),
    "no columns": (b'{"dataframe_records": [{}]}', JSON),
    "records that are a number": (b'{"dataframe_records": 5}', JSON),
    "CSV with a wrong header": (b"of,no,use\n1,2,3\n", CSV),
    "another content type": (b"<rows/>", "application/xml"),
}


@dataclass(frozen=True)
class CheckResult:
    """The result of one check of a server: what was checked, whether it passed, and what was found."""

    name: str
    passed: bool
    found: str


@dataclass(frozen=True)
class ParityCase:
    """Requests, and the answers that a server must give.

    Attributes
    ----------
    frame : DataFrame of shape (n_rows, n_features)
        Holdout rows with the types of the model's signature.
    predictions, probabilities : list of length n_rows
        The answers of the model as loaded here; a regression model has no probabilities.
    recorded : list of length n_rows
        The answers that the training recorded: predictions, or a list of probabilities per row.
    """

    frame: pd.DataFrame
    features: Sequence[Feature]
    predictions: list[Any]
    probabilities: list[Any]
    recorded: list[Any]
    example: dict[str, Any]
    example_answer: list[Any]


def make_parity_case(model: Any, folder: Path, holdout: Holdout) -> ParityCase:
    """Let the model predict at least 200 and at most 1,000 holdout rows; fewer than 200 rows are repeated.

    Parameters
    ----------
    model : mlflow.pyfunc.PyFuncModel
    folder : pathlib.Path
        The MLflow Model that `model` was loaded from.
    holdout : Holdout
        The test rows of the training, with the recorded answers.
    """
    features = Contract.read_model(folder).features
    count = min(len(holdout), MAX_ROWS)
    order = np.arange(max(count, MIN_ROWS)) % count
    rows = holdout.frame.iloc[order].reset_index(drop=True)
    frame = pd.DataFrame({feature.name: cast_to_signature(rows[feature.name], feature) for feature in features})
    is_classifier = holdout.task == "classification"
    probabilities = model.predict(frame, params={"probabilities": True}).to_dict(orient="records") if is_classifier else []
    return ParityCase(
        frame=frame,
        features=features,
        predictions=model.predict(frame).tolist(),
        probabilities=probabilities,
        recorded=holdout.answers[order].tolist(),
        example=json.loads((folder / "serving_input_example.json").read_text(encoding="utf-8")),
        example_answer=model.predict(model.metadata.load_input_example(str(folder))).tolist(),
    )


def check_answers(address: str, case: ParityCase) -> list[CheckResult]:
    """Send the input example and the holdout rows in each format, and compare the answers."""
    results = [_compare("the input example", address, json.dumps(case.example).encode(), JSON, case.example_answer)]
    for name, body in _encode_formats(case).items():
        media_type = CSV if name == "CSV" else JSON
        results.append(_compare(f"{len(case.frame)} holdout rows as {name}", address, body, media_type, case.predictions))
    if case.probabilities:
        body = json.dumps({"dataframe_records": list_records(case), "params": {"probabilities": True}}).encode()
        results.append(_compare("their probabilities", address, body, JSON, case.probabilities))
    answers = [list(row.values()) for row in case.probabilities] or case.predictions
    equal = np.array_equal(np.asarray(answers, np.float32), np.asarray(case.recorded, np.float32))
    found = "equal" if equal else "they differ from the answers that the training recorded"
    return [*results, CheckResult("the recorded answers of the training", equal, found)]


def check_refusals(address: str) -> list[CheckResult]:
    """Send malformed requests; the server must refuse each with a status from 400 to 499."""
    results = []
    for name, (body, media_type) in MALFORMED.items():
        status = _post(address, body, media_type).status_code
        results.append(CheckResult(f"malformed: {name}", 400 <= status < 500, f"status {status}"))
    return results


def list_records(case: ParityCase) -> list[dict[str, Any]]:
    """Return the holdout rows as JSON values with all digits; a missing value is None."""
    frame = case.frame.astype(object).where(case.frame.notna(), None)
    for feature in case.features:
        if feature.mlflow_type == "datetime":
            texts = case.frame[feature.name].dt.strftime("%Y-%m-%dT%H:%M:%S.%f")
            frame[feature.name] = texts.astype(object).where(texts.notna(), None)
    return [
        {str(name): value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]


def _post(address: str, body: bytes, media_type: str) -> requests.Response:
    return requests.post(f"{address}/invocations", data=body, headers={"Content-Type": media_type}, timeout=120)


def _compare(name: str, address: str, body: bytes, media_type: str, expected: list[Any]) -> CheckResult:
    started = time.perf_counter()
    try:
        response = _post(address, body, media_type)
    except requests.RequestException as error:
        return CheckResult(name, False, str(error))
    seconds = time.perf_counter() - started
    if response.status_code != 200:
        return CheckResult(name, False, f"status {response.status_code}: {response.text[:300]}")
    answers = json.loads(response.content)["predictions"]
    if len(answers) != len(expected):
        return CheckResult(name, False, f"{len(answers)} answers to {len(expected)} rows")
    wrong = [pair for pair in zip(answers, expected, strict=True) if pair[0] != pair[1]]
    if wrong:
        found = f"{len(wrong)} of {len(expected)} answers differ, the first: {wrong[0][0]!r} instead of {wrong[0][1]!r}"
        return CheckResult(name, False, found)
    return CheckResult(name, True, f"{len(answers)} answers equal to the last bit, {seconds * 1000:.0f} ms")


def _encode_formats(case: ParityCase) -> dict[str, bytes]:
    """Return the rows in each format of the protocol.

    MLflow passes ``instances`` and ``inputs`` through numpy, which turns a missing value into the text "None". With missing
    values, ``inputs`` therefore omits them, and ``instances``, which must name every column, is not sent.
    """
    records, names = list_records(case), list(case.frame.columns)
    table = [[record[name] for name in names] for record in records]
    content: dict[str, Any] = {"dataframe_split": {"columns": names, "data": table}, "dataframe_records": records}
    if case.frame.isna().to_numpy().any():
        content["inputs"] = [{name: value for name, value in record.items() if value is not None} for record in records]
    else:
        content["instances"] = records
        content["inputs"] = {name: [record[name] for record in records] for name in names}
    bodies = {name: json.dumps({name: rows}).encode() for name, rows in content.items()}
    if not any(feature.mlflow_type == "datetime" for feature in case.features):  # MLflow reads no dates from CSV
        text = io.StringIO()
        csv.writer(text).writerows([names, *(["" if value is None else value for value in row] for row in table)])
        bodies["CSV"] = text.getvalue().encode()
    return bodies
