"""The paths that the server answers: MLflow's, those of platforms, and pages for people."""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from boostlab.serving.body import ENCODINGS, compute, read_body
from boostlab.serving.errors import MediaTypeError, RequestError, TooManyRequestsError
from boostlab.serving.inference import InferenceProtocol
from boostlab.serving.metrics import Metrics
from boostlab.serving.model import ServedModel
from boostlab.serving.openapi import describe_api, render_page
from boostlab.serving.settings import ServerSettings

Application = Callable[[Any, Any, Any], Awaitable[None]]
FindRefusal = Callable[[str, Mapping[bytes, bytes], tuple[str, int] | None], RequestError | None]
LEAST_COMPRESSED_BYTES = 4_096  # a smaller response is not worth it


class Endpoints:
    """What each path does.

    Parameters
    ----------
    is_ready : callable
        Tells whether new requests should come here.
    """

    def __init__(self, model: ServedModel, settings: ServerSettings, metrics: Metrics, is_ready: Callable[[], bool]) -> None:
        self._model, self._settings, self._metrics, self._is_ready = model, settings, metrics, is_ready
        self._description, self._page = msgspec.json.encode(describe_api(model)), render_page(model)

    async def predict(self, request: Request) -> Response:
        """Answer rows in one of MLflow's formats."""
        body = await read_body(request, self._settings)
        content, rows = await compute(self._model.answer, body, request.headers.get("content-type"))
        request.state.rows = rows
        return Response(content, media_type="application/json")

    async def ready(self, _: Request) -> Response:
        """Tell whether the server takes new requests: for load balancers."""
        return Response(b"\n", 200 if self._is_ready() else 503, media_type="application/json")

    async def live(self, _: Request) -> Response:
        """Tell that the process works, also while it is full or stops: for what restarts it."""
        return Response(b"\n", media_type="application/json")

    async def version(self, _: Request) -> Response:
        """Return the version of MLflow that wrote the model."""
        return Response(self._model.info.mlflow_version, media_type="application/json")

    async def metrics(self, request: Request) -> Response:
        """Return what Prometheus reads, in the form of OpenMetrics for those who ask for it."""
        if "application/openmetrics-text" in request.headers.get("accept", ""):
            media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"
            return Response(self._metrics.render(openmetrics=True), media_type=media_type)
        return Response(self._metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def description(self, _: Request) -> Response:
        """Return the OpenAPI description."""
        return Response(self._description, media_type="application/json")

    async def page(self, _: Request) -> Response:
        """Return the page with the columns and a form."""
        return HTMLResponse(self._page)

    async def index(self, _: Request) -> Response:
        """Return a short page that says what answers here."""
        name = html.escape(self._settings.model_name)
        version = html.escape(self._settings.model_version or self._model.info.version)
        links = '<a href="docs">Columns and a form</a> · <a href="openapi.json">OpenAPI</a> · <a href="metrics">metrics</a>'
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        return HTMLResponse(f"{head}<p>The model <b>{name}</b>, version {version}, served by boostlab.</p><p>{links}</p></html>")

    def routes(self) -> list[Route]:
        """Return a route for each path."""
        pages = {"/": self.index, "/docs": self.page, "/openapi.json": self.description, "/version": self.version}
        probes = {"/ping": self.ready, "/health": self.ready, "/readyz": self.ready, "/livez": self.live}
        found = [Route(path, answer) for path, answer in {**pages, **probes, "/metrics": self.metrics}.items()]
        return [Route("/invocations", self.predict, methods=["POST"]), *found]


class _Admission:
    """Middleware that refuses a request for which `find_refusal` returns an error."""

    def __init__(self, app: Application, find_refusal: FindRefusal) -> None:
        self._app, self._find_refusal = app, find_refusal

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        refusal = self._find_refusal(scope["path"], dict(scope["headers"]), scope["client"])
        answer = render_error(refusal, scope["path"], scope["state"]["request_id"]) if refusal else self._app
        await answer(scope, receive, send)


def create_endpoints(
    model: ServedModel,
    settings: ServerSettings,
    metrics: Metrics,
    *,
    is_ready: Callable[[], bool],
    find_refusal: FindRefusal,
) -> Application:
    """Return the ASGI application that answers all paths.

    Parameters
    ----------
    is_ready : callable
        Tells whether new requests should come here.
    find_refusal : callable
        Takes a path, headers and the client's address, and returns the error with which to refuse the request, or None.
    """
    endpoints = Endpoints(model, settings, metrics, is_ready)
    routes = [*endpoints.routes(), *InferenceProtocol(model, settings, is_ready).routes()]
    middleware = [
        Middleware(GZipMiddleware, minimum_size=LEAST_COMPRESSED_BYTES, compresslevel=1),
        Middleware(_Admission, find_refusal=find_refusal),
    ]
    if origins := [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]:
        exposed = ["x-request-id", "retry-after"]
        cors = Middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"], expose_headers=exposed
        )
        middleware.insert(0, cors)
    handlers = {RequestError: _on_request_error, HTTPException: _on_http_error, Exception: _on_failure}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)  # type: ignore[arg-type]


def render_error(error: RequestError, path: str, request_id: str) -> Response:
    """Return an error as a response, with the field of the inference protocol."""
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else {}
    if isinstance(error, TooManyRequestsError):
        headers |= {"retry-after": str(error.wait_s)}
    if isinstance(error, MediaTypeError):
        headers |= {"accept-encoding": ENCODINGS}
    more = {"error": error.body["message"]} if path.startswith("/v2") else {}
    return Response(error.to_json(request_id, **more), error.status, headers, media_type="application/json")


def describe_failure(request_id: str) -> RequestError:
    """Return the error of a request that the server failed to answer."""
    message = f"The server failed. Its log has the reason: search for request {request_id}."
    return RequestError(message, code="INTERNAL_ERROR", status=500)


async def _on_request_error(request: Request, error: RequestError) -> Response:
    return render_error(error, request.url.path, request.state.request_id)


async def _on_http_error(_: Request, error: HTTPException) -> Response:
    return Response(
        msgspec.json.encode({"detail": error.detail}), error.status_code, error.headers, media_type="application/json"
    )


async def _on_failure(request: Request, _: Exception) -> Response:
    request_id = request.state.request_id
    return render_error(describe_failure(request_id), request.url.path, request_id)
