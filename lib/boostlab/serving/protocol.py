"""Connections that are guarded against clients who are slow, or who never come to the point."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 65_536


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a limit to how long a request's head may take, and how large it may be."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._header_timer: Any = None
        self._header_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a head."""
        super().connection_made(transport)
        self.transport = _JoinedWrites(transport, self.loop)  # type: ignore[assignment]
        self._header_timer = self.loop.call_later(self.config.header_timeout_s, self._give_up)  # type: ignore[attr-defined]

    def on_message_begin(self) -> None:
        """Begin to wait for the head of a further request."""
        super().on_message_begin()
        self._header_bytes = 0
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(self.config.header_timeout_s, self._give_up)  # type: ignore[attr-defined]

    def on_headers_complete(self) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Count what arrives of a head."""
        super().data_received(data)
        if self._header_timer is not None:
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADER_BYTES:
                self._hang_up(b"431 Request Header Fields Too Large", b"The request's head is too large.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _give_up(self) -> None:
        self._hang_up(b"408 Request Timeout", b"The request's head did not arrive in time.")

    def _hang_up(self, status: bytes, message: bytes) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            length = str(len(message)).encode()
            head = b"HTTP/1.1 " + status + b"\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: " + length
            self.transport.write(head + b"\r\nconnection: close\r\n\r\n" + message)
            self.transport.close()


class _JoinedWrites:
    """A transport that sends at once what is written in one turn of the loop: an answer's head and its body.

    uvicorn writes them one after the other, and each write costs the server a system call and may wake its client.
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
