"""A request's body: read it within limits, unpack it, and compute with it."""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from boostlab.serving.errors import MediaTypeError, RequestError
from boostlab.serving.settings import ServerSettings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ENCODINGS = "gzip, zstd"  # of request bodies
LARGE_BODY_BYTES = 65_536  # from here on a thread computes, so that the event loop goes on with other requests
SLOW = b"contributions"  # also a request with this word: they take some hundred times as long as predictions
MOST_LAYERS = 2  # of Content-Encoding
MOST_STREAMS = 100  # in one compressed body
ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}  # 8 MB, what each decoder must offer by RFC 8878
CLIENT_GONE = 499  # nginx's status for a client that disconnected


async def read_body(request: Request, settings: ServerSettings) -> bytes:
    """Return a request's body, unpacked.

    A body that is too large is read to its end and discarded: its sender reads the response only then.

    Raises
    ------
    RequestError
        If it is too large, too slow or damaged, or the client disconnects.
    """
    most_bytes, timeout_s = int(settings.max_body_mb * 1_000_000), settings.body_timeout_s
    chunks, size, more = [], 0, True
    try:
        async with asyncio.timeout(timeout_s):
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise RequestError("The client disconnected.", status=CLIENT_GONE)
                size += len(message.get("body", b""))
                if size <= most_bytes:
                    chunks.append(message.get("body", b""))
                more = message.get("more_body", False)
    except TimeoutError:
        raise RequestError(f"The body did not arrive within {timeout_s:g} s.", code="DEADLINE_EXCEEDED", status=408) from None
    if size > most_bytes:
        raise _too_large(f"{size / 1e6:.1f} MB", most_bytes)
    body, encoding = b"".join(chunks), request.headers.get("content-encoding", "")
    return await asyncio.to_thread(unpack, body, encoding, most_bytes=most_bytes) if encoding else body


async def compute(answer: Callable[..., Any], body: bytes, *arguments: Any) -> Any:
    """Call a function of a body: at once if that is quick, otherwise in a thread."""
    is_quick = len(body) < LARGE_BODY_BYTES and SLOW not in body
    return answer(body, *arguments) if is_quick else await asyncio.to_thread(answer, body, *arguments)


def unpack(body: bytes, encoding: str, *, most_bytes: int) -> bytes:
    """Undo a body's ``Content-Encoding``.

    Raises
    ------
    MediaTypeError
        If the server does not know the encoding.
    RequestError
        If the body is damaged, or has more than `most_bytes` when unpacked.
    """
    names = encoding.lower().split(",")
    if len(names) > MOST_LAYERS:
        raise MediaTypeError(f"The body is packed {len(names)} times. The server unpacks at most {MOST_LAYERS} times.")
    for name in reversed(names):
        match name.strip():
            case "gzip" | "x-gzip":
                body = _inflate(lambda: zlib.decompressobj(wbits=31), body, most_bytes)
            case "zstd":
                body = _inflate(lambda: zstd.ZstdDecompressor(options=ZSTD_OPTIONS), body, most_bytes)
            case "identity" | "":
                pass
            case other:
                raise MediaTypeError(f"The server does not read Content-Encoding {other[:40]!r}. Send one of: {ENCODINGS}.")
    return body


def _inflate(make: Callable[[], Any], packed: bytes, most_bytes: int) -> bytes:
    """Unpack one stream or several, one after another."""
    parts: list[bytes] = []
    left = most_bytes
    try:
        while packed:
            if len(parts) == MOST_STREAMS:
                raise RequestError(f"The body has more than {MOST_STREAMS} compressed streams. Send one.")
            stream = make()
            part = stream.decompress(packed, left + 1)
            if len(part) > left:
                raise _too_large(f"more than {most_bytes / 1e6:g} MB when it is unpacked", most_bytes)
            if not stream.eof:
                raise RequestError("The body is not complete: its compressed stream has no end.")
            parts.append(part)
            left -= len(part)
            packed = stream.unused_data
    except (zlib.error, zstd.ZstdError) as error:
        raise RequestError(f"The body is not compressed as its Content-Encoding says: {error}.") from None
    return b"".join(parts)


def _too_large(found: str, most_bytes: int) -> RequestError:
    reason = f"The body has {found}. The server takes at most {most_bytes / 1e6:g} MB: send fewer rows per request."
    return RequestError(reason, code="REQUEST_LIMIT_EXCEEDED", status=413)
