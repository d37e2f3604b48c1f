"""Does a server answer as the model does? Every format, held-out rows, malformed requests, and how fast it is.

What is compared is what a client gets: the numbers are equal to the last bit, or the check fails.
"""

from __future__ import annotations

import csv
import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from boostlab.deployment.load_test import Load, press
from boostlab.models.contract import Feature
from boostlab.models.packaging import cast_to_signature
from boostlab.training.holdout import Rows

FEWEST_ROWS = 200
MOST_ROWS = 1000
TIMED_S = 2.0
CLIENTS = 8
JSON, CSV = "application/json", "text/csv"
MALFORMED: dict[str, tuple[bytes, str]] = {
    "broken JSON": (b'{"dataframe_split": ', JSON),
    "no known format": (b'{"rows": []}', JSON),
    "a list": (b"[]", JSON),
    "no columns": (b'{"dataframe_records": [{}]}', JSON),
    "records that are a number": (b'{"dataframe_records": 5}', JSON),
    "CSV without a header that fits": (b"of,no,use\n1,2,3\n", CSV),
    "another content type": (b"<rows/>", "application/xml"),
}


@dataclass(frozen=True)
class Check:
    """One question to a server: what was asked, whether the answer is as it should be, and what was found."""

    name: str
    passed: bool
    found: str


@dataclass(frozen=True)
class Question:
    """Rows as a client would send them, and what the model answers."""

    frame: pd.DataFrame
    features: Sequence[Feature]
    expected: list[Any]
    probabilities: list[Any]
    kept: list[Any]


def take_question(model: Any, features: Sequence[Feature], rows: Rows) -> Question:
    """Ask the model that is loaded here for its answers to held-out rows, at least 200 and at most 1,000.

    Fewer than 200 are repeated until they are enough.

    Parameters
    ----------
    model : mlflow.pyfunc.PyFuncModel
    features : sequence of Feature
        The model's contract.
    rows : Rows
        Those that the training kept, with the answers that it got.
    """
    count = min(len(rows), MOST_ROWS)
    order = np.arange(max(count, FEWEST_ROWS)) % count
    sent = rows.frame.iloc[order].reset_index(drop=True)
    frame = pd.DataFrame({feature.name: cast_to_signature(sent[feature.name], feature) for feature in features})
    expected = list(model.predict(frame).tolist())
    kept = rows.answers[order]
    if rows.task == "regression":
        return Question(frame, features, expected, [], [float(value) for value in kept])
    likely = model.predict(frame, params={"probabilities": True})
    return Question(frame, features, expected, likely.to_dict(orient="records"), kept.tolist())


def check_answers(address: str, question: Question, example: dict[str, Any], answer: list[Any]) -> list[Check]:
    """Send held-out rows in every format, and the input example, and compare.

    Parameters
    ----------
    example, answer
        The model's serving example, and what the model answers to it.
    """
    checks = [_compare("the input example", address, json.dumps(example).encode(), JSON, answer)]
    for name, body in _write_formats(question).items():
        kind = CSV if name == "CSV" else JSON
        checks.append(_compare(f"{len(question.frame)} held-out rows as {name}", address, body, kind, question.expected))
    if question.probabilities:
        body = json.dumps({"dataframe_records": _to_records(question), "params": {"probabilities": True}}).encode()
        checks.append(_compare("their probabilities", address, body, JSON, question.probabilities))
    told = [list(row.values()) for row in question.probabilities] or question.expected
    same = np.array_equal(np.asarray(told, np.float32), np.asarray(question.kept, np.float32))
    checks.append(Check("the answers of the training notebook", same, "equal" if same else "others than the training kept"))
    return checks


def check_refusals(address: str) -> list[Check]:
    """Send malformed requests; each has to be refused with a status from 400 to 499."""
    checks = []
    for name, (body, kind) in MALFORMED.items():
        status, _ = send(address, body, kind)
        checks.append(Check(f"malformed: {name}", 400 <= status < 500, f"status {status}"))
    return checks


def time_answers(address: str, question: Question, *, clients: int, seconds: float = TIMED_S) -> Load:
    """Send one row again and again from some clients that keep their connections."""
    body = json.dumps({"dataframe_records": _to_records(question)[:1]}).encode()
    return press(f"{address}/invocations", body, clients=clients, seconds=seconds)


def tabulate_checks(checks: Sequence[Check]) -> pd.DataFrame:
    """Return the checks as a table to look at."""
    rows = [{"check": check.name, "": "passed" if check.passed else "FAILED", "found": check.found} for check in checks]
    return pd.DataFrame(rows, columns=["check", "", "found"]).set_index("check")


def send(address: str, body: bytes, kind: str) -> tuple[int, bytes]:
    """Post a request and return status and content."""
    request = urllib.request.Request(f"{address}/invocations", data=body, headers={"Content-Type": kind})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return int(answer.status), bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def _compare(name: str, address: str, body: bytes, kind: str, expected: list[Any]) -> Check:
    started = time.perf_counter()
    try:
        status, content = send(address, body, kind)
    except OSError as error:
        return Check(name, False, str(error))
    seconds = time.perf_counter() - started
    if status != 200:
        return Check(name, False, f"status {status}: {content[:300].decode(errors='replace')}")
    answers = json.loads(content)["predictions"]
    wrong = sum(one != other for one, other in zip(answers, expected, strict=False)) + abs(len(answers) - len(expected))
    if wrong:
        first = next((pair for pair in zip(answers, expected, strict=False) if pair[0] != pair[1]), ("", ""))
        return Check(name, False, f"{wrong} of {len(expected)} answers differ, the first: {first[0]!r} for {first[1]!r}")
    return Check(name, True, f"{len(answers)} answers equal to the last bit, {seconds * 1000:.0f} ms")


def _to_records(question: Question) -> list[dict[str, Any]]:
    """Return rows as JSON has them, with all digits; gaps as null."""
    frame = question.frame.astype(object).where(question.frame.notna(), None)
    for item in question.features:
        if item.mlflow_type == "datetime":
            texts = question.frame[item.name].dt.strftime("%Y-%m-%dT%H:%M:%S.%f")
            frame[item.name] = texts.astype(object).where(texts.notna(), None)
    return [
        {str(name): value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]


def _write_formats(question: Question) -> dict[str, bytes]:
    """Return the rows in each format of the protocol.

    What is sent as ``instances`` and ``inputs`` goes through numpy, which makes the text "None" of a gap: there a gap is
    left out, and ``instances``, which cannot leave anything out, gets complete rows alone.
    """
    records = _to_records(question)
    names = list(question.frame.columns)
    table = [[record[name] for name in names] for record in records]
    content: dict[str, Any] = {"dataframe_split": {"columns": names, "data": table}, "dataframe_records": records}
    if not question.frame.isna().to_numpy().any():
        content["instances"] = records
        content["inputs"] = {name: [record[name] for record in records] for name in names}
    else:
        content["inputs"] = [{name: value for name, value in record.items() if value is not None} for record in records]
    bodies = {name: json.dumps({name: rows}).encode() for name, rows in content.items()}
    if not any(item.mlflow_type == "datetime" for item in question.features):  # MLflow reads no dates from CSV
        out = io.StringIO()
        csv.writer(out).writerows([names, *(["" if value is None else value for value in row] for row in table)])
        bodies["CSV"] = out.getvalue().encode()
    return bodies
