"""An emulator of Azure's storage, Azurite, on loopback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from urllib.parse import urlencode

import pytest
import requests
from tests.support.paths import PROJECT
from tests.support.servers import free_port
from tests.support.waiting import wait_until

AZURITE = shutil.which("azurite-blob", path=f"{PROJECT / 'build/azurite/node_modules/.bin'}{os.pathsep}{os.environ['PATH']}")
ACCOUNT, KEY = "lab", "YS1rZXktb2YtdGhlLXRlc3Rz"


@contextmanager
def serve_azure() -> Iterator[str]:
    """Start the emulator with one account, and yield the connection string of its clients."""
    if not AZURITE:
        pytest.skip("no Azurite here: run `.ci/azurite`, which needs npm, to run the tests of abfs://")
    port = free_port()
    command = [AZURITE, "--silent", "--disableTelemetry", "--inMemoryPersistence", "--skipApiVersionCheck"]
    command += ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
    process = subprocess.Popen(command, env=os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}, stdout=subprocess.DEVNULL)
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    try:
        wait_until(lambda: _answers(endpoint) or process.poll() is not None)
        assert process.poll() is None, "the emulator ended at once"
        yield f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"
    finally:
        process.terminate()
        process.wait(60)


def sign_access() -> str:
    """Return a shared access signature that may read and list for ten years."""
    fields = {
        "sp": "rl",
        "ss": "b",
        "srt": "sco",
        "st": "",
        "se": f"{date.today().year + 10}-01-01",
        "sip": "",
        "spr": "",
        "sv": "2022-11-02",
    }
    signed = "\n".join([ACCOUNT, *fields.values(), "", ""])
    signature = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    return urlencode({name: value for name, value in fields.items() if value} | {"sig": base64.b64encode(signature)})


def _answers(endpoint: str) -> bool:
    try:
        requests.get(endpoint, timeout=5)
    except requests.ConnectionError:
        return False
    return True
