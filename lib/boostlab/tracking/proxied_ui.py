"""MLflow's server behind Jupyter's proxy, as an application that ``mlflow ui --app-name boostlab`` serves.

MLflow refuses hosts and origins that it does not know, and only browsers know the address of a lab. Jupyter has checked who asks;
this application checks that the page which asks is of the same host. MLflow then sees a request to localhost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
REPLACED = (b"host", b"origin")


class SameOriginApp:
    """MLflow's application for requests without an origin, or with that of their own host."""

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answer a request by the ASGI protocol."""
        from mlflow.server.fastapi_app import app  # in the worker, when MLflow's command has set its environment
        from starlette.responses import PlainTextResponse

        if scope["type"] == "http":
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            origin = headers.get(b"origin", "")
            if origin and urlsplit(origin).netloc not in (headers.get(b"host"), headers.get(b"x-forwarded-host")):
                await PlainTextResponse(f"The page {origin} may not ask this server.", 403)(scope, receive, send)
                return
            kept = [(name, value) for name, value in scope["headers"] if name not in REPLACED]
            scope = {**scope, "headers": [(b"host", b"localhost"), *kept]}
        await app(scope, receive, send)


app = SameOriginApp()
