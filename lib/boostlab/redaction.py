"""Secrets: find them among a notebook's parameters, and mask them in every record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

MASK = "***"
SECRET_NAME = re.compile(r"passw(or)?d|secret|token|credential|(api|access|private)_?key", re.IGNORECASE)
ADDRESS_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):([^/\s]+)@")
QUERY_PASSWORD = re.compile(r"(?<=[?&])(\w*(?:password|token|secret|key)=)([^&\s#]+)", re.IGNORECASE)
SHORTEST = 4  # characters; a shorter secret is masked in addresses only, because its text occurs everywhere


def find_secrets(values: Mapping[str, Any]) -> frozenset[str]:
    """Return the secret texts among parameter values.

    These are the values of parameters with a name like ``db_password`` or ``api_key``, and passwords in addresses
    (``postgresql://user:password@host``), each also in its escaped forms.
    """
    found: set[str] = set()
    for name, text in _texts(values):
        if SECRET_NAME.search(name):
            found.add(text)
        found.update(match[2] for match in ADDRESS_PASSWORD.finditer(text))
        found.update(match[2] for match in QUERY_PASSWORD.finditer(text))
    forms = {form for text in found for form in (text, unquote(text), repr(text)[1:-1], json.dumps(text)[1:-1])}
    return frozenset(form for form in forms if len(form) >= SHORTEST)


def redact(value: Any, secrets: Iterable[str]) -> Any:
    """Return a copy of a text, list or mapping with every secret, and every password in an address, masked.

    Examples
    --------
    >>> redact(["token abcd", "postgresql://me:pw@host/runs"], {"abcd"})
    ['token ***', 'postgresql://me:***@host/runs']
    """
    ordered = sorted(secrets, key=len, reverse=True)
    return _redact(value, ordered)


def redact_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of parameter values with all secrets masked, in nested values too."""
    secrets = find_secrets(values)
    return {name: _redact_named(name, value, secrets) for name, value in values.items()}


def _redact_named(name: str, value: Any, secrets: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _redact_named(str(key), item, secrets) for key, item in value.items()}
    return MASK if SECRET_NAME.search(name) and value not in ("", None) else redact(value, secrets)


def _redact(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        value = ADDRESS_PASSWORD.sub(rf"\1:{MASK}@", value) if "://" in value else value
        return QUERY_PASSWORD.sub(rf"\1{MASK}", value) if "=" in value else value
    if isinstance(value, Mapping):
        return type(value)({key: _redact(item, secrets) for key, item in value.items()})  # type: ignore[call-arg]
    if isinstance(value, list):
        return [_redact(item, secrets) for item in value]
    return MASK if str(value) in secrets and not isinstance(value, bool) else value


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield each nested value as text, with its name."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, str(key) if not SECRET_NAME.search(name) else name)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, name)
    elif value is not None and not isinstance(value, bool) and str(value):
        yield name, str(value)
