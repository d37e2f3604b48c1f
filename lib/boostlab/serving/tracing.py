"""Traces: a request's ``traceparent`` (W3C Trace Context), the span that continues it, and the export of spans to a collector.

The export is OTLP over HTTP in JSON, from a thread of each worker. OpenTelemetry's own packages would add two thirds to
the time of the server's start, and protobuf to the image.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from boostlab.serving.log import write_line
from boostlab.serving.settings import ServerSettings

TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
SERVER, ERROR = 2, 2  # OTLP's numbers for the kind of a span and its status
INTERVAL_S = 1.0
TIMEOUT_S = 10.0
MOST_WAITING = 4_096  # spans; older ones are dropped


@dataclass(frozen=True, slots=True)
class Span:
    """A request's part of a trace; an empty parent means that the trace begins here. Ids are hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str
    is_sampled: bool

    @property
    def header(self) -> bytes:
        """The value of ``traceparent`` for the answer."""
        return f"00-{self.trace_id}-{self.span_id}-{self.is_sampled:02x}".encode()


def begin_span(headers: Mapping[bytes, bytes], share: float = 0.0) -> Span | None:
    """Continue the trace that a request names, or begin one for this share (0 to 1) of the other requests.

    Examples
    --------
    >>> span = begin_span({b"traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    >>> span.trace_id, span.parent_id, span.is_sampled
    ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331', True)
    """
    sent = headers.get(b"traceparent")
    if sent and (found := TRACEPARENT.fullmatch(sent)) and not (found[1] == b"00" and found[5]):
        return Span(found[2].decode(), os.urandom(8).hex(), found[3].decode(), bool(int(found[4], 16) & 1))
    if share and random.random() < share:  # noqa: S311  # no secret
        return Span(os.urandom(16).hex(), os.urandom(8).hex(), "", is_sampled=True)
    return None


class SpanExporter:
    """Sends the sampled spans of a worker to an OpenTelemetry collector. The log says so if it does not take them."""

    def __init__(self, settings: ServerSettings) -> None:
        pairs = [pair.partition("=") for pair in settings.otlp_headers.split(",") if pair.strip()]
        self._headers = {name.strip(): unquote(value.strip()) for name, _, value in pairs}
        self._url, self._service = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces", settings.service_name
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MOST_WAITING)
        self._sending, self._works = threading.Lock(), True
        threading.Thread(target=self._run, daemon=True).start()

    def add(self, span: Span, *, method: str, path: str, status: int, seconds: float, rows: int) -> None:
        """Keep the span of a request that has just been answered, until it is sent."""
        end = time.time_ns()
        values: dict[str, str | int] = {"http.request.method": method, "url.path": path, "boostlab.rows": rows}
        values["http.response.status_code"] = status
        sent: dict[str, Any] = {"traceId": span.trace_id, "spanId": span.span_id, "kind": SERVER, "name": f"{method} {path}"}
        sent |= {"startTimeUnixNano": str(end - int(seconds * 1e9)), "endTimeUnixNano": str(end), "attributes": _list(values)}
        sent |= {"parentSpanId": span.parent_id} if span.parent_id else {}
        self._waiting.append(sent | ({"status": {"code": ERROR}} if status >= 500 else {}))

    def flush(self) -> None:
        """Send what waits."""
        from urllib.request import Request, urlopen

        with self._sending:
            spans = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not spans:
                return
            resource = {"attributes": _list({"service.name": self._service})}
            scopes = [{"scope": {"name": "boostlab.serving"}, "spans": spans}]
            content = {"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}
            headers = {"content-type": "application/json"} | self._headers
            try:
                with urlopen(Request(self._url, msgspec.json.encode(content), headers), timeout=TIMEOUT_S):  # noqa: S310  # a setting
                    self._works = True
            except (OSError, ValueError) as error:
                if self._works:  # say it once, until it works again
                    write_line("warning", message="spans cannot be sent", url=self._url, reason=str(error))
                self._works = False

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL_S)
            self.flush()


def _list(values: dict[str, str | int]) -> list[dict[str, Any]]:
    """Return attributes in OTLP's form, where a whole number is text."""
    return [
        {"key": name, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}
        for name, value in values.items()
    ]
