"""The server's settings. Each is read from an environment variable: ``BOOSTLAB_`` and the setting's name in capitals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from boostlab.errors import LabError

PREFIX = "BOOSTLAB_"


class ServingError(LabError):
    """The server cannot start with these arguments or settings."""


def _setting(default: float | str, meaning: str, *, least: float = 0, most: float = float("inf")) -> Any:
    return field(default=default, metadata={"help": meaning, "least": least, "most": most})


@dataclass(frozen=True)
class ServerSettings:
    """The server's settings; each field's metadata hold its meaning and its range."""

    host: str = _setting("127.0.0.1", "address to listen on; an image sets 0.0.0.0")
    port: int = _setting(8080, "port to listen on; 0: any free one", most=65535)
    workers: int = _setting(2, "worker processes", least=1, most=256)
    threads: int = _setting(1, "XGBoost threads per request", least=1, most=256)
    connections: int = _setting(512, "open connections per worker; more are answered with 503", least=1)
    max_body_mb: float = _setting(16.0, "largest request body, in MB; a larger one is answered with 413", least=0.001)
    header_timeout_s: float = _setting(10.0, "seconds for a request's head to arrive", least=0.1)
    body_timeout_s: float = _setting(30.0, "seconds for a request's body to arrive", least=0.1)
    keep_alive_s: int = _setting(75, "seconds that an idle connection stays open", least=1)
    drain_s: float = _setting(1.0, "seconds after SIGTERM in which clients are asked to reconnect elsewhere")
    stop_timeout_s: int = _setting(30, "seconds for running requests to finish after that", least=1)
    log_requests: int = _setting(1, "1: log each request as a JSON line; 0: log failures only", most=1)


def read_settings(environment: Mapping[str, str]) -> ServerSettings:
    """Read the settings from environment variables; those that are not set keep their defaults.

    Raises
    ------
    ServingError
        If a value is not a number or out of range.

    Examples
    --------
    >>> read_settings({"BOOSTLAB_WORKERS": "4"}).workers
    4
    """
    values: dict[str, Any] = {}
    for item in fields(ServerSettings):
        name = PREFIX + item.name.upper()
        text = environment.get(name, "")
        if text:
            values[item.name] = text if item.type == "str" else _read_number(name, text, item.type == "int", item.metadata)
    return ServerSettings(**values)


def tabulate_settings() -> list[tuple[str, str, str]]:
    """Return variable, default and meaning of each setting."""
    return [(PREFIX + item.name.upper(), str(item.default), item.metadata["help"]) for item in fields(ServerSettings)]


def _read_number(name: str, text: str, whole: bool, limits: Mapping[str, Any]) -> float:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        wanted = "a whole number" if whole else "a number"
        raise ServingError(f"{name}={text!r} is not {wanted}: {limits['help']}.") from None
    if not limits["least"] <= number <= limits["most"]:
        raise ServingError(f"{name}={text} is out of range: {limits['help']}, from {limits['least']:g} to {limits['most']:g}.")
    return number
