"""Errors of a request, with the codes and the JSON of MLflow's scoring server, and without a traceback."""

from __future__ import annotations

import json


class RequestError(Exception):
    """The server rejects a request.

    Parameters
    ----------
    message : str
        What is wrong, and what is allowed. It repeats no rows, because responses end up in logs.
    code : str
        One of MLflow's error codes.
    """

    def __init__(self, message: str, *, code: str = "BAD_REQUEST", status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, str] = {"error_code": code, "message": message}
        if code in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE"):
            self.body |= {"sqlstate": "KAM00", "error_class": "INVALID_PARAMETER_VALUE"}

    def to_json(self) -> bytes:
        """Return the body of the response."""
        return json.dumps(self.body).encode()


class SchemaError(RequestError):
    """Rows do not match the model's signature."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Failed to enforce schema. Error: {message}", code="INVALID_PARAMETER_VALUE")
        self.body |= {"sqlstate": "KAM01", "error_class": "SCHEMA_ENFORCEMENT_FAILED"}


class MediaTypeError(RequestError):
    """The server does not read the request's content type. MLflow answers this in plain text."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=415)
