"""The verification of a running server: parity checks, malformed requests and load tests, in one report."""

from __future__ import annotations

import json
from dataclasses import dataclass

from boostlab.deployment.load_test import LoadResult, run_load_test
from boostlab.deployment.parity import CheckResult, ParityCase, check_answers, check_refusals, list_records
from boostlab.deployment.service import Service
from boostlab.errors import DeploymentError

CLIENTS = (1, 8)  # one load test for each
LOAD_TEST_S = 2.0


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
        return f"{len(self.checks) - len(self.failed)} of {len(self.checks)}"

    @property
    def latencies_ms(self) -> dict[int, list[float]]:
        """The latency of each request, by the number of clients."""
        return {clients: [latency * 1000 for latency in load.latencies_s] for clients, load in self.loads.items()}

    @property
    def metrics(self) -> dict[str, float]:
        """The figures to record in the run."""
        found = {"checks": float(len(self.checks)), "checks_failed": float(len(self.failed)), "start_s": self.start_s}
        for clients, load in self.loads.items():
            found[f"p50_ms_{clients}_clients"] = load.percentile_ms(0.5)
            found[f"p99_ms_{clients}_clients"] = load.percentile_ms(0.99)
            found[f"requests_per_s_{clients}_clients"] = load.per_second
        return found

    def raise_if_failed(self) -> None:
        """Raise a DeploymentError that names the failed checks, if there are any."""
        if self.failed:
            names = "; ".join(f"{check.name}: {check.found}" for check in self.failed)
            raise DeploymentError(f"{len(self.failed)} of {len(self.checks)} checks failed, so nothing is released. {names}")


def verify(service: Service, case: ParityCase, *, load_test_s: float = LOAD_TEST_S) -> VerificationReport:
    """Check a server's answers and refusals, then measure how fast it answers requests of one row."""
    checks = check_answers(service.address, case) + check_refusals(service.address)
    body = json.dumps({"dataframe_records": list_records(case)[:1]}).encode()
    url = f"{service.address}/invocations"
    loads = {clients: run_load_test(url, body, clients=clients, seconds=load_test_s) for clients in CLIENTS}
    return VerificationReport(checks, loads, service.start_s)
