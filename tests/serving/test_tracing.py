"""Traces: a request's traceparent is continued, logged, answered, shown in the metrics, and sent to a collector."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from google.protobuf import json_format  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.support.serving import BODY, JSON, ROW, run_server, serve, start_server
from tests.support.waiting import wait_until

LARGE = json.dumps({"dataframe_records": [ROW] * 200}).encode()
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE}-{PARENT}-01"


def send(address: str, traceparent: str = "", body: bytes = BODY, **headers: str) -> requests.Response:
    more = {"traceparent": traceparent} if traceparent else {}
    return requests.post(f"{address}/invocations", data=body, headers={"Content-Type": JSON, **more, **headers}, timeout=60)


@contextmanager
def collect(status: int = 200) -> Iterator[tuple[str, list[tuple[dict[str, str], Any]]]]:
    """Run a collector; yield its address, and the headers and spans that it gets."""
    found: list[tuple[dict[str, str], Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            json_format.ParseDict(content, ExportTraceServiceRequest())  # only fields and types of OTLP
            found.extend((dict(self.headers), (self.path, content["resourceSpans"][0], span)) for span in list_spans(content))
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", found
        server.shutdown()


def list_spans(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [span for resource in content["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]]


@pytest.mark.parametrize("body", [BODY, LARGE, b"{}"], ids=["small", "large", "wrong"])
def test_continues_a_trace_in_the_answer_and_the_log(folder: Path, body: bytes) -> None:
    with start_server(folder, workers=1) as (process, address):
        answered = send(address, SENT, body).headers["traceparent"]
        assert "traceparent" not in send(address, "", body).headers
        process.terminate()
        lines = [json.loads(line) for line in process.stdout or []]

    version, trace, span, flags = answered.split("-")
    assert (version, trace, flags) == ("00", TRACE, "01") and span != PARENT and len(span) == 16
    assert lines[0]["trace_id"] == TRACE and lines[0]["span_id"] == span and "trace_id" not in lines[1]


@pytest.mark.parametrize(
    ("sent", "flags"),
    [
        (f"00-{TRACE}-{PARENT}-00", "00"),
        (f"00-{TRACE}-{PARENT}-03", "01"),
        (f"cc-{TRACE}-{PARENT}-01-more", "01"),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        ("nonsense", None),
    ],
)
def test_reads_traceparent_as_the_standard_says(address: str, sent: str, flags: str | None) -> None:
    answered = send(address, sent).headers.get("traceparent")

    assert answered is None if flags is None else answered is not None and answered.startswith("00-") and answered.endswith(flags)


def test_shows_the_newest_traces_to_those_who_ask_for_openmetrics(folder: Path) -> None:
    with serve(folder, workers=2, log_requests=0) as address:
        for _ in range(3):
            send(address)
            span = send(address, SENT).headers["traceparent"].split("-")[2]
        send(address, f"00-{TRACE}-{PARENT}-00")
        answer = requests.get(f"{address}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}, timeout=60)
        plain = requests.get(f"{address}/metrics", timeout=60)

    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]  # type: ignore[no-untyped-call]
    examples = [sample.exemplar for sample in samples if sample.exemplar]
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert examples and {each.labels["trace_id"] for each in examples} == {TRACE}
    assert span in {each.labels["span_id"] for each in examples}
    assert any(sample.name == "boostlab_requests_total" and sample.value == 7 for sample in samples)
    assert TRACE not in plain.text and plain.headers["content-type"].startswith("text/plain")


def test_sends_spans_to_a_collector(folder: Path) -> None:
    with collect() as (collector, found):
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{collector}/", "OTEL_EXPORTER_OTLP_HEADERS": "x-token=a%20b"}
        with start_server(folder, environment=environment | {"OTEL_SERVICE_NAME": "wine"}, log_requests=0) as (process, address):
            answered = {body: send(address, SENT, body).headers["traceparent"].split("-") for body in (BODY, LARGE)}
            own = send(address).headers["traceparent"].split("-")
            send(address, f"00-{TRACE}-{PARENT}-00")
            requests.get(f"{address}/ping", timeout=60)
            process.terminate()  # what still waits is sent
            assert process.wait(60) == 0

    spans = {span["spanId"]: (headers, path, resource, span) for headers, (path, resource, span) in found}
    assert spans.keys() == {answered[BODY][2], answered[LARGE][2], own[2]}
    headers, path, resource, span = spans[answered[LARGE][2]]
    values = {each["key"]: each["value"] for each in span["attributes"]}
    assert path == "/v1/traces" and headers["X-Token"] == "a b"
    assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "wine"}}]
    assert (span["traceId"], span["parentSpanId"], span["name"], span["kind"]) == (TRACE, PARENT, "POST /invocations", 2)
    assert values["http.response.status_code"] == {"intValue": "200"} and values["boostlab.rows"] == {"intValue": "200"}
    assert int(span["startTimeUnixNano"]) < int(span["endTimeUnixNano"])
    assert "parentSpanId" not in spans[own[2]][3] and spans[own[2]][3]["traceId"] == own[1] != TRACE


@pytest.mark.parametrize("is_there", [True, False])
def test_a_collector_that_takes_nothing_costs_one_line_of_log(folder: Path, is_there: bool) -> None:
    with collect(503) as (collector, found):
        endpoint = collector if is_there else "http://127.0.0.1:1"
        with start_server(folder, workers=1, log_requests=0, otlp_endpoint=endpoint) as (process, address):
            assert process.stdout is not None
            assert send(address).ok
            line = json.loads(process.stdout.readline())
            assert send(address).ok
            if is_there:
                wait_until(lambda: len(found) == 2)
            process.terminate()
            rest = [json.loads(line)["message"] for line in process.stdout]

    assert line["message"] == "spans cannot be sent" and line["url"] == f"{endpoint}/v1/traces" and line["reason"]
    assert rest == ["stopped"]


def test_without_a_share_no_trace_begins(folder: Path) -> None:
    with serve(folder, log_requests=0, otlp_endpoint="http://127.0.0.1:1", trace_share=0) as address:
        assert "traceparent" not in send(address).headers and "traceparent" in send(address, SENT).headers


def test_a_collector_has_an_address(folder: Path) -> None:
    done = run_server(str(folder), OTEL_EXPORTER_OTLP_ENDPOINT="collector:4318")

    assert done.returncode == 1 and "OTEL_EXPORTER_OTLP_ENDPOINT='collector:4318' is no address" in done.stderr
