"""The web application: MLflow's endpoints and ours, as plain ASGI.

Each request gets an id, is counted, and is logged if the settings say so. An unexpected error is answered with 500 and the
request's id; the traceback goes to the log.
"""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from boostlab.serving.errors import MediaTypeError, RequestError
from boostlab.serving.metrics import Metrics
from boostlab.serving.model import ServedModel
from boostlab.serving.openapi import describe_api, render_page
from boostlab.serving.settings import ServerSettings

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
JSON, TEXT, HTML = b"application/json", b"text/plain; charset=utf-8", b"text/html; charset=utf-8"
METHODS = {"/invocations": "POST"} | dict.fromkeys(["/ping", "/health", "/version", "/metrics", "/openapi.json", "/docs"], "GET")
LARGE_BODY_BYTES = 65_536  # from here on a thread answers, so that the event loop goes on with other requests
PROBES = frozenset(["/ping", "/health"])  # requested every few seconds: not logged
CLIENT_GONE = 499  # nginx's status for a client that disconnected


@dataclass(frozen=True)
class Response:
    """A response, and the number of rows that it predicts."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    rows: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()


class App:
    """The application of one worker. While it is `draining`, responses ask clients to reconnect, and health checks fail."""

    def __init__(self, model: ServedModel, settings: ServerSettings, metrics: Metrics) -> None:
        self._model, self._metrics, self._settings = model, metrics, settings
        self._max_bytes = int(settings.max_body_mb * 1_000_000)
        self.draining = False
        self._pages = {
            "/version": Response(model.info.mlflow_version.encode()),
            "/openapi.json": Response(orjson.dumps(describe_api(model))),
            "/docs": Response(render_page(model).encode(), content_type=HTML),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _choose_id(headers.get(b"x-request-id", b""))
        self._metrics.begin()
        failure = ""
        try:
            response = await self._respond(scope["path"], scope["method"], headers, receive)
        except RequestError as error:
            response = _to_response(error)
        except Exception:
            failure = traceback.format_exc()
            message = f"The server failed. Its log has the reason: search for request {request_id}."
            response = _to_response(RequestError(message, code="INTERNAL_ERROR", status=500))
        try:
            if response.status != CLIENT_GONE:
                await self._send(response, request_id, send)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.end(scope["path"], response.status, seconds, response.rows)
            self._log(scope, response, request_id, seconds, failure)

    async def _respond(self, path: str, method: str, headers: dict[bytes, bytes], receive: Receive) -> Response:
        if method != METHODS.get(path, method):
            return Response(b'{"detail":"Method Not Allowed"}', status=405, headers=((b"allow", METHODS[path].encode()),))
        if path == "/invocations":
            body = await self._read_body(receive)
            content_type = headers[b"content-type"].decode("latin-1") if b"content-type" in headers else None
            if len(body) < LARGE_BODY_BYTES:
                content, rows = self._model.answer(body, content_type)
            else:
                content, rows = await asyncio.to_thread(self._model.answer, body, content_type)
            return Response(content, rows=rows)
        if path in PROBES:
            return Response(b"\n", status=503 if self.draining else 200)
        if path == "/metrics":
            return Response(self._metrics.render().encode(), content_type=b"text/plain; version=0.0.4; charset=utf-8")
        return self._pages.get(path) or Response(b'{"detail":"Not Found"}', status=404)

    async def _read_body(self, receive: Receive) -> bytes:
        """Return a request's body.

        A body that is too large is read to its end and discarded: its sender reads the response only then.
        """
        chunks, size, more = [], 0, True
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RequestError("The client disconnected.", status=CLIENT_GONE)
                    size += len(message.get("body", b""))
                    if size <= self._max_bytes:
                        chunks.append(message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError:
            seconds = self._settings.body_timeout_s
            raise RequestError(f"The body did not arrive within {seconds:g} s.", code="DEADLINE_EXCEEDED", status=408) from None
        if size > self._max_bytes:
            limit = f"{self._settings.max_body_mb:g} MB"
            reason = f"The body has {size / 1e6:.1f} MB. The server takes at most {limit}: send fewer rows per request."
            raise RequestError(reason, code="REQUEST_LIMIT_EXCEEDED", status=413)
        return b"".join(chunks)

    async def _send(self, response: Response, request_id: str, send: Send) -> None:
        headers = [(b"content-type", response.content_type), (b"content-length", str(len(response.body)).encode())]
        headers += [(b"x-request-id", request_id.encode()), *response.headers]
        if self.draining or response.status in (408, 413):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    def _log(self, scope: Scope, response: Response, request_id: str, seconds: float, failure: str) -> None:
        if response.status < 500 and (not self._settings.log_requests or scope["path"] in PROBES):
            return
        fields: dict[str, Any] = {
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"],
            "status": response.status,
            "ms": round(seconds * 1000, 2),
            "rows": response.rows,
        }
        if failure:
            fields["traceback"] = failure
        write_line("error" if response.status >= 500 else "info", **fields)


def write_line(level: str, **fields: Any) -> None:
    """Write a line of JSON to standard output in one call, so that lines of several workers do not mix."""
    line = {"time": round(time.time(), 3), "level": level, **fields}
    os.write(1, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS))


def _choose_id(sent: bytes) -> str:
    """Return the caller's request id if it is a short plain word, otherwise a new one."""
    if 0 < len(sent) <= 64 and sent.replace(b"-", b"").replace(b"_", b"").isalnum():
        return sent.decode("ascii")
    return os.urandom(8).hex()


def _to_response(error: RequestError) -> Response:
    if isinstance(error, MediaTypeError):
        return Response(str(error).encode(errors="replace"), status=error.status, content_type=TEXT)
    return Response(error.to_json(), status=error.status)
