"""What the workers of a cluster use, as the scheduler knows it from them: memory, and what they have put on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from distributed import Client

from boostlab.cluster.members import list_workers

MB = 1e6  # MLflow's unit of a system metric
ANSWER_S = 2.0


class Usage:
    """The usage of the workers, looked at from time to time.

    A worker has a number by which its curves are named: the first one is 1. Another worker that comes later has the next number.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._numbers: dict[str, int] = {}  # of workers by their id
        self._curves: dict[str, list[float]] = {}
        self._latest: dict[int, float] = {}

    def look(self) -> None:
        """Add a point to the curves of each worker that the scheduler knows; if it does not answer, nothing is added."""
        try:
            found = list_workers(self._client)
        except OSError:
            return
        self._latest = {}
        for about in found.values():
            if "memory" in about.get("metrics", {}):
                self._add(about["id"], about["metrics"])

    def _add(self, worker: str, metrics: Mapping[str, Any]) -> None:
        number = self._numbers.setdefault(worker, len(self._numbers) + 1)
        self._latest[number] = metrics["memory"] / MB
        disk = metrics.get("spilled_bytes", {}).get("disk", 0) / MB
        for name, value in (("memory", self._latest[number]), ("disk", disk)):
            self._curves.setdefault(f"system/worker_{number}_{name}_megabytes", []).append(value)

    def curves(self) -> dict[str, list[float]]:
        """Return the curves of all workers, in MB, by the names of MLflow's system metrics."""
        return dict(self._curves)

    def describe(self) -> str:
        """Return the number of the workers and the memory of the largest one, as of the last look."""
        if not self._latest:
            return ""
        count = len(self._latest)
        return f"{count} worker{'s' if count > 1 else ''}, up to {max(self._latest.values()):,.0f} MB each"


def find_dashboard(client: Client) -> str:
    """Return the address of Dask's dashboard, where workers and tasks can be watched; empty if the scheduler serves none."""
    try:
        address = str(client.dashboard_link or "")
        return address if address and requests.get(address, timeout=ANSWER_S).ok else ""
    except (KeyError, OSError, RuntimeError):  # those of requests are OSErrors
        return ""
