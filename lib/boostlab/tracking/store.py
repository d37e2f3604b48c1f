"""The tracking store: its address, and how it is opened.

SQLite at the project's root is the default. A folder of plain files, a database server and an MLflow server are the
alternatives.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from boostlab.errors import LabError, StoreError
from boostlab.faults import LEADS, describe_fault, find_kind
from boostlab.gc_pause import uncollected
from boostlab.redaction import redact
from boostlab.tracking.first_use import alone_while_new, is_ready
from boostlab.tracking.probe import CONNECT_TIMEOUT_S, check_reachable
from boostlab.tracking.relocation import relocate

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALLOWED = "sqlite:///FILE, a folder or file:FOLDER, http(s)://HOST, postgresql://, mysql:// or mssql://USER@HOST/NAME"
HOST = re.compile(r"[\w.-]+:\d+/?")
BARE_HOST = re.compile(r"localhost|[\w-]+(\.[\w-]+)+")  # a folder of this name would surprise
DATABASES = ("postgresql", "mysql", "mssql")
ROOT_VARIABLE = "MLFLOW_DEFAULT_ARTIFACT_ROOT"  # of `mlflow server`; here too, for databases without one
DATABRICKS = ("databricks", "databricks-uc", "uc")
MLFLOW_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # a UI needs no workers; they take most of its start
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # The object store of a server may be out of reach for its clients: given an address of it, they would wait for minutes.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # MLflow's 7 take minutes; an unsent entry stays in the journal
}


@dataclass(frozen=True)
class Store:
    """The address of a tracking store and its registry.

    Attributes
    ----------
    uri : str
        Absolute address for MLflow. It may hold a password: show `shown` instead.
    artifact_root : pathlib.Path or None
        Folder of the runs' artifacts; None if MLflow or a server chooses it. For a database server, ``artifact_uri`` may be
        another place.
    """

    uri: str
    artifact_root: Path | None = None

    @property
    def scheme(self) -> str:
        """One of ``sqlite``, ``file``, ``http``, ``https`` and the names of database servers."""
        return self.uri.partition(":")[0].partition("+")[0]

    @property
    def shown(self) -> str:
        """The address without a password."""
        return str(redact(self.uri, ()))

    @property
    def artifact_uri(self) -> str:
        """Where new experiments keep their artifacts, such as ``s3://bucket/lab``; empty if MLflow or a server chooses it."""
        given = os.environ.get(ROOT_VARIABLE, "") if self.scheme in DATABASES else ""
        if given:
            return given.rstrip("/") if ":" in given else Path(given).expanduser().resolve().as_uri()
        return self.artifact_root.as_uri() if self.artifact_root else ""

    @property
    def path(self) -> Path:
        """The file or folder of a local store."""
        return Path(self.uri.removeprefix("sqlite:///") if self.scheme == "sqlite" else unquote(urlsplit(self.uri).path))


@dataclass(frozen=True)
class OpenStore(Store):
    """A store that was opened, with the client of its runs and of its registry."""

    client: MlflowClient = field(kw_only=True, compare=False, repr=False)


def find_project(notebook: Path | None = None) -> Path:
    """Return the nearest folder with a ``pyproject.toml``, above the notebook or else at or above the working directory."""
    here = Path.cwd()
    folders = (*(notebook.resolve().parents if notebook else ()), here, *here.parents)
    return next((folder for folder in folders if (folder / "pyproject.toml").is_file()), here)


def find_store(address: str, *, project: Path, folder: Path | None = None) -> Store:
    """Return the store at `address`, else that of ``MLFLOW_TRACKING_URI``, else the SQLite file in the folder `project`.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Where relative paths start; default: the working directory.

    Raises
    ------
    StoreError
        If the address has an unknown form.
    """
    address = address or os.environ.get("MLFLOW_TRACKING_URI", "") or f"sqlite:///{project / 'mlflow.db'}"
    folder = folder or Path.cwd()
    address = re.sub(r"^[A-Za-z0-9+]+:", lambda found: found[0].lower(), address)
    if HOST.fullmatch(address):
        reason = f"The tracking address {address!r} has an unknown form. Did you mean http://{address}? Allowed: {ALLOWED}."
        raise StoreError(reason, kind="address")
    scheme = re.match(r"([a-z0-9]+)(?:\+[a-z0-9]+)?:(?=.)", address)
    if scheme is None:
        return _folder(address, folder)
    match scheme[1]:
        case "sqlite":
            name = re.sub(r"^sqlite[^:]*:/{0,3}", "", address)
            if re.search("[?#]", name):
                reason = f"The path of a SQLite store cannot hold ? or #, as {address!r} does. Choose another name."
                raise StoreError(reason, kind="address")
            path = (folder / Path(name).expanduser()).resolve()
            return Store(f"sqlite:///{path}", path.parent / "mlartifacts")
        case "file":
            return _folder(unquote(re.sub(r"^file:(//)?", "", address)), folder)
        case "http" | "https":
            return Store(address.rstrip("/"))
        case name if name in DATABASES:
            return Store(_choose_driver(address), project / "mlartifacts")
    raise StoreError(f"The tracking address {redact(address, ())!r} has an unknown form. Allowed: {ALLOWED}.", kind="address")


def open_store(store: Store) -> OpenStore:
    """Open a store; a local one that does not exist yet is made.

    One process at a time makes the tables of a new database: several would crash.

    Raises
    ------
    StoreError
        If the store cannot be reached, opened or made.
    """
    configure_mlflow(store)
    _check_variables(store)
    try:
        check_reachable(store, fresh=True)
    except StoreError as error:
        if error.kind not in ("lost", "address"):
            raise
        advice = f"Correct tracking_uri or MLFLOW_TRACKING_URI. Allowed: {ALLOWED}."
        raise StoreError(f"{error} {advice}", kind=error.kind) from None
    with as_store_error(store), uncollected(), alone_while_new(store):
        from mlflow import MlflowClient

        if store.scheme in ("sqlite", "file"):
            relocate(store.path, store.artifact_root)
        if store.scheme == "sqlite" and not is_ready(store):
            from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            assert store.artifact_root is not None
            store.path.touch()  # with the permissions that the user's umask gives; SQLite would give its own
            SqlAlchemyStore(store.uri, store.artifact_root.as_uri())  # a client cannot set the default experiment's folder
        client = MlflowClient(store.uri, store.uri)
        client.search_experiments(max_results=1)
    return OpenStore(store.uri, store.artifact_root, client=client)


def open_current() -> OpenStore:
    """Open the store of this notebook's run, which ``MLFLOW_TRACKING_URI`` names once the run has begun.

    Raises
    ------
    StoreError
        If it cannot be reached.
    """
    return open_store(find_store("", project=find_project()))


def configure_mlflow(store: Store) -> None:
    """Set MLflow's environment variables, unless the user has set them: no telemetry, no chatter, few retries."""
    for name, value in MLFLOW_DEFAULTS.items():
        os.environ.setdefault(name, value)
    if store.scheme == "file":  # MLflow demands the variable
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    elif store.scheme == "postgresql":
        os.environ.setdefault("PGCONNECT_TIMEOUT", f"{CONNECT_TIMEOUT_S:.0f}")  # a host that drops packets takes minutes without


@contextmanager
def as_store_error(store: Store) -> Iterator[None]:
    """Turn whatever the store's client raises into one StoreError without secrets, and keep MLflow's tracebacks out of the log.

    Put nothing but calls of the client and of boostlab into the block: LabErrors pass, each other error becomes a StoreError.
    """
    noisy = logging.getLogger("mlflow.store.db.utils")
    level = noisy.level
    noisy.setLevel(logging.CRITICAL)
    try:
        yield
    except LabError:
        raise
    except Exception as error:
        kind = find_kind(error)
        reason = describe_fault(error, store.uri)
        raise StoreError(f"The tracking store {store.shown} {LEADS[kind]}: {reason}.", kind=kind) from None
    finally:
        noisy.setLevel(level)


def _folder(address: str, folder: Path) -> Store:
    path = (folder / Path(address).expanduser()).resolve()
    if path.is_file() or path.suffix in (".db", ".sqlite", ".sqlite3"):
        reason = f"The tracking address {address!r} names a file. For a SQLite store write sqlite:///{path}."
        raise StoreError(reason, kind="address")
    if (BARE_HOST.fullmatch(address) or address in DATABRICKS) and not path.is_dir():
        meant = "Databricks is not supported." if address in DATABRICKS else f"Did you mean http://{address}?"
        reason = f"The tracking address {address!r} has an unknown form. {meant} For a folder write ./{address}."
        raise StoreError(f"{reason} Allowed: {ALLOWED}.", kind="address")
    return Store(path.as_uri())


def _choose_driver(address: str) -> str:
    """Name psycopg2 in an address of PostgreSQL without a driver if it alone is installed; psycopg 3 is SQLAlchemy's default."""
    is_older = address.startswith("postgresql:") and not find_spec("psycopg") and find_spec("psycopg2")
    return address.replace("postgresql:", "postgresql+psycopg2:", 1) if is_older else address


def _check_variables(store: Store) -> None:
    """Raise a StoreError if ``MLFLOW_REGISTRY_URI`` names another store: boostlab keeps runs and registered models in one."""
    registry = os.environ.get("MLFLOW_REGISTRY_URI", "")
    if registry and find_store(registry, project=find_project()).uri != store.uri:
        raise StoreError(
            f"MLFLOW_REGISTRY_URI = {redact(registry, ())!r} names another store than {store.shown}, where the runs are. "
            "boostlab keeps both in one store. Unset MLFLOW_REGISTRY_URI, or choose that store as tracking_uri.",
            kind="address",
        )
