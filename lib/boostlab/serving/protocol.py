"""HTTP connections: limits of time, size and number, requests with an upgrade, and the short way of small predictions.

uvicorn's protocol makes a task for each request. That costs as much as reading a row and asking the booster. A small prediction,
which most requests are, goes to :meth:`boostlab.serving.app.App.add_small` instead; each other request goes on to uvicorn and
the ASGI application.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from boostlab.serving.body import CLIENT_GONE, SLOW
from boostlab.serving.errors import RequestError
from boostlab.serving.transport import BufferedTransport

MAX_HEADER_BYTES = 65_536
SMALL_BODY_BYTES = 16_384
TLS_GOODBYE_S = 1.0
REST_S = 1.0
SPARE_CONNECTIONS = 64  # beyond the limit: their requests are answered, health checks with 200 and others with 503
HEAD_END = re.compile(rb"\r?\n\r?\n")
UPGRADE = re.compile(rb"(?im)^upgrade[ \t]*:")
NOT_SMALL = frozenset([b"expect", b"transfer-encoding", b"content-encoding", b"origin"])  # the short way does not know them


@dataclass(frozen=True, slots=True, eq=False)
class SmallRequest:
    """A prediction request that has arrived as a whole."""

    connection: GuardedProtocol
    headers: dict[bytes, bytes]
    body: bytes
    started: float


class Application(Protocol):
    """What a connection needs from the application.

    Attributes
    ----------
    small_paths : frozenset of bytes
        The paths of predictions.
    """

    small_paths: frozenset[bytes]

    @property
    def takes_small(self) -> bool:
        """Whether small predictions can take the short way now."""

    def add_small(self, request: SmallRequest) -> None:
        """Answer the request soon, by :meth:`GuardedProtocol.answer`."""

    def count_refused(self, status: int) -> None:
        """Count a request or a connection that ends before the application sees it, or without its answer."""


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with limits.

    The configuration has, besides uvicorn's attributes, ``guard``: the server's settings.
    """

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._settings = config.guard
        self._application: Application = config.loaded_app
        self._awaited: Literal["", "head", "body", "rest"] = ""  # rest: of a body on uvicorn's way
        self._timer: Any = None  # for what is awaited
        self._write_timer: Any = None
        self._in_head = True  # the next byte belongs to a head
        self._has_begun = False  # the parser has a part of a head
        self._head = b""  # a part of a head that the parser does not have
        self._small_headers: dict[bytes, bytes] | None = None  # of a request on the short way whose body arrives
        self._small_body: list[bytes] = []
        self._is_waiting = False  # for the answer on the short way, which one request at a time takes
        self._closes_after = False
        self._started: Any = None  # the last request that uvicorn has begun to answer
        self._last: bytes | None = None  # what ends the connection, once the requests before are answered

    def connection_made(self, transport: Any) -> None:
        """Start the timer for the first head, or refuse the connection."""
        super().connection_made(transport)
        self.transport = BufferedTransport(transport, self.loop)  # type: ignore[assignment]
        if len(self.connections) > self._settings.connections + SPARE_CONNECTIONS:
            self._reject(503, "RESOURCE_EXHAUSTED", "The server has too many connections. Try again soon.")
        else:
            self._await("head")

    def data_received(self, data: bytes) -> None:
        """Give bytes to the parser, a head when it is complete: the parser drops the body of a request that offers an upgrade."""
        if self._last is not None:
            return
        if self._in_head and not self._has_begun:
            data, self._head = (self._head + data).lstrip(b"\r\n"), b""  # empty lines before a request mean nothing
            end = HEAD_END.search(data)
            size = end.start() if end else len(data)
            if size > MAX_HEADER_BYTES:
                message = f"The request's head has more than {MAX_HEADER_BYTES:,} bytes."
                self._reject(431, "REQUEST_LIMIT_EXCEEDED", message)
                return
            if not end and data[:1].isalpha():  # all else is no request: the parser says so
                self._head = data
                self._unset_keepalive_if_required()
                self._await("head")
                return
            if UPGRADE.search(data, 0, size):  # a server may ignore the offer, and then answers in HTTP/1.1
                data = UPGRADE.sub(b"x-ignored:", data[:size]) + data[size:]
        super().data_received(data)
        self._await("head" if self._has_begun else "" if self._in_head else "body" if self._small_headers is not None else "rest")
        if self._in_head and self._is_idle() and self.timeout_keep_alive_task is None and self.parser is not None:
            self._start_keep_alive()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._has_begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the headers of a head; the trailers of a body mean nothing here, and have no limit."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Choose the way of a request."""
        self._in_head = self._has_begun = False
        if self.url in self._application.small_paths and self._is_small():
            self._small_headers, self._small_body = dict(self.headers), []
        else:
            super().on_headers_complete()

    def _is_small(self) -> bool:
        headers = dict(self.headers)
        length = headers.get(b"content-length", b"")
        return (
            length.isdigit()
            and int(length) <= SMALL_BODY_BYTES
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and NOT_SMALL.isdisjoint(headers)
            and self._is_idle()  # a client that pipelines waits: uvicorn stops to read from it
            and len(self.connections) <= self._settings.connections
            and self._application.takes_small
        )

    def on_body(self, body: bytes) -> None:
        if self._small_headers is not None:
            self._small_body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Pass a complete request on."""
        self._in_head = True
        if self._small_headers is None:
            super().on_message_complete()
            return
        headers, body = self._small_headers, b"".join(self._small_body)
        self._small_headers = None
        if SLOW in body:
            super().on_headers_complete()
            super().on_body(body)
            super().on_message_complete()
            return
        request = SmallRequest(self, headers, body, time.perf_counter())
        self._is_waiting = True
        self._application.add_small(request)

    def answer(self, response: Response, request_id: str) -> None:
        """Send the response to the request on the short way."""
        self._is_waiting = False
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        closes = self._closes_after or not self._application.takes_small
        headers = [*self.server_state.default_headers, *response.raw_headers, (b"x-request-id", request_id.encode())]
        if closes:
            headers.append((b"connection", b"close"))
        head = b"".join([name + b": " + value + b"\r\n" for name, value in headers])
        status_line = STATUS_LINE[response.status_code]
        self.transport.write_now(status_line + head + b"\r\n" + bytes(response.body))  # type: ignore[attr-defined]
        if closes:
            self.transport.close()
        elif self._is_idle():
            self._start_keep_alive()
            if self._last is not None:
                self._end_if_asked()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer the whole requests of a client that sends no more, then close. With TLS, it would not read the answers."""
        self._end_with(b"")
        return self.scheme != "https"

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._started = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._end_if_asked()

    def _is_idle(self) -> bool:
        """Tell whether each whole request that has arrived is answered."""
        started = self._started
        return not self._is_waiting and not self.pipeline and (not started or started.response_complete or started.disconnected)

    def _start_keep_alive(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _unsupported_upgrade_warning(self) -> None:
        """End a connection whose pipelined request offers an upgrade: the parser has dropped its body."""
        self._reject(400, "BAD_REQUEST", "The server reads an offer to upgrade only in a request that is not pipelined.")

    def shutdown(self) -> None:
        """Close the connection, after the response if a request is on the short way."""
        if self._small_headers is not None or self._is_waiting:
            self._closes_after = True
            return
        super().shutdown()
        if self.scheme == "https" and self.transport.is_closing():  # TLS waits 30 s for the client
            self.loop.call_later(TLS_GOODBYE_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._await("")
        self._stop_write_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start to watch whether the client reads its answer."""
        super().pause_writing()
        self._watch_reader(self.transport.get_write_buffer_size() + 1)

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._reject(400, "BAD_REQUEST", "This is not a request of HTTP/1.1.")

    def _await(self, part: Literal["", "head", "body", "rest"]) -> None:
        """Limit the time until a part of a request is complete. A timer that runs for this part goes on."""
        if part == self._awaited:
            return
        self._awaited = part
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if part == "rest":  # the application limits a body's time, but perhaps it has answered before the end
            self._timer = self.loop.call_later(self._settings.body_timeout_s + REST_S, self._leave)
        elif part:
            seconds = self._settings.header_timeout_s if part == "head" else self._settings.body_timeout_s
            message = f"The request's {part} did not arrive within {seconds:g} s."
            self._timer = self.loop.call_later(seconds, self._reject, 408, "DEADLINE_EXCEEDED", message)

    def _leave(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _watch_reader(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting >= before:
            self._application.count_refused(CLIENT_GONE)
            self.transport.abort()
        else:
            self._write_timer = self.loop.call_later(self._settings.write_timeout_s, self._watch_reader, waiting)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _reject(self, status: int, code: str, message: str) -> None:
        """End the connection with an error."""
        self._application.count_refused(status)
        body = RequestError(message, code=code, status=status).to_json()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self._end_with(STATUS_LINE[status] + head + body)

    def _end_with(self, last: bytes) -> None:
        """Send this and close, after the answers to the whole requests before."""
        self._await("")
        if not self._in_head and self.cycle is not None and not self.cycle.response_complete:  # its body will not be whole
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
        self._last = last if self._last is None else self._last
        self._end_if_asked()

    def _end_if_asked(self) -> None:
        if self._last is not None and self._is_idle() and not self.transport.is_closing():
            if self._last:
                self.transport.write(self._last)
            self.transport.close()
