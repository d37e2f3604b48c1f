"""Counts of all workers together, in the text format of Prometheus.

The workers share a piece of memory that was made before they were forked. Each adds to a row of its own, so that there
is nothing to lock, and any of them can answer for all.
"""

from __future__ import annotations

import mmap
import time

import numpy as np

PATHS = ("/invocations", "/ping", "/health", "/version", "/metrics", "/openapi.json", "/docs", "other")
STATUSES = (200, 400, 404, 405, 408, 413, 415, 499, 500, 503)
BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, float("inf"))


class Metrics:
    """What the workers of one server count.

    Parameters
    ----------
    workers : int
        Number of rows.
    labels : dict of str to str
        Says which model is served.
    """

    def __init__(self, workers: int, labels: dict[str, str]) -> None:
        self._requests = len(PATHS) * len(STATUSES)
        self._width = self._requests + len(BUCKETS_S) + 3  # requests, latency, its sum, rows, requests under way
        memory = mmap.mmap(-1, workers * self._width * 8)
        self._cells = np.frombuffer(memory, np.float64).reshape(workers, self._width)
        self._own = self._cells[0]
        self._labels = ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items())
        self._started = time.time()

    def take_row(self, worker: int) -> None:
        """Count in this row from now on; whatever a predecessor had under way is gone."""
        self._own = self._cells[worker]
        self._own[-1] = 0

    def begin(self) -> None:
        """Count a request that came in."""
        self._own[-1] += 1

    def end(self, path: str, status: int, seconds: float, rows: int) -> None:
        """Count a request that was answered."""
        self._own[-1] -= 1
        place = PATHS.index(path if path in PATHS else "other")
        known = STATUSES.index(status if status in STATUSES else 500)
        self._own[place * len(STATUSES) + known] += 1
        if path == "/invocations":
            bucket = next(index for index, limit in enumerate(BUCKETS_S) if seconds <= limit)
            self._own[self._requests + bucket] += 1
            self._own[-3] += seconds
            self._own[-2] += rows

    def render(self) -> str:
        """Return the page that Prometheus reads."""
        totals = self._cells.sum(axis=0)
        lines = [
            *_head("boostlab_model_info", "gauge", "The model that is served."),
            f"boostlab_model_info{{{self._labels}}} 1",
            *_head("boostlab_start_time_seconds", "gauge", "When the server started, in seconds since 1970."),
            f"boostlab_start_time_seconds {self._started:.3f}",
            *_head("boostlab_requests_total", "counter", "Requests that were answered."),
        ]
        for place, path in enumerate(PATHS):
            for index, status in enumerate(STATUSES):
                count = int(totals[place * len(STATUSES) + index])
                if count:
                    lines.append(f'boostlab_requests_total{{path="{path}",status="{status}"}} {count}')
        lines += _head("boostlab_request_seconds", "histogram", "Time from the head of a request for predictions to its answer.")
        counts = totals[self._requests : -3].cumsum()
        for limit, count in zip(BUCKETS_S, counts, strict=True):
            lines.append(f'boostlab_request_seconds_bucket{{le="{"+Inf" if limit == float("inf") else limit}"}} {int(count)}')
        lines += [
            f"boostlab_request_seconds_sum {totals[-3]:.6f}",
            f"boostlab_request_seconds_count {int(counts[-1])}",
            *_head("boostlab_rows_total", "counter", "Rows that were predicted."),
            f"boostlab_rows_total {int(totals[-2])}",
            *_head("boostlab_requests_in_progress", "gauge", "Requests that are being answered."),
            f"boostlab_requests_in_progress {int(totals[-1])}",
        ]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
