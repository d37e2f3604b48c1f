"""The server's description of itself: its examples work, its page is self-contained, and a fuzzer finds no contradiction."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from tests.support.serving import ROW

REQUESTS = int(os.environ.get("BOOSTLAB_FUZZ") or (800 if os.environ.get("CI") else 300))  # before a release: 10,000
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
SHARES = {GenerationMode.POSITIVE: 0.3, GenerationMode.NEGATIVE: 0.7}  # requests that the description allows, and others


def test_the_examples_of_the_description_are_valid_requests(address: str) -> None:
    description = requests.get(f"{address}/openapi.json", timeout=60).json()
    content = description["paths"]["/invocations"]["post"]["requestBody"]["content"]

    assert description["openapi"] == "3.1.0"
    assert content.keys() == {"application/json", "text/csv"}
    for content_type, described in content.items():
        body = described["example"] if isinstance(described["example"], str) else json.dumps(described["example"])
        answer = requests.post(f"{address}/invocations", data=body.encode(), headers={"Content-Type": content_type}, timeout=60)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["predictions"]) == 5


EXTRA = {"not a feature": {"any": ["thing"]}}
CORPUS: list[Any] = [
    {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())] * 60}},
    {"dataframe_records": [ROW, {name: value for name, value in ROW.items() if not name.endswith("gap")}, ROW | EXTRA]},
    {"dataframe_records": [dict.fromkeys(ROW)]},
    {"dataframe_records": [ROW | {"new": "FALSE", "size": "1e3", "rooms": "100.0", "sold": "1500-02-28"}] * 100},
    {"instances": [ROW], "params": {"probabilities": True}},
    {"instances": ROW},
    {"inputs": [ROW | {"city": 3, "new": 1, "sold": "9999-12-31", "sold_gap": None}], "params": {"unknown": 1}},
    {"inputs": ROW, "params": None},
]


def test_accepted_requests_match_the_description(address: str) -> None:
    description = requests.get(f"{address}/openapi.json", timeout=60).json()
    content = description["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    validator = Draft202012Validator(content["schema"])

    for body in [content["example"], *CORPUS]:
        answer = requests.post(f"{address}/invocations", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        validator.validate(body)
    for body in ({"dataframe_records": [ROW, None]}, {"instances": [ROW | {"rooms": "x"}]}, {"inputs": []}):
        assert requests.post(f"{address}/invocations", json=body, timeout=60).status_code == 400
        assert not validator.is_valid(body)


def test_the_page_names_each_column_and_loads_nothing_from_other_hosts(address: str) -> None:
    page = requests.get(f"{address}/docs", timeout=60).text

    assert "//" not in page.replace("http://localhost:8080/invocations", "")
    assert all(f"<code>{name}</code>" in page for name in ROW)


@pytest.mark.slow
@pytest.mark.parametrize("mode", SHARES, ids=lambda mode: mode.value)
@pytest.mark.filterwarnings("ignore")
def test_no_generated_request_makes_the_server_fail(address: str, mode: GenerationMode) -> None:
    """Each response has a described status and content, and each allowed request is answered with 200."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    predict = next(operation for operation in operations if operation.path == "/invocations")
    strategies = [predict.as_strategy(generation_mode=mode)] * 9
    if mode is GenerationMode.POSITIVE:
        strategies += [operation.as_strategy() for operation in operations if operation is not predict]
    session = requests.Session()
    counts: dict[int, int] = {}

    @settings(max_examples=int(REQUESTS * SHARES[mode]), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=st.one_of(strategies))
    def send(case: Any) -> None:
        answer = case.call(session=session)
        counts[answer.status_code] = counts.get(answer.status_code, 0) + 1
        assert answer.status_code < 500, answer.text
        assert answer.status_code < 400 or len(answer.content) <= 2000
        if mode is GenerationMode.POSITIVE and case.media_type != "text/csv":
            assert answer.status_code == 200, answer.text
        case.validate_response(answer, checks=CHECKS)

    send()
    assert sum(counts.values()) >= REQUESTS * SHARES[mode] * 0.9
