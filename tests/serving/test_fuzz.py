"""A fuzzer that works from the server's own description: nothing that it thinks of makes the server fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from tests.serving.test_app import serving
from tests.support.packages import Packaged

REQUESTS = int(os.environ.get("BOOSTLAB_FUZZ") or (10_000 if os.environ.get("CI") else 300))
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
SHARES = {GenerationMode.POSITIVE: 0.3, GenerationMode.NEGATIVE: 0.7}  # what the description allows, and what it does not


@pytest.fixture(scope="module")
def address(package: Callable[[str], Packaged]) -> Iterator[str]:
    with serving(package("own_classes")[0], log_requests=0) as where:
        yield where


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", SHARES, ids=lambda mode: mode.value)
@pytest.mark.filterwarnings("ignore")
def test_nothing_that_a_fuzzer_sends_makes_it_fail(address: str, mode: GenerationMode) -> None:
    """Each answer has a status and a content that the description names, and what it allows is answered with 200."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    predict = next(operation for operation in operations if operation.path == "/invocations")
    strategies = [predict.as_strategy(generation_mode=mode)] * 9
    if mode is GenerationMode.POSITIVE:
        strategies += [operation.as_strategy() for operation in operations if operation is not predict]
    session = requests.Session()
    seen: dict[int, int] = {}

    @settings(max_examples=int(REQUESTS * SHARES[mode]), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=st.one_of(strategies))
    def send(case: Any) -> None:
        answer = case.call(session=session)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        assert answer.status_code < 500, answer.text
        if mode is GenerationMode.POSITIVE and case.media_type != "text/csv":
            assert answer.status_code == 200, answer.text
        case.validate_response(answer, checks=CHECKS)

    send()
    assert sum(seen.values()) >= REQUESTS * SHARES[mode] * 0.9
