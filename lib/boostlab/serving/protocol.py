"""HTTP connections with a header timeout and a size limit (slowloris protection)."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 65_536


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 that limits the time and the size of a request's head."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._header_timer: Any = None
        self._header_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Start the timer for the first head."""
        super().connection_made(transport)
        self.transport = _BufferedTransport(transport, self.loop)  # type: ignore[assignment]
        self._start_timer()

    def on_message_begin(self) -> None:
        """Start the timer for the head of a further request."""
        super().on_message_begin()
        self._header_bytes = 0
        if self._header_timer is None:
            self._start_timer()

    def on_headers_complete(self) -> None:
        self._cancel_timer()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Check the size of a head while it arrives."""
        super().data_received(data)
        if self._header_timer is not None:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._reject(b"431 Request Header Fields Too Large", b"The request's head is too large.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        timeout_s = self.config.header_timeout_s  # type: ignore[attr-defined]
        message = b"The request's head did not arrive in time."
        self._header_timer = self.loop.call_later(timeout_s, self._reject, b"408 Request Timeout", message)

    def _cancel_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _reject(self, status: bytes, message: bytes) -> None:
        self._cancel_timer()
        if not self.transport.is_closing():
            length = str(len(message)).encode()
            head = b"HTTP/1.1 " + status + b"\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: " + length
            self.transport.write(head + b"\r\nconnection: close\r\n\r\n" + message)
            self.transport.close()


class _BufferedTransport:
    """A transport that joins the writes of one turn of the event loop: a response's head and its body.

    uvicorn writes them separately. Each write costs a system call and may wake the client.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _send(self) -> None:
        if self._waiting:
            self._transport.write(b"".join(self._waiting))
            self._waiting.clear()
