"""The access to Azure's storage, from the environment variables of Azure's own command and clients."""

from __future__ import annotations

import base64
import binascii
import os
from datetime import UTC, datetime
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from pyarrow import fs

from boostlab.errors import DataError

STATED = "AZURE_STORAGE_CONNECTION_STRING"
KEYS = ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY")
SIGNATURE = "AZURE_STORAGE_SAS_TOKEN"
COPY = "Copy it again, from the access keys of the storage account."


def connect_azure(host: str) -> Any:
    """Return the file system of an account, such as ``lake.dfs.core.windows.net``.

    A connection string comes first, then a key, then a signature. Without any of them, the sign-in counts.

    Raises
    ------
    DataError
        If a variable cannot be what it is for, or belongs to another account; the message does not show it.
    """
    account, _, domain = host.lower().partition(".")
    stated = _read_stated(account)
    options = _find_access(stated)
    service = domain.removeprefix("dfs.").removeprefix("blob.")
    options |= {f"{kind}_storage_authority": f".{kind}.{service}" for kind in ("blob", "dfs")}
    endpoint = _read_endpoint(stated, account)
    if endpoint is not None:
        for kind in ("blob", "dfs"):
            options |= {f"{kind}_storage_authority": endpoint.netloc, f"{kind}_storage_scheme": endpoint.scheme}
    return fs.AzureFileSystem(account, **options)


def _read_stated(account: str) -> dict[str, str]:
    """Return what the connection string states, by names in small letters; empty if there is none."""
    text = os.environ.get(STATED, "").strip().strip("\"'")
    stated = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        stated[name.strip().lower()] = value.strip()
    if "usedevelopmentstorage" in stated:
        raise DataError(
            f"{STATED} has UseDevelopmentStorage, which does not say where the emulator is. Write AccountName, AccountKey and "
            "BlobEndpoint=http://HOST:PORT/ACCOUNT instead."
        )
    other = stated.get("accountname", account)
    if other.lower() != account:
        raise DataError(
            f"{STATED} is of the account {other!r}, and the address names {account!r}. Correct one of them, or unset it."
        )
    has_access = stated.get("accountkey") or stated.get("sharedaccesssignature")
    if text and not has_access and not any(_read(name) for name in (*KEYS, SIGNATURE)):
        raise DataError(
            f"{STATED} gives no access: it has neither AccountKey=… nor SharedAccessSignature=…, in parts that ; separates. "
            f"{COPY} To use your sign-in, unset the variable."
        )
    return stated


def _find_access(stated: dict[str, str]) -> dict[str, Any]:
    """Return the options of Arrow's file system for the key or the signature that there is."""
    keys = {STATED: stated.get("accountkey", ""), **{name: _read(name) for name in KEYS}}
    signatures = {STATED: stated.get("sharedaccesssignature", ""), SIGNATURE: _read(SIGNATURE)}
    for name in (STATED, *KEYS, SIGNATURE):
        if key := keys.get(name):
            return {"account_key": _check_key(name, key)}
        if signature := signatures.get(name):
            return {"sas_token": _check_signature(name, signature)}
    return {}


def _check_key(name: str, key: str) -> str:
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):  # ValueError: of letters beyond ASCII
        raise DataError(f"The key in {name} cannot be one: keys of Azure's storage are in base64. {COPY}") from None
    return key


def _check_signature(name: str, signature: str) -> str:
    """Return a signature as Arrow wants it, with a question mark."""
    fields = parse_qs(signature.removeprefix("?"))
    if "sig" not in fields:
        raise DataError(f"The signature in {name} cannot be one: it has no sig=…, as in sv=…&se=…&sig=…. Copy it again.")
    ends = fields.get("se", [""])[0]
    try:
        end = datetime.fromisoformat(ends.replace("Z", "+00:00"))
    except ValueError:  # a form that Azure may know
        return f"?{signature.removeprefix('?')}"
    if (end if end.tzinfo else end.replace(tzinfo=UTC)) < datetime.now(UTC):
        raise DataError(f"The signature in {name} has expired: it was valid until {ends}. Make a new one.")
    return f"?{signature.removeprefix('?')}"


def _read_endpoint(stated: dict[str, str], account: str) -> SplitResult | None:
    """Return the endpoint if it is that of an emulator, which has one host for all accounts; None: the account has its own."""
    text = stated.get("blobendpoint", "")
    if not text:
        return None
    try:
        endpoint = urlsplit(text)
        is_right = endpoint.scheme in ("http", "https") and bool(endpoint.hostname) and endpoint.port != 0
    except ValueError:  # such as a port above 65535
        is_right = False
    if is_right and endpoint.path.strip("/").lower() == account:
        return endpoint
    if is_right and endpoint.path.strip("/") == "" and str(endpoint.hostname).startswith(f"{account}."):
        return None
    raise DataError(
        f"The BlobEndpoint in {STATED} has another form. It takes https://{account}.blob.core.windows.net, or "
        f"http://HOST:PORT/{account} for an emulator."
    )


def _read(name: str) -> str:
    return os.environ.get(name, "").strip()
