"""Counts of all workers together, in the text format of Prometheus, or of OpenMetrics with examples of traces.

The workers share memory that the parent made before it forked. Each worker adds to its own row, so no lock is needed, and
each can answer for all. ``prometheus_client`` in its multiprocess mode takes four times as long per request.
"""

from __future__ import annotations

import mmap
import re
import time
from bisect import bisect_left
from collections.abc import Iterable
from typing import Literal

import numpy as np

from boostlab.serving.tracing import Span

PREDICTIONS = ("/invocations", "/v2/infer")  # the second for each name and version of a model
PATHS = (*PREDICTIONS, "/ping", "/health", "/readyz", "/livez", "/version", "/metrics", "/openapi.json", "/docs", "/", "other")
STATUSES = (200, 400, 401, 404, 405, 408, 413, 415, 429, 431, 499, 500, 503)
CELLS = {(path, status): row * len(STATUSES) + column for row, path in enumerate(PATHS) for column, status in enumerate(STATUSES)}
BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, float("inf"))
REQUESTS = len(PATHS) * len(STATUSES)  # cells of a worker: requests by path and status,
LATENCY_SUM = REQUESTS + len(BUCKETS_S)  # latency by bucket, its sum,
ROWS, IN_PROGRESS = LATENCY_SUM + 1, LATENCY_SUM + 2  # rows, and requests in progress,
RELOADS = LATENCY_SUM + 3  # and reloads by outcome
OUTCOMES = ("done", "failed")
EXAMPLE = np.dtype([("trace", "S32"), ("span", "S16"), ("seconds", "f8"), ("time", "f8")])  # of a bucket of latencies


class Metrics:
    """What the workers of one server count, each in a row of its own. The labels identify the served model."""

    def __init__(self, rows: int, labels: dict[str, str]) -> None:
        width = RELOADS + len(OUTCOMES)
        self._memory, self._width = memoryview(mmap.mmap(-1, rows * width * 8)).cast("d"), width
        shape = rows, len(BUCKETS_S)
        self._examples = np.frombuffer(mmap.mmap(-1, rows * len(BUCKETS_S) * EXAMPLE.itemsize), EXAMPLE).reshape(shape)
        self.labels = labels
        self.use_row(0)
        self._started = time.time()

    def use_row(self, row: int) -> None:
        """Count in this row; the requests that a dead predecessor had in progress are gone."""
        self._own, self._own_examples = self._memory[row * self._width : (row + 1) * self._width], self._examples[row]
        self._own[IN_PROGRESS] = 0

    def count_reload(self, outcome: Literal["done", "failed"]) -> None:
        """Count that the workers' parent was asked to load the model anew. It alone writes to these cells."""
        self._memory[RELOADS + OUTCOMES.index(outcome)] += 1

    def begin(self) -> None:
        """Count a request that arrived."""
        self._own[IN_PROGRESS] += 1

    def end(self, path: str, status: int, seconds: float, rows: int, span: Span | None = None) -> None:
        """Count a request that was answered."""
        self._own[IN_PROGRESS] -= 1
        cell = CELLS.get((path, status))
        if cell is None:
            cell = CELLS[path if path in PATHS else "other", status if status in STATUSES else 500]
        self._own[cell] += 1
        if path in PREDICTIONS:
            bucket = bisect_left(BUCKETS_S, seconds)
            self._own[REQUESTS + bucket] += 1
            self._own[LATENCY_SUM] += seconds
            self._own[ROWS] += rows
            if span and span.is_sampled:
                example = self._own_examples[bucket]
                example["time"] = 0  # until all parts are there
                example["trace"], example["span"], example["seconds"] = span.trace_id, span.span_id, seconds
                example["time"] = time.time()

    def _list_examples(self) -> list[str]:
        """Return the newest trace of each bucket of latencies, in OpenMetrics' form; empty if there is none."""
        first, second = self._examples.copy(), self._examples.copy()  # what changes meanwhile is not whole
        first["time"][first != second] = 0
        newest = first[first["time"].argmax(axis=0), np.arange(len(BUCKETS_S))].tolist()
        form = ' # {{trace_id="{}",span_id="{}"}} {:.6f} {:.3f}'
        return [form.format(trace.decode(), span.decode(), *numbers) if numbers[1] else "" for trace, span, *numbers in newest]

    def render(self, *, openmetrics: bool = False) -> str:
        """Return the page that Prometheus reads."""
        totals = np.asarray(self._memory).reshape(-1, self._width).sum(axis=0)
        names = [f'{{path="{path}",status="{status}"}}' for path in PATHS for status in STATUSES]
        requests = [(name, int(count)) for name, count in zip(names, totals[:REQUESTS], strict=True) if count]
        counts = totals[REQUESTS:LATENCY_SUM].cumsum().astype(int)
        limits = [*map(str, BUCKETS_S[:-1]), "+Inf"]
        examples = self._list_examples() if openmetrics else [""] * len(BUCKETS_S)
        latency: list[tuple[str, object]] = [
            (f'_bucket{{le="{limit}"}}', f"{count}{example}")
            for limit, count, example in zip(limits, counts, examples, strict=True)
        ]
        latency += [("_sum", f"{totals[LATENCY_SUM]:.6f}"), ("_count", counts[-1])]
        labels = ",".join(f'{name}="{_escape(value)}"' for name, value in self.labels.items())
        reloads = [(f'{{outcome="{name}"}}', int(totals[RELOADS + place])) for place, name in enumerate(OUTCOMES)]
        parts = [
            _render("model_info", "gauge", "The served model.", [(f"{{{labels}}}", 1)]),
            _render("model_reloads_total", "counter", "Requests to load the model anew, by SIGHUP.", reloads),
            _render("start_time_seconds", "gauge", "Unix time of the server's start.", [("", f"{self._started:.3f}")]),
            _render("requests_total", "counter", "Answered requests.", requests),
            _render("request_seconds", "histogram", "Time from the head of a prediction request to its answer.", latency),
            _render("rows_total", "counter", "Predicted rows.", [("", int(totals[ROWS]))]),
            _render("requests_in_progress", "gauge", "Requests in progress.", [("", int(totals[IN_PROGRESS]))]),
        ]
        if not openmetrics:
            return "".join(parts)
        counter = re.compile(r"(?m)^(# (?:HELP|TYPE) \w+)_total ")  # OpenMetrics names a counter without its suffix
        return counter.sub(r"\1 ", "".join(parts)) + "# EOF\n"


def _render(name: str, type_: str, meaning: str, samples: Iterable[tuple[str, object]]) -> str:
    """Return a metric's lines: its head, then each sample's suffix or labels with its value."""
    lines = [f"boostlab_{name}{labels} {value}" for labels, value in samples]
    return "\n".join([f"# HELP boostlab_{name} {meaning}", f"# TYPE boostlab_{name} {type_}", *lines, ""])


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
