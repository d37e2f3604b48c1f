"""Faults: what an error of a store's client means.

MLflow, SQLAlchemy, requests, boto3 and drivers raise many types. This module knows them by their attributes and imports none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from boostlab.errors import StoreError, StoreFault
from boostlab.redaction import environment_secrets, find_secrets, redact

PACKAGES = {
    "boto3": "'boostlab[s3]'",
    "MySQLdb": "mysqlclient",
    "psycopg": "'boostlab[postgres]'",
    "psycopg2": "psycopg2-binary",
}  # what pip installs, by the name of the missing module
GONE = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
REFUSED = (
    "ALREADY_EXISTS",
    "BAD_REQUEST",
    "CUSTOMER_UNAUTHORIZED",
    "ENDPOINT_NOT_FOUND",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "NOT_IMPLEMENTED",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_CONFLICT",
    "UNAUTHENTICATED",
)
TRANSIENT_STATUS = (408, 425, 429)  # of HTTP: the same request may succeed later
REFUSED_STATES = ("22", "23", "28", "42")  # SQLSTATE: invalid data, constraint, authorization, permission
LEADS = {
    "lost": "fails",
    "refused": "refuses this",
    "gone": "does not have this",
    "driver": "needs a package that is not installed here",
    "address": "has an address that cannot be used",
}


def find_kind(error: BaseException) -> StoreFault:
    """Return what an error of a store's client means; ``lost`` if neither it nor its causes tell."""
    return next((kind for each in _causes(error) if (kind := _judge(each))), "lost")


def describe_fault(error: BaseException, address: str) -> str:
    """Return the first line of an error's text without secrets, and the package to install if one is missing."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    missing = next((each.name for each in _causes(error) if isinstance(each, ImportError) and each.name), "").partition(".")[0]
    install = f". Install it: pip install {PACKAGES.get(missing, missing)}" if missing else ""
    return str(redact(text, find_secrets({"address": address}) | environment_secrets())) + install


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then what it was raised from or while handling."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _judge(error: BaseException) -> StoreFault | None:
    """Return what one error means by itself, or None if it may only wrap another one."""
    if isinstance(error, StoreError):
        return error.kind
    if isinstance(error, ImportError):
        return "driver"
    if isinstance(error, PermissionError):
        return "refused"
    status = _http_status(error)
    if status is not None:
        return "gone" if status in (404, 410) else "refused" if 400 <= status < 500 and status not in TRANSIENT_STATUS else "lost"
    match type(error).__module__.partition(".")[0]:
        case "sqlalchemy":
            return _judge_database(error)
        case "mlflow" if not type(error.__cause__).__module__.startswith("sqlalchemy"):  # MLflow calls these all bad requests
            code = getattr(error, "error_code", "")
            return "gone" if code in GONE else "refused" if code in REFUSED else None
    return None


def _judge_database(error: BaseException) -> StoreFault:
    name, original = type(error).__name__, getattr(error, "orig", None)
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None) or ""
    if name in ("ArgumentError", "NoSuchModuleError") or state == "3D000":  # no such database
        return "address"
    return "refused" if name in ("DataError", "IntegrityError") or state.startswith(REFUSED_STATES) else "lost"


def _http_status(error: BaseException) -> int | None:
    """Return the status of the answer that an error of requests or botocore carries."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        is_misdirected = response.get("Error", {}).get("Code") == "NoSuchBucket"  # no absence of a file is established
        status = None if is_misdirected else response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None
