"""The server's settings: environment variables, ours and those that platforms set.

Each setting is read from ``BOOSTLAB_`` and its name in capitals. Where a platform has a variable of its own for the same thing,
that one counts if ours is not set.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from boostlab.errors import LabError

PREFIX = "BOOSTLAB_"
ROUTES = {  # settings, and how the server's own paths of this kind end
    "predict_route": ("invocations", "infer"),
    "health_route": ("ping", "health", "readyz", "livez", "ready", "live"),
}
OWN = ("invocations", "ping", "health", "readyz", "livez", "version", "metrics", "openapi.json", "docs", "v2")
SIMILAR = 0.92  # of two names, from 0 to 1


class ServingError(LabError):
    """The server cannot start with these arguments or settings."""


def _setting(default: float | str, meaning: str, *, least: float = 0, most: float = 1e9, platforms: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"help": meaning, "least": least, "most": most, "platforms": platforms})


@dataclass(frozen=True)
class ServerSettings:
    """The server's settings; each field's metadata hold its meaning, its range and the variables of platforms."""

    host: str = _setting("127.0.0.1", "address to listen on; an image sets 0.0.0.0")
    port: int = _setting(
        8080, "port to listen on; 0: any free one", most=65535, platforms=("AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT", "PORT")
    )
    path_prefix: str = _setting("", "path before all others, such as /models/wine, for a proxy that does not remove it")
    predict_route: str = _setting("", "a further path for predictions", platforms=("AIP_PREDICT_ROUTE",))
    health_route: str = _setting("", "a further path for the readiness check", platforms=("AIP_HEALTH_ROUTE",))
    model_name: str = _setting("model", "the model's name in the paths /v2/models/…")
    model_version: str = _setting("", "the model's version in these paths. Empty: what MLflow wrote into the folder, else 1")
    cors_origins: str = _setting("", "origins of web pages that may send requests, with commas between them; *: any")
    api_key_file: str = _setting("", "a file with one key per line; a request needs one of them. Empty: no key")
    tls_certificate_file: str = _setting("", "a certificate chain in PEM; with it the server speaks HTTPS only")
    tls_key_file: str = _setting("", "the private key of the certificate, in PEM")
    otlp_endpoint: str = _setting(
        "",
        "address of an OpenTelemetry collector, which gets a span for each request as OTLP over HTTP; empty: none",
        platforms=("OTEL_EXPORTER_OTLP_ENDPOINT",),
    )
    otlp_headers: str = _setting(
        "", "headers for it: name=value, with commas between them", platforms=("OTEL_EXPORTER_OTLP_HEADERS",)
    )
    service_name: str = _setting("boostlab", "the server's name in traces", platforms=("OTEL_SERVICE_NAME",))
    trace_share: float = _setting(
        1.0,
        "share of the requests without traceparent that begin a trace, if there is a collector",
        most=1,
        platforms=("OTEL_TRACES_SAMPLER_ARG",),
    )
    shared_port: str = _setting("", "Unix socket of a process that holds a port for several servers; empty: none")
    workers: int = _setting(2, "worker processes", least=1, most=256)
    reload: int = _setting(0, "1: SIGHUP loads the model anew, without a lost request; 0: SIGHUP ends the server", most=1)
    threads: int = _setting(2, "most threads that predict for one large request", least=1, most=256)
    connections: int = _setting(512, "open connections per worker; requests on further ones are answered with 503", least=1)
    rate_limit: float = _setting(0.0, "requests per second of a client: of a key, else of an address; 0: no limit")
    rate_burst: int = _setting(20, "requests that a client may send at once, if there is such a limit", least=1)
    max_body_mb: float = _setting(16.0, "largest request body, in MB; a larger one is answered with 413", least=0.001)
    max_cells: int = _setting(10_000_000, "most cells (rows times features) in a request; more are answered with 413", least=1)
    max_contributions: int = _setting(
        100_000, "most contributions (rows times features times outputs) in an answer; more are answered with 413", least=1
    )
    header_timeout_s: float = _setting(10.0, "seconds for a request's head to arrive", least=0.1)
    body_timeout_s: float = _setting(30.0, "seconds for a request's body to arrive", least=0.1)
    write_timeout_s: float = _setting(30.0, "seconds in which a client must read some of its answer", least=0.1)
    keep_alive_s: int = _setting(75, "seconds that an idle connection stays open", least=1)
    drain_s: float = _setting(1.0, "seconds after SIGTERM in which clients are asked to reconnect elsewhere")
    stop_timeout_s: int = _setting(30, "seconds for running requests to finish after that", least=1)
    log_requests: int = _setting(1, "1: log each request as a JSON line; 0: log failures only", most=1)


def read_settings(environment: Mapping[str, str]) -> ServerSettings:
    """Read the settings from environment variables; those that are not set keep their defaults.

    Raises
    ------
    ServingError
        If a value is not a number or out of range, or is no path where one is needed.

    Examples
    --------
    >>> read_settings({"BOOSTLAB_WORKERS": "4", "PORT": "9000"}).port
    9000
    """
    values: dict[str, Any] = {}
    _check_names(environment)
    for item in fields(ServerSettings):
        for name in (PREFIX + item.name.upper(), *item.metadata["platforms"]):
            text = environment.get(name, "").strip()
            if not text or (name == PREFIX + "PORT" and text.startswith("tcp://")):
                continue  # Kubernetes sets BOOSTLAB_PORT=tcp://… if a service is called boostlab
            values[item.name] = text if item.type == "str" else _read_number(name, text, item.type == "int", item.metadata)
            if item.name in ("path_prefix", *ROUTES):
                values[item.name] = _read_path(name, text, item.name)
            if item.name == "otlp_endpoint" and not text.startswith(("http://", "https://")):
                raise ServingError(f"{name}={text!r} is no address: write one such as http://collector:4318.")
            if item.name in ("model_name", "model_version") and "/" in text:
                raise ServingError(f"{name}={text!r} has a slash, which a path such as /v2/models/NAME does not take in a name.")
            break
    if bool(values.get("tls_certificate_file")) != bool(values.get("tls_key_file")):
        raise ServingError("TLS needs two files: set both BOOSTLAB_TLS_CERTIFICATE_FILE and BOOSTLAB_TLS_KEY_FILE.")
    return ServerSettings(**values)


def read_keys(settings: ServerSettings) -> list[bytes]:
    """Return the keys of which a request needs one; none if there is no file of keys.

    Raises
    ------
    ServingError
        If the file cannot be read or has no key: the server must not start without the protection that was asked for.
    """
    if not settings.api_key_file:
        return []
    name = f"{PREFIX}API_KEY_FILE={settings.api_key_file}"
    try:
        lines = Path(settings.api_key_file).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ServingError(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ServingError(f"{name} is not UTF-8 text. Write one key per line.") from None
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise ServingError(f"{name} has no key. Write one key per line.")
    if any(len(key.split()) > 1 for key in keys):
        raise ServingError(
            f"{name} has a key with a blank in it. Write one key per line; a line that begins with # is a comment."
        )
    return [key.encode() for key in keys]


def check_certificate(settings: ServerSettings) -> None:
    """Raise a ServingError if there are TLS files, and they cannot be used."""

    def refuse() -> str:  # otherwise the library asks for it at the terminal
        name = f"{PREFIX}TLS_KEY_FILE={settings.tls_key_file}"
        raise ServingError(f"{name} needs a passphrase. Write the key without one: openssl pkey -in KEY -out NEW, and name NEW.")

    if settings.tls_certificate_file:
        try:
            files = settings.tls_certificate_file, settings.tls_key_file
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*files, password=refuse)
        except OSError as error:
            raise ServingError(f"The TLS files {' and '.join(files)} cannot be used: {error.strerror or error}.") from None


def check_shared_port(settings: ServerSettings) -> None:
    """Raise a ServingError if there never will be a holder of a shared port at its path."""
    path = Path(settings.shared_port)
    if settings.shared_port and (not path.parent.is_dir() or (path.exists() and not path.is_socket())):
        raise ServingError(
            f"{PREFIX}SHARED_PORT={path} is no Unix socket, and none can be made there. Name the socket of the process that "
            "holds the port: python -m boostlab.serving.shared_port PATH HOST PORT."
        )


def tabulate_settings() -> list[tuple[str, str, str]]:
    """Return variable, default and meaning of each setting."""
    rows = []
    for item in fields(ServerSettings):
        others = f"; also {', '.join(item.metadata['platforms'])}" if item.metadata["platforms"] else ""
        rows.append((PREFIX + item.name.upper(), str(item.default), item.metadata["help"] + others))
    return rows


def _check_names(environment: Mapping[str, str]) -> None:
    """Raise a ServingError for a variable whose name is almost that of a setting: it would have no effect."""
    known = [PREFIX + item.name.upper() for item in fields(ServerSettings)]
    for name in environment:
        if name.startswith(PREFIX) and name not in known and (meant := get_close_matches(name, known, 1, SIMILAR)):
            raise ServingError(f"{name} is no setting of the server. Did you mean {meant[0]}?")


def _read_path(name: str, text: str, setting: str) -> str:
    """Return a path without a slash at the end; empty for a route where the server answers anyway."""
    if not text.startswith("/") or any(sign in text for sign in "?#% "):
        raise ServingError(f"{name}={text!r} is not a path. A path starts with / and has no blank, ?, # or %.")
    path = text.rstrip("/")
    _, first, *more = (path + "/").split("/")
    if first not in OWN or (setting in ROUTES and any(more) and first != "v2"):
        return path or ("/" if setting in ROUTES else "")
    if path.rpartition("/")[2] in ROUTES.get(setting, ()):
        return ""
    example = {"path_prefix": "/models/wine", "predict_route": "/predict", "health_route": "/healthy"}[setting]
    raise ServingError(f"{name}={text!r} is a path of the server for something else. Choose another one, such as {example}.")


def _read_number(name: str, text: str, whole: bool, limits: Mapping[str, Any]) -> float:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        wanted = "a whole number" if whole else "a number"
        raise ServingError(f"{name}={text!r} is not {wanted}: {limits['help']}.") from None
    if not limits["least"] <= number <= limits["most"]:
        raise ServingError(f"{name}={text} is out of range: {limits['help']}, from {limits['least']:g} to {limits['most']:g}.")
    return number
