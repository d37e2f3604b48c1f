"""A look whether a store answers, before MLflow's client is asked: it would retry for minutes, or silently make a new store."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from boostlab.errors import StoreError, StoreFault
from boostlab.faults import describe_fault, find_kind

if TYPE_CHECKING:
    from boostlab.tracking.store import Store

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 120.0  # as MLflow's own, for a store under load


def check_reachable(store: Store, *, fresh: bool = False) -> None:
    """Raise a StoreError if a store does not answer; MLflow would retry for minutes, or silently make a new store.

    If `fresh`, a local store need not exist yet, but its parent folder must.
    """
    if store.scheme in ("sqlite", "file"):
        _check_local(store, fresh=fresh)
    elif store.scheme in ("http", "https"):
        _check_server(store)
    else:
        _check_database(store)


def _check_local(store: Store, *, fresh: bool) -> None:
    path, is_there = store.path, store.path.exists()
    if not is_there and not fresh:
        raise _unusable(store, f"{path} does not exist any more")
    if not path.parent.is_dir():
        raise _unusable(store, f"the folder {path.parent} does not exist")
    if not os.access(path if is_there else path.parent, os.W_OK):
        raise _unusable(store, f"{path} is not writable", kind="refused")
    if store.scheme == "sqlite" and is_there:
        if path.is_dir():
            raise _unusable(store, f"{path} is a folder", kind="address")
        try:
            with closing(sqlite3.connect(path, timeout=ANSWER_TIMEOUT_S)) as connection:
                connection.execute("PRAGMA schema_version")
        except sqlite3.DatabaseError as error:
            is_busy = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY
            reason = f"other processes have kept it locked for {ANSWER_TIMEOUT_S:g} s. Try again later" if is_busy else str(error)
            raise _unusable(store, reason) from None


def _check_server(store: Store) -> None:
    import requests

    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    timeout_s = float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT") or ANSWER_TIMEOUT_S)
    try:
        answer = requests.get(
            f"{store.uri}/health",
            timeout=(CONNECT_TIMEOUT_S, timeout_s),
            verify=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or not insecure,
            cert=os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH") or None,
        )
    except requests.exceptions.SSLError as error:
        advice = "Name the certificate of its authority: MLFLOW_TRACKING_SERVER_CERT_PATH=FILE"
        raise _unusable(store, f"{describe_fault(error, store.uri)}. {advice}", kind="refused") from None
    except requests.ReadTimeout:
        reason = f"the server accepts connections, but has not answered for {timeout_s:g} s (MLFLOW_HTTP_REQUEST_TIMEOUT)"
        raise _unusable(store, reason) from None
    except requests.RequestException as error:
        raise _unusable(store, f"no server answers ({type(error).__name__})") from None
    except OSError as error:  # a file of a certificate
        raise _unusable(store, describe_fault(error, store.uri), kind="address") from None
    if answer.status_code >= 500:
        raise _unusable(store, f"the server answers with HTTP status {answer.status_code}")


def _check_database(store: Store) -> None:
    import sqlalchemy

    try:
        sqlalchemy.create_engine(store.uri, poolclass=sqlalchemy.NullPool).connect().close()
    except Exception as error:  # SQLAlchemy's, the driver's, and a ValueError for a port that is no number
        kind = "address" if isinstance(error, ValueError) else find_kind(error)
        raise _unusable(store, describe_fault(error, store.uri), kind=kind) from None


def _unusable(store: Store, reason: str, *, kind: StoreFault = "lost") -> StoreError:
    return StoreError(f"The tracking store {store.shown} cannot be used: {reason.strip().splitlines()[0]}.", kind=kind)
