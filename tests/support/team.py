"""The stores that a team can have, each a real one: its address, and the variables that its clients need."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
import trustme
from moto.server import ThreadedMotoServer
from tests.support.postgresql import NewDatabase
from tests.support.servers import serve_database
from tests.support.stores import NewStore

KINDS = (
    "sqlite",
    "file",
    "postgresql",
    "server",
    "server with accounts",
    "server with TLS",
    "server with S3 behind it",
    "server with S3 beside it",
)
ADMIN, PASSWORD = "admin", "a-long-passw0rd"
AUTH = """\
[mlflow]
default_permission = EDIT
database_uri = sqlite:///{folder}/accounts.db
admin_username = {admin}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


@contextmanager
def make_store(kind: str, folder: Path, new_store: NewStore, new_database: NewDatabase) -> Iterator[tuple[str, dict[str, str]]]:
    """Make an empty store of a kind, and yield its address and the environment of its clients."""
    with ExitStack() as stack:
        match kind:
            case "sqlite":
                yield new_store(folder), {}
            case "file":
                yield str(folder / "mlruns"), {}
            case "postgresql":
                yield (
                    new_database(made=True),
                    {"MLFLOW_DEFAULT_ARTIFACT_ROOT": str(folder / "mlartifacts")},
                )
            case "postgresql with S3 beside it":
                access = stack.enter_context(serve_s3("artifacts"))
                yield new_database(made=True), access | {"MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://artifacts/lab"}
            case "server":
                yield stack.enter_context(serve_database(new_database(made=True), *_keep(folder))), {}
            case "server with accounts":
                yield stack.enter_context(_serve_accounts(folder, new_database(made=True))), _account(PASSWORD)
            case "server with TLS":
                authority, options = _make_certificate(folder)
                served = serve_database(new_database(made=True), *_keep(folder), *options, authority=authority)
                yield stack.enter_context(served), {"MLFLOW_TRACKING_SERVER_CERT_PATH": authority}
            case "server with S3 behind it":
                access = stack.enter_context(serve_s3("artifacts"))
                options = ["--artifacts-destination", "s3://artifacts/lab"]
                yield stack.enter_context(serve_database(new_database(made=True), *options, **access)), {}
            case "server with S3 beside it":
                access = stack.enter_context(serve_s3("artifacts"))
                options = ["--no-serve-artifacts", "--default-artifact-root", "s3://artifacts/lab"]
                yield stack.enter_context(serve_database(new_database(made=True), *options, **access)), access


@contextmanager
def serve_s3(bucket: str) -> Iterator[dict[str, str]]:
    """Serve an object store with one empty bucket, and yield the variables that its clients need."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        access = {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "s3-s3cret", "AWS_DEFAULT_REGION": "us-east-1"}
        keys = {"aws_access_key_id": access["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": access["AWS_SECRET_ACCESS_KEY"]}
        endpoint = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys).create_bucket(Bucket=bucket)
        yield access | {"MLFLOW_S3_ENDPOINT_URL": endpoint}
    finally:
        server.stop()


def _keep(folder: Path) -> list[str]:
    return ["--artifacts-destination", str(folder / "kept")]


def _account(password: str) -> dict[str, str]:
    return {"MLFLOW_TRACKING_USERNAME": ADMIN, "MLFLOW_TRACKING_PASSWORD": password}


@contextmanager
def _serve_accounts(folder: Path, database: str) -> Iterator[str]:
    settings = folder / "auth.ini"
    settings.write_text(AUTH.format(folder=folder, admin=ADMIN))
    env = {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": os.urandom(16).hex(),
    }
    with serve_database(database, *_keep(folder), "--app-name", "basic-auth", **env) as address:
        yield address


def _make_certificate(folder: Path) -> tuple[str, list[str]]:
    """Write the certificate of a new authority and one of the server; return the first file and the server's options."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    paths = {name: str(folder / f"{name}.pem") for name in ("authority", "key", "chain")}
    authority.cert_pem.write_to_path(paths["authority"])
    certificate.private_key_pem.write_to_path(paths["key"])
    certificate.cert_chain_pems[0].write_to_path(paths["chain"])
    return paths["authority"], ["--uvicorn-opts", shlex.join(["--ssl-keyfile", paths["key"], "--ssl-certfile", paths["chain"]])]
