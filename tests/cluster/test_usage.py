"""What workers use, and where Dask's dashboard is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from distributed import Client
from tests.support.clusters import Cluster
from tests.support.waiting import wait_until

from boostlab.cluster import Usage, find_dashboard

pytestmark = pytest.mark.slow


def look(usage: Usage) -> str:
    usage.look()
    return usage.describe()


def test_workers_are_counted_and_the_dashboard_is_found(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, dict(os.environ), dashboard=True)
    try:
        with Client(cluster.address, set_as_default=False) as client:
            usage = Usage(client)
            usage.look()
            assert (usage.describe(), usage.curves()) == ("", {})
            for _ in range(2):
                cluster.start_worker(nthreads=1)
            cluster.wait_for_workers(2)
            wait_until(lambda: "2 workers, up to" in look(usage))
            assert {f"system/worker_{number}_{what}_megabytes" for number in (1, 2) for what in ("memory", "disk")} == set(
                usage.curves()
            )
            assert all(50 < value < 5_000 for value in usage.curves()["system/worker_2_memory_megabytes"])
            assert find_dashboard(client).startswith("http://127.0.0.1:")
            before = usage.curves()
        look(usage)  # the connection is closed
        assert usage.curves() == before
        assert find_dashboard(client) == ""
    finally:
        cluster.end()


def test_a_scheduler_without_a_dashboard_has_no_address(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, dict(os.environ))
    try:
        with Client(cluster.address, set_as_default=False) as client:
            assert find_dashboard(client) == ""
    finally:
        cluster.end()
