"""Environment variables that an interactive run sets for the user's own MLflow calls, and the values from before."""

from __future__ import annotations

import os
from collections.abc import Mapping

_set: dict[str, tuple[str, str | None]] = {}  # by name: the value that was set, and the value before


def set_variables(values: Mapping[str, str]) -> None:
    """Set variables; :func:`restore` must run before the next call."""
    for name, value in values.items():
        _set[name] = value, os.environ.get(name)
        os.environ[name] = value


def original_environment() -> dict[str, str]:
    """Return the environment with the values from before; a variable that the user has changed since then stays changed."""
    env = dict(os.environ)
    for name, (value, before) in _set.items():
        if env.get(name) == value:
            del env[name]
            env.update({} if before is None else {name: before})
    return env


def restore(*names: str) -> None:
    """Restore the variables of these names, or all."""
    env = original_environment()
    for name in names or tuple(_set):
        if name in env:
            os.environ[name] = env[name]
        else:
            os.environ.pop(name, None)
        _set.pop(name, None)
