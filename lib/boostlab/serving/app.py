"""The web application: MLflow's endpoints and ours, as plain ASGI.

Every request gets an id, a count and, if it is asked for, a line in the log; what goes wrong inside ends in a defined
answer that names the id, and in the log with its traceback.
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
LONG_BODY = 65_536  # bytes; from here on a request is answered beside the event loop, which goes on answering others
GET_PATHS = frozenset(["/ping", "/health", "/version", "/metrics", "/openapi.json", "/docs"])
ALIVE = frozenset(["/ping", "/health"])  # asked every few seconds: not worth a line


class ClientGoneError(Exception):
    """The client left before its request was complete."""


@dataclass(frozen=True)
class Answer:
    """What is sent back, and how many rows it answers."""

    body: bytes
    status: int = 200
    kind: bytes = JSON
    rows: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()


class App:
    """The application of one worker.

    Attributes
    ----------
    draining : bool
        Whether the server is about to stop: answers then ask clients to connect anew, and it calls itself unhealthy.
    """

    def __init__(self, model: ServedModel, settings: ServerSettings, metrics: Metrics) -> None:
        self.model, self.metrics, self.draining = model, metrics, False
        self._most_bytes = int(settings.max_body_mb * 1_000_000)
        self._settings = settings
        self._pages = {
            "/version": Answer(model.card.mlflow_version.encode()),
            "/openapi.json": Answer(orjson.dumps(describe_api(model))),
            "/docs": Answer(render_page(model).encode(), kind=HTML),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _take_id(headers.get(b"x-request-id", b""))
        self.metrics.begin()
        failure = ""
        try:
            answer = await self._answer(scope["path"], scope["method"], headers, receive)
        except ClientGoneError:
            answer = Answer(b"", status=499)
        except RequestError as error:
            answer = _refuse(error)
        except Exception:
            failure = traceback.format_exc()
            message = f"The server failed. Its log says why: look for request {request_id}."
            answer = _refuse(RequestError(message, code="INTERNAL_ERROR", status=500))
        try:
            if answer.status != 499:
                await self._send(answer, request_id, send)
        finally:
            seconds = time.perf_counter() - started
            self.metrics.end(scope["path"], answer.status, seconds, answer.rows)
            self._log(scope, answer, request_id, seconds, failure)

    async def _answer(self, path: str, method: str, headers: dict[bytes, bytes], receive: Receive) -> Answer:
        if path == "/invocations" and method == "POST":
            kind = headers.get(b"content-type")
            body = await self._read_body(headers, receive)
            content_type = None if kind is None else kind.decode("latin-1")
            if len(body) < LONG_BODY:
                content, rows = self.model.answer(body, content_type)
            else:
                content, rows = await asyncio.to_thread(self.model.answer, body, content_type)
            return Answer(content, rows=rows)
        if path == "/invocations" or (path in GET_PATHS and method != "GET"):
            allowed = b"POST" if path == "/invocations" else b"GET"
            return Answer(b'{"detail":"Method Not Allowed"}', status=405, headers=((b"allow", allowed),))
        if path in ALIVE:
            return Answer(b"\n", status=503 if self.draining else 200)
        if path == "/metrics":
            return Answer(self.metrics.render().encode(), kind=b"text/plain; version=0.0.4; charset=utf-8")
        return self._pages.get(path) or Answer(b'{"detail":"Not Found"}', status=404)

    async def _read_body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Return a request's body.

        One that is too large is read on and thrown away, so that its sender comes to read the answer.
        """
        chunks, size = [], 0
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    size += len(message.get("body", b""))
                    if size <= self._most_bytes:
                        chunks.append(message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError:
            seconds = self._settings.body_timeout_s
            raise RequestError(f"The body did not arrive within {seconds:g} s.", code="DEADLINE_EXCEEDED", status=408) from None
        if size > self._most_bytes:
            limit = f"{self._settings.max_body_mb:g} MB"
            reason = f"The body has {size / 1e6:.1f} MB, and the server takes {limit}. Send fewer rows at a time."
            raise RequestError(reason, code="REQUEST_LIMIT_EXCEEDED", status=413)
        return b"".join(chunks)

    async def _send(self, answer: Answer, request_id: str, send: Send) -> None:
        headers = [(b"content-type", answer.kind), (b"content-length", str(len(answer.body)).encode())]
        headers += [(b"x-request-id", request_id.encode()), *answer.headers]
        if self.draining or answer.status in (408, 413):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _log(self, scope: Scope, answer: Answer, request_id: str, seconds: float, failure: str) -> None:
        if answer.status < 500 and (not self._settings.log_requests or scope["path"] in ALIVE):
            return
        line = {
            "time": round(time.time(), 3),
            "level": "error" if answer.status >= 500 else "info",
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"],
            "status": answer.status,
            "ms": round(seconds * 1000, 2),
            "rows": answer.rows,
        }
        write_line(line | ({"traceback": failure} if failure else {}))


def write_line(line: dict[str, Any]) -> None:
    """Write a line of JSON to the standard output, whole, whoever else writes there."""
    os.write(1, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS))


def _take_id(given: bytes) -> str:
    """Return the id that the caller gave, if it is a plain word, or a new one."""
    if 0 < len(given) <= 64 and given.replace(b"-", b"").replace(b"_", b"").isalnum():
        return given.decode("ascii")
    return os.urandom(8).hex()


def _refuse(error: RequestError) -> Answer:
    if isinstance(error, MediaTypeError):
        return Answer(str(error).encode(errors="replace"), status=error.status, kind=TEXT)
    return Answer(error.to_json(), status=error.status)
