"""The lean server on loopback, and requests for the model that :func:`tests.support.packages.package` calls ``own_classes``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import trustme
from tests.support.waiting import TIMEOUT_S

JSON, CSV = "application/json", "text/csv"
ROW = {
    "size": 0.5, "rooms": 30, "new": True, "city": "Faro", "sold": "2020-04-23T06:30:15.250000",
    "size_gap": None, "rooms_gap": 20.0, "new_gap": True, "city_gap": None, "sold_gap": "2021-04-23T06:30:15.250000",
}  # fmt: skip
BODY = json.dumps({"dataframe_records": [ROW]}).encode()


@contextmanager
def start_server(
    model: Path, *, arguments: Sequence[str] = ("--port", "0"), environment: dict[str, str] | None = None, **settings: Any
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the server, on a free port unless the arguments say otherwise; yield its process and its address."""
    variables = {f"BOOSTLAB_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "boostlab.serving", str(model), *arguments],
        env=os.environ | variables | (environment or {}),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
    finally:
        process.terminate()
        try:
            process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
            process.stdout.close()


@contextmanager
def serve(model: Path, **settings: Any) -> Iterator[str]:
    """Serve a model by our server on a free port, and yield its address."""
    with start_server(model, **settings) as (_, address):
        yield address


def predict(address: str, body: bytes = BODY, *, request_id: str = "") -> requests.Response:
    """Send a request for predictions."""
    headers = {"Content-Type": JSON} | ({"X-Request-ID": request_id} if request_id else {})
    return requests.post(f"{address}/invocations", data=body, headers=headers, timeout=60)


def make_certificate(folder: Path) -> dict[str, Path]:
    """Write a certificate for loopback, its key, and its authority (``ca.pem``); return the settings of a server with them."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    files = {"tls_certificate_file": folder / "cert.pem", "tls_key_file": folder / "key.pem"}
    issued.cert_chain_pems[0].write_to_path(files["tls_certificate_file"])
    issued.private_key_pem.write_to_path(files["tls_key_file"])
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return files


def run_server(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the server's command until it ends by itself."""
    command: list[Any] = [sys.executable, "-m", "boostlab.serving", *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
