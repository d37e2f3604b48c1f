"""Counts of all workers together, in a form that Prometheus reads."""

from __future__ import annotations

import os
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families
from tests.support.serving import predict, serve

from boostlab.serving.metrics import Metrics


def read(page: str) -> dict[str, float]:
    """Return the samples of a page by name and labels."""
    return {
        sample.name.removeprefix("boostlab_") + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_adds_up_the_requests_of_all_workers(folder: Path) -> None:
    with serve(folder, workers=3, log_requests=0) as address:
        for _ in range(20):
            predict(address)
        predict(address, b"{}")
        samples = read(requests.get(f"{address}/metrics", timeout=60).text)

    assert samples["requests_total /invocations 200"] == 20
    assert samples["requests_total /invocations 400"] == 1
    assert samples["rows_total"] == 20 and samples["request_seconds_count"] == 21
    assert samples["requests_in_progress"] == 1  # the request for the metrics


def test_counts_latencies_cumulatively_and_unknown_paths_and_statuses_together() -> None:
    metrics = Metrics(1, {"model_id": 'a "b"\n\\'})
    for path, status, seconds, rows in [
        ("/invocations", 200, 0.001, 2),
        ("/invocations", 200, 0.3, 1),
        ("/invocations", 413, 60.0, 0),
        ("/favicon.ico", 418, 9.0, 0),
    ]:
        metrics.begin()
        metrics.end(path, status, seconds, rows)
    samples = read(metrics.render())

    assert samples['model_info a "b"\n\\'] == 1
    assert samples["requests_total other 500"] == 1
    buckets = [samples[f"request_seconds_bucket {limit}"] for limit in ("0.0005", "0.001", "0.5", "5.0", "+Inf")]
    assert buckets == [0, 1, 2, 2, 3]
    assert samples["request_seconds_sum"] == 60.301 and samples["rows_total"] == 3


def test_a_new_worker_takes_over_the_counts_but_not_the_requests_in_progress() -> None:
    metrics = Metrics(2, {})
    if not (pid := os.fork()):
        metrics.use_row(1)
        metrics.begin()
        metrics.end("/ping", 200, 0.1, 0)
        metrics.begin()
        os._exit(0)
    os.waitpid(pid, 0)

    assert read(metrics.render())["requests_in_progress"] == 1
    metrics.use_row(1)
    samples = read(metrics.render())
    assert samples["requests_in_progress"] == 0 and samples["requests_total /ping 200"] == 1
