"""Errors of a request: the JSON of RFC 9457 with the fields of MLflow's scoring server, and without a traceback or rows.

The content type stays ``application/json``, as MLflow's server answers: clients that look for it keep working.
"""

from __future__ import annotations

import json
import math
from http import HTTPStatus

from boostlab.models.conversion import ConversionError

MOST_BYTES = 450  # of a message in JSON, which holds it up to three times: an answer has at most 2,000 bytes
PHRASES = {status.value: status.phrase for status in HTTPStatus}
MOST_NAMES = 10  # in a list of columns


class RequestError(Exception):
    """The server rejects a request.

    Parameters
    ----------
    message : str
        What is wrong, and what is allowed. It quotes at most a short excerpt, because responses end up in logs.
    code : str
        One of MLflow's error codes.
    place : dict
        The ``row`` (from 1) and the ``column`` of the wrong value, as far as there is one.
    """

    def __init__(self, message: str, *, code: str = "BAD_REQUEST", status: int = 400, **place: str | int) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, str | int] = {"error_code": code, "message": shorten(message, MOST_BYTES)}
        if code in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE"):
            self.body |= {"sqlstate": "KAM00", "error_class": "INVALID_PARAMETER_VALUE"}
        self.body |= place

    def to_json(self, instance: str = "", **more: str | int) -> bytes:
        """Return the body of the response, with more fields; `instance` is the request's id."""
        problem = {
            "type": "about:blank",
            "title": PHRASES.get(self.status, "Client closed request"),
            "status": self.status,
            "detail": self.body["message"],
        }
        return json.dumps(self.body | problem | ({"instance": instance} if instance else {}) | more).encode()


class SchemaError(RequestError):
    """Rows do not match the model's signature."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Failed to enforce schema. Error: {message}", code="INVALID_PARAMETER_VALUE")
        self.body |= {"sqlstate": "KAM01", "error_class": "SCHEMA_ENFORCEMENT_FAILED"}


class MediaTypeError(RequestError):
    """The server does not read the request's content type."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=415)


class TooManyRequestsError(RequestError):
    """A client has sent too many requests; it may send the next one after `wait_s` whole seconds."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = math.ceil(wait_s)
        message = f"The client has sent too many requests. Send the next one after {self.wait_s} s."
        super().__init__(message, code="REQUEST_LIMIT_EXCEEDED", status=429)


def reject_value(error: ConversionError) -> RequestError:
    """Return the error of a request with a value that its column does not take."""
    return RequestError(str(error), row=error.row + 1, column=shorten(error.column, 100))


def list_names(names: list[str]) -> str:
    """Return the first names of a list, for a message."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{[shorten(name, 60) for name in names[:MOST_NAMES]]}{more}"


def shorten(text: str, most: int) -> str:
    """Return a text that has at most `most` bytes in JSON."""
    kept = text[:most]
    while len(json.dumps(kept)) > most + 2:  # two quotation marks
        kept = kept[: len(kept) * 9 // 10]
    return kept if kept == text else f"{kept[:-4]} …"
