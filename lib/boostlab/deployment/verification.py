"""The verification of a running server: parity check, malformed requests and load tests, in one report.

The parity check compares what a client receives: each answer equals the model's to the last bit, or the check fails.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import requests

from boostlab.deployment.load_test import LoadResult, run_load_test
from boostlab.deployment.parity import ParityCase
from boostlab.deployment.service import Service
from boostlab.errors import DeploymentError
from boostlab.models.contributions import CONTRIBUTIONS

CLIENTS = (1, 8)  # one load test for each
LOAD_TEST_S = 2.0
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
    skipped: bool = False  #: whether there was nothing to check; `found` says why


@dataclass(frozen=True)
class VerificationReport:
    """The checks of a server, its load tests by their number of clients, and the time until its first answer."""

    checks: list[CheckResult]
    loads: dict[int, LoadResult]
    start_s: float

    @property
    def failed(self) -> list[CheckResult]:
        """The checks that failed."""
        return [check for check in self.checks if not check.passed]

    @property
    def passed(self) -> str:
        """How many checks passed, such as ``14 of 14``."""
        return f"{len(self.made) - len(self.failed)} of {len(self.made)}"

    @property
    def made(self) -> list[CheckResult]:
        """The checks that were not skipped."""
        return [check for check in self.checks if not check.skipped]

    @property
    def metrics(self) -> dict[str, float]:
        """The figures to record in the run."""
        found = {"checks": float(len(self.made)), "checks_failed": float(len(self.failed)), "start_s": self.start_s}
        for clients, load in self.loads.items():
            found[f"p50_ms_{clients}_clients"] = load.percentile_ms(0.5)
            found[f"p99_ms_{clients}_clients"] = load.percentile_ms(0.99)
            found[f"requests_per_s_{clients}_clients"] = load.per_second
        return found

    def raise_if_failed(self) -> None:
        """Raise a DeploymentError that names the failed checks, if there are any."""
        if self.failed:
            names = "; ".join(f"{check.name}: {check.found}" for check in self.failed)
            raise DeploymentError(f"{len(self.failed)} of {len(self.made)} checks failed, so nothing is released. {names}")


def verify(service: Service, case: ParityCase, *, load_test_s: float = LOAD_TEST_S) -> VerificationReport:
    """Check a server's answers and refusals, then measure how fast it answers requests of one row."""
    checks = check_answers(service.address, case) + check_refusals(service.address)
    body = json.dumps({"dataframe_records": _list_records(case)[:1]}).encode()
    url = f"{service.address}/invocations"
    loads = {clients: run_load_test(url, body, clients=clients, seconds=load_test_s) for clients in CLIENTS}
    return VerificationReport(checks, loads, service.start_s)


def check_answers(address: str, case: ParityCase) -> list[CheckResult]:
    """Send the input example and the holdout rows in each format, and compare the answers."""
    results = [_compare("the input example", address, json.dumps(case.example).encode(), JSON, case.example_answer)]
    for name, body in _encode_formats(case).items():
        media_type = CSV if name == "CSV" else JSON
        results.append(_compare(f"{len(case.frame)} {case.source} as {name}", address, body, media_type, case.predictions))
    if case.probabilities:
        body = json.dumps({"dataframe_records": _list_records(case), "params": {"probabilities": True}}).encode()
        results.append(_compare("their probabilities", address, body, JSON, case.probabilities))
    results.append(_check_contributions(address, case))
    if not case.recorded:
        return results
    answers = [list(row.values()) if isinstance(row, dict) else row for row in case.probabilities or case.predictions]
    equal = np.array_equal(np.asarray(answers, np.float32), np.asarray(case.recorded, np.float32))
    found = "equal" if equal else "they differ from the answers that the training recorded"
    return [*results, CheckResult("the recorded answers of the training", equal, found)]


def _check_contributions(address: str, case: ParityCase) -> CheckResult:
    """Compare the contributions of the first rows; a model that gives none is not asked."""
    if case.unexplained:
        return CheckResult("their contributions", True, case.unexplained, skipped=True)
    records = _list_records(case)[: len(case.explained)]
    body = json.dumps({"dataframe_records": records, "params": {CONTRIBUTIONS: True}}).encode()
    return _compare(f"the contributions of {len(records)} of them", address, body, JSON, case.explained)


def check_refusals(address: str) -> list[CheckResult]:
    """Send malformed requests; the server must refuse each with a status from 400 to 499."""
    statuses = {name: _post(address, body, media_type).status_code for name, (body, media_type) in MALFORMED.items()}
    return [CheckResult(f"malformed: {name}", 400 <= status < 500, f"status {status}") for name, status in statuses.items()]


def _post(address: str, body: bytes, media_type: str) -> requests.Response:
    return requests.post(f"{address}/invocations", data=body, headers={"Content-Type": media_type}, timeout=120)


def _compare(name: str, address: str, body: bytes, media_type: str, expected: list[Any]) -> CheckResult:
    started = time.perf_counter()
    try:
        response = _post(address, body, media_type)
    except requests.RequestException as error:
        return CheckResult(name, False, str(error))
    milliseconds = (time.perf_counter() - started) * 1000
    if response.status_code != 200:
        return CheckResult(name, False, f"status {response.status_code}: {response.text[:300]}")
    answers = json.loads(response.content)["predictions"]
    if len(answers) != len(expected):
        return CheckResult(name, False, f"{len(answers)} answers to {len(expected)} rows")
    wrong = [pair for pair in zip(answers, expected, strict=True) if pair[0] != pair[1]]
    if wrong:
        found = f"{len(wrong)} of {len(expected)} answers differ, the first: {wrong[0][0]!r} instead of {wrong[0][1]!r}"
        return CheckResult(name, False, found)
    return CheckResult(name, True, f"{len(answers)} answers equal to the last bit, {milliseconds:.0f} ms")


def _list_records(case: ParityCase) -> list[dict[str, Any]]:
    """Return the holdout rows as JSON values with all digits; a missing value is None."""
    records = case.frame.astype(object).where(case.frame.notna(), None).to_dict(orient="records")
    return cast("list[dict[str, Any]]", records)


def _encode_formats(case: ParityCase) -> dict[str, bytes]:
    """Return the rows in each format of the protocol.

    MLflow passes ``instances`` and ``inputs`` through numpy, which turns a missing value into the text "None". With missing
    values, ``inputs`` therefore omits them, and ``instances``, which must name every column, is not sent.
    """
    records, names = _list_records(case), list(case.frame.columns)
    table = [[record[name] for name in names] for record in records]
    content: dict[str, Any] = {"dataframe_split": {"columns": names, "data": table}, "dataframe_records": records}
    if case.frame.isna().to_numpy().any():
        content["inputs"] = [{name: value for name, value in record.items() if value is not None} for record in records]
    else:
        content["instances"] = records
        content["inputs"] = {name: [record[name] for record in records] for name in names}
    bodies = {name: json.dumps({name: rows}).encode() for name, rows in content.items()}
    if case.as_csv:
        bodies["CSV"] = case.frame.to_csv(index=False, lineterminator="\r\n").encode()
    return bodies
