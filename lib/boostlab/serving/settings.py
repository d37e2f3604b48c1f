"""What the server can be told, all of it by environment variables: ``BOOSTLAB_`` and a setting's name in capitals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from boostlab.errors import LabError

PREFIX = "BOOSTLAB_"


class ServingError(LabError):
    """The server cannot start as it was told to."""


def _setting(default: float | str, unit: str, *, least: float = 0, most: float = float("inf")) -> object:
    return field(default=default, metadata={"help": unit, "least": least, "most": most})


@dataclass(frozen=True)
class ServerSettings:
    """The server's settings; each field's metadata say what it means and what it may be."""

    host: str = _setting("127.0.0.1", "address to listen on; an image sets 0.0.0.0")  # type: ignore[assignment]
    port: int = _setting(8080, "port to listen on; 0: any free one", most=65535)  # type: ignore[assignment]
    workers: int = _setting(2, "processes that answer", least=1, most=256)  # type: ignore[assignment]
    threads: int = _setting(1, "threads of XGBoost for one request", least=1, most=256)  # type: ignore[assignment]
    connections: int = _setting(512, "open connections per worker; more are answered with 503", least=1)  # type: ignore[assignment]
    max_body_mb: float = _setting(16.0, "largest request body, in MB; more is answered with 413", least=0.001)  # type: ignore[assignment]
    header_timeout_s: float = _setting(10.0, "seconds for a request's head to arrive", least=0.1)  # type: ignore[assignment]
    body_timeout_s: float = _setting(30.0, "seconds for a request's body to arrive", least=0.1)  # type: ignore[assignment]
    keep_alive_s: int = _setting(75, "seconds that an idle connection stays open", least=1)  # type: ignore[assignment]
    drain_s: float = _setting(1.0, "seconds after SIGTERM in which clients are told to go elsewhere")  # type: ignore[assignment]
    stop_timeout_s: int = _setting(30, "seconds that running requests have to end after that", least=1)  # type: ignore[assignment]
    log_requests: int = _setting(1, "1: a JSON line for each request; 0: for failures alone", most=1)  # type: ignore[assignment]


def read_settings(environment: Mapping[str, str]) -> ServerSettings:
    """Read the settings that an environment holds; defaults for the rest.

    Raises
    ------
    ServingError
        If a value is no number or out of range.

    Examples
    --------
    >>> read_settings({"BOOSTLAB_WORKERS": "4"}).workers
    4
    """
    values = {}
    for item in fields(ServerSettings):
        name = PREFIX + item.name.upper()
        given = environment.get(name, "")
        if given:
            values[item.name] = given if item.type == "str" else _read_number(name, given, item.type == "int", item.metadata)
    return ServerSettings(**values)  # type: ignore[arg-type]


def tabulate_settings() -> list[tuple[str, str, str]]:
    """Return variable, default and meaning of each setting."""
    return [(PREFIX + item.name.upper(), str(item.default), item.metadata["help"]) for item in fields(ServerSettings)]


def _read_number(name: str, given: str, whole: bool, limits: Mapping[str, float]) -> float:
    try:
        number = int(given) if whole else float(given)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise ServingError(f"{name}={given!r} is not {kind}: {limits['help']}.") from None
    if not limits["least"] <= number <= limits["most"]:
        raise ServingError(f"{name}={given} is out of range: {limits['help']}, from {limits['least']:g} to {limits['most']:g}.")
    return number
