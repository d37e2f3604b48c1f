"""What an explored run sets in its kernel's environment, for the user's own MLflow calls, and what stood there before."""

from __future__ import annotations

import os
from collections.abc import Mapping

_lent: dict[str, tuple[str, str | None]] = {}  # by name: the value that was set, and the one before


def lend(values: Mapping[str, str]) -> None:
    """Set variables until :func:`restore`, which goes before another `lend`."""
    for name, value in values.items():
        _lent[name] = value, os.environ.get(name)
        os.environ[name] = value


def given() -> dict[str, str]:
    """Return the environment without what was lent; what the user has changed since then stays changed."""
    env = dict(os.environ)
    for name, (value, before) in _lent.items():
        if env.get(name) == value:
            del env[name]
            env.update({} if before is None else {name: before})
    return env


def restore(*names: str) -> None:
    """Take back what was lent: the variables of these names, or all."""
    env = given()
    for name in names or tuple(_lent):
        if name in env:
            os.environ[name] = env[name]
        else:
            os.environ.pop(name, None)
        _lent.pop(name, None)
