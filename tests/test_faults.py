from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
import sqlalchemy
from botocore.exceptions import ClientError, NoCredentialsError
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from tests.support.postgresql import NewDatabase

from boostlab.errors import GateError, StoreError, StoreFault
from boostlab.faults import find_kind
from boostlab.tracking.store import Store, as_store_error, find_store, open_store


def boundary() -> AbstractContextManager[None]:
    return as_store_error(Store("http://h"))


def http_error(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} Error", response=response)


def s3_error(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")


def in_session(error: Exception) -> MlflowException:
    """Return what MLflow's session of a database makes of an error."""
    try:
        raise MlflowException(message=str(error), error_code=BAD_REQUEST) from error
    except MlflowException as wrapped:
        return wrapped


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Run not found"}), "gone"),
        (RestException({"error_code": "PERMISSION_DENIED", "message": "no"}), "refused"),
        (RestException({"error_code": "UNAUTHENTICATED", "message": "who?"}), "refused"),
        (RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "too long"}), "refused"),
        (RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}), "lost"),
        (RestException({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "later"}), "lost"),
        (MlflowException("Something broke"), "lost"),
        (in_session(sqlalchemy.exc.InterfaceError("SELECT 1", {}, psycopg.InterfaceError("the connection is closed"))), "lost"),
        (in_session(sqlalchemy.exc.DataError("INSERT", {}, psycopg.DataError("value too long"))), "refused"),
        (in_session(sqlalchemy.exc.IntegrityError("INSERT", {}, psycopg.errors.UniqueViolation("twice"))), "refused"),
        (sqlalchemy.exc.ProgrammingError("SELECT", {}, psycopg.errors.InsufficientPrivilege("no")), "refused"),
        (sqlalchemy.exc.OperationalError("SELECT", {}, psycopg.errors.AdminShutdown("bye")), "lost"),
        (http_error(404), "gone"),
        (http_error(403), "refused"),
        (http_error(429), "lost"),
        (http_error(503), "lost"),
        (requests.ConnectionError("reset"), "lost"),
        (s3_error("NoSuchKey", 404), "gone"),
        (s3_error("NoSuchBucket", 404), "lost"),
        (s3_error("AccessDenied", 403), "refused"),
        (s3_error("SlowDown", 503), "lost"),
        (NoCredentialsError(), "lost"),
        (PermissionError(13, "Permission denied"), "refused"),
        (OSError(28, "No space left on device"), "lost"),
        (FileNotFoundError(2, "No such file"), "lost"),  # a disk may not be mounted
        (ModuleNotFoundError("No module named 'boto3'", name="boto3"), "driver"),
        (KeyError("a defect"), "lost"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{type(value).__name__}: {value}"[:60].replace("\n", " "),
)
def test_tells_what_an_error_means(error: Exception, kind: StoreFault) -> None:
    assert find_kind(error) == kind


def raise_while_handling(error: Exception) -> None:
    try:
        raise error
    except type(error):
        raise RuntimeError("Failed to upload a to b")  # noqa: B904  # as boto3's upload


def test_finds_the_meaning_in_the_cause() -> None:
    with pytest.raises(RuntimeError) as caught:
        raise_while_handling(s3_error("AccessDenied", 403))

    assert find_kind(caught.value) == "refused"


@pytest.mark.parametrize("error", [KeyError("status"), NoCredentialsError(), RuntimeError(), ModuleNotFoundError("boto3")])
def test_the_boundary_lets_no_other_type_through(error: Exception) -> None:
    with (
        pytest.raises(
            StoreError, match=r"^The tracking store http://h (fails|needs a package that is not installed here): .+\.$"
        ),
        as_store_error(Store("http://h")),
    ):
        raise error


def test_the_boundary_lets_errors_of_the_user_through() -> None:
    with pytest.raises(GateError, match=r"^no$"), boundary():
        raise GateError("no")


def test_an_error_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "of-the-environment")
    store = Store("postgresql://me:of%2Fthe%20address@h/runs")
    with pytest.raises(StoreError) as caught, as_store_error(store):
        raise RuntimeError(f"{store.uri} of/the address, of-the-environment")

    assert str(caught.value) == ("The tracking store postgresql://me:***@h/runs fails: postgresql://me:***@h/runs ***, ***.")
    assert caught.value.__suppress_context__  # a traceback would show the text


def test_names_the_package_of_a_missing_driver() -> None:
    message = r"No module named 'boto3'\. Install it: pip install 'boostlab\[s3\]'\.$"
    with pytest.raises(StoreError, match=message), boundary():
        raise ModuleNotFoundError("No module named 'boto3'", name="boto3")


def test_a_missing_driver_and_a_conflict_do_not_blame_the_address(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Install it: pip install mysqlclient") as caught:
        open_store(find_store("mysql://me@127.0.0.1:9/runs", project=tmp_path))

    assert "Correct tracking_uri" not in str(caught.value)


@pytest.mark.parametrize("change", [("/runs", "/missing"), ("lab:", "nobody:"), ("pg-s3cret", "wr0ng")])
def test_a_database_says_what_is_wrong_with_an_address(new_database: NewDatabase, tmp_path: Path, change: Any) -> None:
    address = new_database().rsplit("/", 1)[0] + "/runs"
    with pytest.raises(StoreError, match=r"(does not exist|password authentication failed).*Correct tracking_uri") as caught:
        open_store(find_store(address.replace(*change), project=tmp_path))

    assert "s3cret" not in str(caught.value) and "wr0ng" not in str(caught.value)
