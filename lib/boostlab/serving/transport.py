"""The writing side of a connection: fewer and larger writes than uvicorn's."""

from __future__ import annotations

import asyncio


class BufferedTransport:
    """A transport that joins the writes of one turn of the event loop: a response's head and its body.

    uvicorn writes them separately. Each write costs a system call and may wake the client.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._waiting: list[bytes] = []
        self.is_closing, self.abort = transport.is_closing, transport.abort
        self.get_write_buffer_size = transport.get_write_buffer_size

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting.append(data)

    def write_now(self, data: bytes) -> None:
        self._waiting.append(data)
        self._send()

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._transport.write(data)
