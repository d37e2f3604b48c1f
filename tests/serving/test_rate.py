"""A limit of requests per client: shared by the workers, apart for each key, and not for health checks."""

from __future__ import annotations

import json
import time
from pathlib import Path

import requests
from tests.support.serving import BODY, JSON, ROW, predict, serve

from boostlab.serving.settings import ServerSettings

LARGE = json.dumps({"dataframe_records": [ROW] * 200}).encode()


def send(address: str, key: str = "", body: bytes = BODY) -> requests.Response:
    return requests.post(f"{address}/invocations", data=body, headers={"Content-Type": JSON, "X-API-Key": key}, timeout=60)


def test_more_requests_than_the_limit_are_refused_and_counted(folder: Path) -> None:
    with serve(folder, workers=3, rate_limit=0.01, rate_burst=6, log_requests=0) as address:
        answers = [send(address, body=body) for body in (BODY, LARGE) * 5]  # each on a connection of its own, at any worker
        statuses = [answer.status_code for answer in answers]
        assert statuses == [200] * 6 + [429] * 4
        for refused in answers[6:]:
            assert 1 <= int(refused.headers["retry-after"]) <= 100 and refused.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        assert all(requests.get(address + path, timeout=60).ok for path in ("/ping", "/livez", "/readyz", "/v2/health/ready"))
        assert requests.get(f"{address}/metrics", timeout=60).status_code == 429


def test_a_refused_request_counts_in_the_metrics(folder: Path) -> None:
    with serve(folder, workers=1, rate_limit=2, rate_burst=1, log_requests=0) as address:
        while send(address).ok:
            pass
        while not (page := requests.get(f"{address}/metrics", timeout=60)).ok:
            pass
    assert 'boostlab_requests_total{path="/invocations",status="429"} 1' in page.text


def test_each_key_has_its_limit_and_requests_without_one_that_of_the_address(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("alice\nbob\n")
    with serve(folder, rate_limit=0.01, rate_burst=2, api_key_file=tmp_path / "keys", log_requests=0) as address:
        found = {key: [send(address, key).status_code for _ in range(3)] for key in ("alice", "guess", "bob")}
    assert found == {"alice": [200, 200, 429], "guess": [401, 401, 429], "bob": [200, 200, 429]}


def test_a_client_that_waits_as_long_as_it_is_told_is_answered(folder: Path) -> None:
    with serve(folder, rate_limit=0.25, rate_burst=1, log_requests=0) as address:
        assert send(address).ok
        wait_s = int(send(address).headers["retry-after"])
        time.sleep(wait_s)
        assert wait_s <= 4 and send(address).ok


def test_without_the_setting_there_is_no_limit(address: str) -> None:
    assert all(predict(address).ok for _ in range(2 * ServerSettings.rate_burst))
