"""Secrets: find them among a notebook's parameters and in the environment, and mask them in every record."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")  # of a name: `dbPassword` and `DB_PASSWORD` have two
SECRET_WORDS = re.compile(r"\w*(passw(or)?d|passphrase|pwd)|secrets?|tokens?|credentials?|apikeys?", re.IGNORECASE)
KEY_KINDS = ("api", "access", "account", "private", "secret", "auth", "signing", "encryption", "storage")
AMOUNTS = ("max", "min", "n", "num", "count", "number", "limit", "tokens")  # `max_tokens` is a number that is no secret
WORKING_FOLDERS = ("PWD", "OLDPWD")
# A password ends at the last @ before a slash. Without such an @ it may hold slashes, as SQLAlchemy allows; a port is none.
ADDRESS_PASSWORD = re.compile(r"(?<=://)([^/\s:@]{0,256}):(?:([^/\s]{1,4096})|(?!\d{1,5}/)([^\s@\"'<>]{1,4096}))@")
QUERY_PASSWORD = re.compile(r"(?<=[?&])([\w-]*(?:password|token|secret|key|signature|sig)=)([^&\s#]+)", re.IGNORECASE)
# Keys in a connection string of Azure, in any text. The forms are narrow: `AccountKey = read_key()` is code.
CONNECTION_KEY = re.compile(
    r"((?:AccountKey|SharedAccessKey)\s*=\s*)([A-Za-z0-9+/]{20,}={0,2})|(SharedAccessSignature\s*=\s*)(\??[\w-]+=[^;\s\"'<>]+)",
    re.IGNORECASE,
)
CONNECTION_PART = re.compile(r"\s*([\w .-]+?)\s*=\s*(\{[^}]{0,4096}\}|\"[^\"]{0,4096}\"|'[^']{0,4096}'|[^;]*?)\s*(?:;|$)")
CONNECTION_NAMES = ("accountkey", "sharedaccesskey", "sharedaccesssignature", "pwd")
SHORTEST = 4  # characters; a shorter secret is masked in addresses only, because its text occurs everywhere
DISTINCT = 8  # characters; a shorter secret is masked only where it is a word of its own


class SecretError(ValueError):
    """A value holds a secret where none may stand: no message shows the value."""


def find_secrets(values: Mapping[str, Any]) -> frozenset[str]:
    """Return the secret texts among parameter values.

    These are the values of parameters with a name like ``db_password`` or ``api_key``, and passwords in addresses
    (``postgresql://user:password@host``) and connection strings (``AccountKey=…;``), each also as it stands in JSON, HTML, an
    address and Python code.
    """
    found: set[str] = set()
    for name, value in _leaves(values):
        text = str(value)
        if is_secret(name, value):
            found.add(text)
        found.update(match[2] or match[3] for match in ADDRESS_PASSWORD.finditer(text if "@" in text else ""))
        found.update(match[2] for match in QUERY_PASSWORD.finditer(text))
        found.update(_find_connection_secrets(text))
    return frozenset(form for text in found for form in _forms(text) if len(form) >= SHORTEST)


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, without the secrets of the environment; its class if it says nothing."""
    text = str(error).strip() or type(error).__name__
    return str(redact(text.splitlines()[0], environment_secrets()))


def environment_secrets() -> frozenset[str]:
    """Return the secret texts of this process's environment, such as ``PGPASSWORD``: a cell can print them.

    The name of a variable has to end in the word of a secret. The path of a file is no secret.
    """
    addresses = [value for value in os.environ.values() if "://" in value or ";" in value]
    return find_secrets({**{name: value for name, value in os.environ.items() if _is_credential(name, value)}, "": addresses})


def is_secret(name: str, value: Any) -> bool:
    """Tell whether a parameter's name says that its value is a secret.

    Examples
    --------
    >>> is_secret("api_key", "abcd"), is_secret("max_tokens", 1000), is_secret("tokenizer", "bpe")
    (True, False, False)
    """
    if isinstance(value, bool) or value in (None, ""):
        return False
    words = [word.lower() for word in WORD.findall(name)]
    is_key = any(word in ("key", "keys") and words[place - 1] in KEY_KINDS for place, word in enumerate(words) if place)
    if not is_key and not any(SECRET_WORDS.fullmatch(word) for word in words):
        return False
    return not (isinstance(value, int | float) and any(word in AMOUNTS for word in words))


def redact(value: Any, secrets: Iterable[str]) -> Any:
    """Return a copy of a text, list or mapping with every secret, and each password in an address or connection string, masked.

    Examples
    --------
    >>> redact(["token abcd", "postgresql://me:pw@host/runs"], {"abcd"})
    ['token ***', 'postgresql://me:***@host/runs']
    """
    return _redact(value, _pattern(frozenset(secrets)))


def redact_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of parameter values with all secrets masked, in nested values too."""
    secrets = find_secrets(values)
    return {name: _redact_named(name, value, secrets) for name, value in values.items()}


def _find_connection_secrets(text: str) -> Iterator[str]:
    """Yield the secrets of a text that is a connection string, as ``Server=db;Uid=me;Pwd={abcd}``; none of any other text."""
    parts, end = [], 0
    while end < len(text) and (part := CONNECTION_PART.match(text, end)):
        parts.append(part)
        end = part.end()
    if ";" not in text or text[end:].strip():
        return
    for part in parts:
        name, value = part[1].replace(" ", ""), part[2].strip("{}\"'")
        if value and (name.lower() in CONNECTION_NAMES or is_secret(name, value)):
            yield value


def _mask_connection_key(found: re.Match[str]) -> str:
    return f"{found[1] or found[3]}{MASK}"


def _is_credential(name: str, value: str) -> bool:
    end = "_".join(WORD.findall(name)[-2:])
    return is_secret(end, value) and name not in WORKING_FOLDERS and not (os.sep in value and Path(value).exists())


def _redact_named(name: str, value: Any, secrets: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _redact_named(str(key), item, secrets) for key, item in value.items()}
    return MASK if is_secret(name, value) else redact(value, secrets)


def _redact(value: Any, pattern: re.Pattern[str] | None) -> Any:
    if isinstance(value, str):
        value = pattern.sub(MASK, value) if pattern else value
        value = ADDRESS_PASSWORD.sub(rf"\1:{MASK}@", value) if "://" in value and "@" in value else value
        if "=" not in value:
            return value
        value = QUERY_PASSWORD.sub(rf"\1{MASK}", value)
        return CONNECTION_KEY.sub(_mask_connection_key, value) if _may_hold_key(value) else value
    if isinstance(value, Mapping):
        return type(value)({_redact(key, pattern): _redact(item, pattern) for key, item in value.items()})  # type: ignore[call-arg]
    if isinstance(value, list):
        return [_redact(item, pattern) for item in value]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return MASK if is_number and pattern and pattern.fullmatch(str(value)) else value


def _may_hold_key(text: str) -> bool:
    """Tell whether a text has the start of a name in `CONNECTION_KEY`: the expression alone takes long for a long text."""
    small = text.casefold()
    return "accountkey" in small or "sharedaccess" in small


@lru_cache(maxsize=16)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    """Return an expression that finds the longest secret at each place; a short one must stand alone."""
    ordered = sorted(secrets, key=len, reverse=True)
    forms = [re.escape(text) if len(text) >= DISTINCT else rf"(?<!\w){re.escape(text)}(?!\w)" for text in ordered]
    return re.compile("|".join(forms)) if forms else None


def _forms(text: str) -> set[str]:
    """Return a secret as it is, and as it stands in JSON, HTML, an address and Python code."""
    plain = {text, unquote(text)}
    escaped = {
        form for one in plain for form in (repr(one)[1:-1], json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1])
    }
    pages = {
        form.replace("&#x27;", quotation).replace("&quot;", double)
        for one in plain | escaped
        for form in (html.escape(one), html.escape(one, quote=False))
        for quotation in ("&#x27;", "&#39;")
        for double in ("&quot;", "&#34;")
    }
    return plain | escaped | pages | {form for one in plain for form in (quote(one, safe=""), quote(one), quote_plus(one))}


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each nested value with its name; what is below a secret name has that name."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, name if is_secret(name, "text") else str(key))
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _leaves(item, name)
    elif value is not None and not isinstance(value, bool) and str(value):
        yield name, value
