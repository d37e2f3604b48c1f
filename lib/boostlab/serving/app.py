"""The web application of one worker: what holds for each request, whatever its path.

Each request gets an id, is counted, and is logged if the settings say so. An unexpected error is answered with 500 and the
request's id; the traceback goes to the log. :mod:`boostlab.serving.endpoints` answers; small predictions that arrive together are
answered together.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import os
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.responses import Response

from boostlab.serving.endpoints import create_endpoints, describe_failure, render_error
from boostlab.serving.errors import RequestError, TooManyRequestsError
from boostlab.serving.log import format_line, write_line, write_lines
from boostlab.serving.metrics import Metrics
from boostlab.serving.model import ServedModel
from boostlab.serving.protocol import SmallRequest
from boostlab.serving.rate import RateLimiter, find_network
from boostlab.serving.settings import ServerSettings
from boostlab.serving.tracing import Span, SpanExporter, begin_span

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
PROBES = frozenset(
    ["/ping", "/health", "/livez", "/readyz", "/v2/health/live", "/v2/health/ready"]
)  # often requested: not logged
CLOSING = frozenset([408, 413, 503])  # statuses after which the connection ends


class App:
    """The application. While it is `draining`, responses ask clients to reconnect, and readiness checks fail.

    Attributes
    ----------
    small_paths : frozenset of bytes
        The paths of predictions, as they are in a request.
    count_connections : callable
        Returns the number of open connections of this worker.
    """

    def __init__(
        self,
        model: ServedModel,
        settings: ServerSettings,
        metrics: Metrics,
        keys: Sequence[bytes] = (),
        limiter: RateLimiter | None = None,
    ) -> None:
        self._model, self._metrics, self._settings, self._limiter = model, metrics, settings, limiter
        self.draining = False
        self.count_connections: Callable[[], int] = lambda: 0
        self._endpoints = create_endpoints(
            model, settings, metrics, is_ready=lambda: not self.draining, find_refusal=self._find_refusal
        )
        predict, health = {settings.predict_route: "/invocations"}, {settings.health_route: "/ping"}
        self._posted, self._read = health | predict, predict | {"/": "/"} | health  # if both routes are one, the method decides
        routes = {"/invocations", settings.predict_route} - {""}
        self.small_paths = frozenset(start.encode() + route.encode() for route in routes for start in ("", settings.path_prefix))
        self._keys = keys
        self._id_start, self._id_numbers = os.urandom(4).hex(), itertools.count(int.from_bytes(os.urandom(3)))
        self._small: list[SmallRequest] = []
        self._exporter = SpanExporter(settings) if settings.otlp_endpoint else None
        self._trace_share = settings.trace_share if self._exporter else 0.0

    @property
    def takes_small(self) -> bool:
        """Whether small predictions can be answered together now."""
        return not self.draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = self._choose_id(headers)
        path = self._find_path(scope["path"], scope["method"])
        span = begin_span(headers, 0 if path in PROBES else self._trace_share)
        scope |= {"path": path, "raw_path": path.encode(), "root_path": ""}
        state: dict[str, Any] = scope.setdefault("state", {})
        state |= {"rows": 0, "request_id": request_id}
        status = 500
        self._metrics.begin()

        async def send_with_id(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
                if span:
                    message["headers"].append((b"traceparent", span.header))
                if self.draining or status in CLOSING:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        failure = ""
        try:
            await self._endpoints(scope, receive, send_with_id)
        except Exception:  # the endpoints have answered with 500
            failure = traceback.format_exc()
        finally:
            seconds = time.perf_counter() - started
            counted = "/v2/infer" if path.startswith("/v2/") and path.endswith("/infer") else path
            self._metrics.end(counted, status, seconds, state["rows"], span)
            if span:
                self._export(span, scope["method"], path, status, seconds, state["rows"])
            if failure or status >= 500 or (self._settings.log_requests and path not in PROBES):
                write_line(**_describe(request_id, span, scope["method"], path, status, seconds, state["rows"], failure))

    def add_small(self, request: SmallRequest) -> None:
        """Answer a small prediction at the end of this turn of the event loop, together with those that also arrived."""
        self._metrics.begin()
        if not self._small:
            asyncio.get_running_loop().call_soon(self._answer_small)
        self._small.append(request)

    def count_refused(self, status: int) -> None:
        """Count a request or a connection that ends before the application sees it, or without its answer."""
        self._metrics.begin()
        self._metrics.end("other", status, 0.0, 0)

    def _answer_small(self) -> None:
        requests, self._small = self._small, []
        checked = [(each, self._find_refusal("/invocations", each.headers, each.connection.client)) for each in requests]
        refusals = {each: error for each, error in checked if error}
        admitted = [each for each in requests if each not in refusals]
        answers = self._model.answer_together([(each.body, _content_type(each.headers)) for each in admitted])
        found = refusals | dict(zip(admitted, answers, strict=True))
        lines = []
        for request in requests:
            answer = found[request]
            request_id, failure, rows = self._choose_id(request.headers), "", 0
            try:
                if isinstance(answer, Exception):
                    raise answer
                body, rows = answer
                response = Response(body, media_type="application/json")
            except RequestError as error:
                response = render_error(error, "/invocations", request_id)
            except Exception as error:
                failure = "".join(traceback.format_exception(error))
                response = render_error(describe_failure(request_id), "/invocations", request_id)
            span, status = None, response.status_code
            if self._trace_share or b"traceparent" in request.headers:
                span = begin_span(request.headers, self._trace_share)
            if span:
                response.raw_headers.append((b"traceparent", span.header))
            request.connection.answer(response, request_id)
            seconds = time.perf_counter() - request.started
            self._metrics.end("/invocations", status, seconds, rows, span)
            if span:
                self._export(span, "POST", "/invocations", status, seconds, rows)
            if self._settings.log_requests or failure:
                lines.append(format_line(**_describe(request_id, span, "POST", "/invocations", status, seconds, rows, failure)))
        if lines:
            write_lines(b"".join(lines))

    def close(self) -> None:
        """Send what a collector has not got yet."""
        if self._exporter:
            self._exporter.flush()

    def _export(self, span: Span, method: str, path: str, status: int, seconds: float, rows: int) -> None:
        if span.is_sampled and self._exporter:
            self._exporter.add(span, method=method, path=path, status=status, seconds=seconds, rows=rows)

    def _find_path(self, path: str, method: str) -> str:
        """Return the path of an endpoint, without a slash at the end, for a platform's route or what follows the prefix."""
        routes, prefix = self._posted if method == "POST" else self._read, self._settings.path_prefix
        path = path.rstrip("/") or "/"
        if prefix and path not in routes and (path + "/").startswith(prefix + "/"):
            path = path[len(prefix) :] or "/"
        return routes.get(path, path)

    def _find_refusal(self, path: str, headers: Mapping[bytes, bytes], client: tuple[str, int] | None) -> RequestError | None:
        """Return the error with which to refuse a request before any work for it, or None."""
        if path in PROBES:
            return None
        if self.count_connections() > self._settings.connections:
            return RequestError("The server has too many connections. Try again soon.", code="RESOURCE_EXHAUSTED", status=503)
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        sent = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        # all keys are compared: the time tells nothing about them
        is_known = bool(self._keys) and bool(sum(hmac.compare_digest(sent, key) for key in self._keys))
        if self._limiter and (wait_s := self._limiter.take(sent if is_known else find_network(client[0] if client else ""))):
            return TooManyRequestsError(wait_s)
        if self._keys and not is_known:
            message = "The request has no valid key. Send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`."
            return RequestError(message, code="UNAUTHENTICATED", status=401)
        return None

    def _choose_id(self, headers: Mapping[bytes, bytes]) -> str:
        """Return the caller's request id if it is a short plain word, otherwise a new one."""
        sent = headers.get(b"x-request-id", b"")
        if 0 < len(sent) <= 64 and sent.replace(b"-", b"").replace(b"_", b"").isalnum():
            return sent.decode("ascii")
        return f"{self._id_start}{next(self._id_numbers) & 0xFFFFFFFF:08x}"


def _content_type(headers: Mapping[bytes, bytes]) -> str | None:
    sent = headers.get(b"content-type")
    return None if sent is None else sent.decode("latin-1")


def _describe(
    request_id: str, span: Span | None, method: str, path: str, status: int, seconds: float, rows: int, failure: str
) -> dict[str, Any]:
    fields = {
        "level": "error" if status >= 500 else "info",
        "request_id": request_id,
        "method": method,
        "path": path,
        "status": status,
        "ms": round(seconds * 1000, 2),
        "rows": rows,
    }
    trace = {"trace_id": span.trace_id, "span_id": span.span_id} if span else {}
    return fields | trace | ({"traceback": failure} if failure else {})
