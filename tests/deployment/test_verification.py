"""The verification report of a real server."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.docker import deploy_settings

from boostlab.deployment.load_test import LoadResult
from boostlab.deployment.parity import CheckResult, make_parity_case
from boostlab.deployment.service import run_process
from boostlab.deployment.target import choose_target
from boostlab.deployment.verification import VerificationReport, verify
from boostlab.errors import DeploymentError
from boostlab.models.loading import load_version
from boostlab.training.holdout import fetch_holdout

LOADS = {1: LoadResult([0.001, 0.003], {200: 2}, seconds=2.0), 8: LoadResult([0.002] * 4, {200: 4}, seconds=2.0)}


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
    assert report.latencies_ms == {1: [1.0, 3.0], 8: [2.0] * 4}
    assert report.metrics == {
        "checks": 2, "checks_failed": 1, "start_s": 1.5,
        "p50_ms_1_clients": 3.0, "p99_ms_1_clients": 3.0, "requests_per_s_1_clients": 1.0,
        "p50_ms_8_clients": 2.0, "p99_ms_8_clients": 2.0, "requests_per_s_8_clients": 2.0,
    }  # fmt: skip
    with pytest.raises(DeploymentError, match=r"1 of 2 checks failed, so nothing is released\. b: status 500"):
        report.raise_if_failed()
