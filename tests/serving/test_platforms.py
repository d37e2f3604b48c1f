"""What platforms expect of a container, and proxies, browsers and load balancers of a server."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from backports import zstd
from tests.support.servers import free_port
from tests.support.serving import BODY, JSON, ROW, make_certificate, predict, run_server, serve, start_server
from tests.support.waiting import wait_until

MANY = json.dumps({"dataframe_records": [ROW] * 1000}).encode()


def post(url: str, body: bytes = BODY, **headers: Any) -> requests.Response:
    sent = {"Content-Type": JSON} | {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(url, data=body, headers=sent, timeout=60)


@pytest.mark.parametrize("variable", ["PORT", "AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT"])
def test_listens_where_the_platform_says(folder: Path, variable: str) -> None:
    port = free_port()
    with start_server(folder, arguments=[], environment={variable: str(port)}) as (_, address):
        assert address.endswith(f":{port}") and predict(address).status_code == 200


def test_the_link_of_a_kubernetes_service_is_no_port(folder: Path) -> None:
    port = free_port()
    environment = {"BOOSTLAB_PORT": "tcp://10.0.0.1:80", "BOOSTLAB_SERVICE_HOST": "10.0.0.1", "PORT": str(port)}
    with start_server(folder, arguments=[], environment=environment) as (_, address):
        assert address.endswith(f":{port}")


def test_sagemaker(folder: Path) -> None:
    """It starts the image with the argument `serve`, and asks /ping and /invocations on port 8080 or the one it names."""
    with start_server(folder, arguments=["serve", "--port", "0"]) as (_, address):
        assert requests.get(f"{address}/ping", timeout=2).status_code == 200
        assert post(f"{address}/invocations", Accept=JSON, X_Amzn_SageMaker_Custom_Attributes="a").json()["predictions"]


def test_vertex_ai(folder: Path) -> None:
    """It names port and paths, sends `instances` and wants `predictions`."""
    routes = {"AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict", "AIP_HEALTH_ROUTE": "/v1/health"}
    row = {name: value for name, value in ROW.items() if value is not None}
    with start_server(folder, environment=routes) as (_, address):
        assert requests.get(address + routes["AIP_HEALTH_ROUTE"], timeout=10).status_code == 200
        content = {"instances": [row] * 2, "parameters": {"probabilities": True}}
        answer = post(address + routes["AIP_PREDICT_ROUTE"], json.dumps(content).encode())
    assert answer.status_code == 200
    assert [shares.keys() for shares in answer.json()["predictions"]] == [{"cheap", "dear"}] * 2


ONE = json.dumps({"instances": [{name: value for name, value in ROW.items() if value is not None}]}).encode()


@pytest.mark.parametrize(
    "settings",
    [
        {"predict_route": "/", "health_route": "/"},
        {"predict_route": "/", "health_route": "/ping"},
        {"path_prefix": "/models/wine", "predict_route": "/models/wine/predict", "health_route": "/models/wine/healthy"},
        {"path_prefix": "/models/wine", "predict_route": "/predict", "health_route": "/healthy"},
        {"predict_route": "/one/path", "health_route": "/one/path"},
        {"predict_route": "/invocations", "health_route": "/v2/health/ready"},
    ],
    ids=str,
)
def test_a_platforms_routes_are_whole_paths(folder: Path, settings: dict[str, str]) -> None:
    environment = {"AIP_PREDICT_ROUTE": settings["predict_route"], "AIP_HEALTH_ROUTE": settings["health_route"]}
    with start_server(folder, environment=environment, path_prefix=settings.get("path_prefix", "")) as (_, address):
        for body in (ONE, MANY):
            assert post(address + settings["predict_route"], body).status_code == 200
        assert requests.get(address + settings["health_route"], timeout=60).status_code == 200
        assert requests.get(f"{address}/", timeout=60).status_code == 200
        assert post(f"{address}/invocations").status_code == 200


def test_azure_ml_and_cloud_run(address: str) -> None:
    """Azure ML asks the paths that its configuration names for liveness, readiness and scoring; Cloud Run asks / or a probe."""
    for path in ("/", "/livez", "/readyz", "/ping", "/health"):
        assert requests.get(address + path, timeout=10).status_code == 200
    assert post(f"{address}/invocations").status_code == 200


@pytest.mark.parametrize("path", ["/", "/ping", "/livez", "/docs", "/openapi.json", "/metrics"])
def test_answers_head_as_get_without_the_body(address: str, path: str) -> None:
    head = requests.head(address + path, timeout=60)

    assert head.status_code == 200 and head.content == b""
    if path != "/metrics":  # its length changes with each request
        get = requests.get(address + path, headers={"Accept-Encoding": "identity"}, timeout=60)
        plain = requests.head(address + path, headers={"Accept-Encoding": "identity"}, timeout=60)
        assert plain.headers["content-length"] == str(len(get.content))


def test_the_first_page_names_the_model_as_text(folder: Path) -> None:
    with serve(folder, model_name="<script>wine") as address:
        page = requests.get(f"{address}/", timeout=60).text
    assert "&lt;script&gt;wine" in page and "<script>" not in page


def test_answers_behind_a_prefix_and_with_a_slash_at_the_end(folder: Path) -> None:
    with serve(folder, path_prefix="/models/wine/") as address:
        expected = post(f"{address}/invocations").json()
        for path in ("/models/wine/invocations", "/models/wine/invocations/", "/invocations/"):
            assert post(address + path).json() == expected
        assert requests.get(f"{address}/models/wine", timeout=60).status_code == 200
        assert post(f"{address}/models/winery/invocations").status_code == 404
        assert post(f"{address}/models/wine").status_code == 405


@pytest.mark.parametrize("body", [BODY, MANY], ids=["one row", "1,000 rows"])
def test_reads_compressed_bodies(address: str, body: bytes) -> None:
    expected = post(f"{address}/invocations", body).json()
    packed = {
        "gzip": gzip.compress(body),
        "GZIP": gzip.compress(body[:9]) + gzip.compress(body[9:]),
        "zstd": zstd.compress(body),
        "identity": body,
        "zstd, gzip": gzip.compress(zstd.compress(body)),
    }
    for encoding, sent in packed.items():
        assert post(f"{address}/invocations", sent, Content_Encoding=encoding).json() == expected, encoding


WRONG_BODIES = {
    "a bomb of gzip": ("gzip", gzip.compress(bytes(20_000_000)), 413, "when it is unpacked"),
    "a bomb of zstd": ("zstd", zstd.compress(bytes(20_000_000)), 413, "when it is unpacked"),
    "no gzip": ("gzip", BODY, 400, "not compressed as its Content-Encoding says"),
    "no zstd": ("zstd", BODY, 400, "not compressed as its Content-Encoding says"),
    "half a stream": ("gzip", gzip.compress(BODY)[:-9], 400, "has no end"),
    "many streams": ("gzip", gzip.compress(b"") * 101, 400, "more than 100 compressed streams"),
    "another encoding": ("br", BODY, 415, "Send one of: gzip, zstd"),
}


@pytest.mark.parametrize("name", WRONG_BODIES)
def test_says_what_is_wrong_with_a_compressed_body(address: str, name: str) -> None:
    encoding, body, status, message = WRONG_BODIES[name]
    answer = post(f"{address}/invocations", body, Content_Encoding=encoding)

    assert answer.status_code == status and message in answer.text


def test_compresses_long_answers_for_those_who_read_them(address: str) -> None:
    packed, plain = (post(f"{address}/invocations", MANY, Accept_Encoding=name) for name in ("gzip", "identity"))

    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert packed.json() == plain.json() and int(packed.headers["content-length"]) < len(plain.content) / 5


def test_lets_the_pages_of_named_origins_ask(folder: Path) -> None:
    with serve(folder, cors_origins="https://a.example, https://b.example") as address:
        preflight = {"Origin": "https://b.example", "Access-Control-Request-Method": "POST"}
        asked = requests.options(
            f"{address}/invocations", headers=preflight | {"Access-Control-Request-Headers": "content-type"}, timeout=60
        )
        answer = post(f"{address}/invocations", Origin="https://b.example")
        stranger = post(f"{address}/invocations", Origin="https://c.example")
    assert asked.status_code == 200 and answer.status_code == 200
    assert asked.headers["access-control-allow-origin"] == answer.headers["access-control-allow-origin"] == "https://b.example"
    assert "access-control-allow-origin" not in stranger.headers


def test_needs_a_key_for_all_but_health_checks(folder: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("first-key\nsecond-key\n")
    with serve(folder, api_key_file=keys) as address:
        url = f"{address}/invocations"
        for headers in ({"Authorization": "Bearer first-key"}, {"X_API_Key": "second-key"}):
            assert post(url, BODY, **headers).status_code == post(url, MANY, **headers).status_code == 200
        for headers in ({}, {"Authorization": "Bearer third"}, {"Authorization": "Basic first-key"}, {"X_API_Key": ""}):
            for refused in (post(url, BODY, **headers), post(url, MANY, **headers)):
                assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        assert requests.get(f"{address}/metrics", timeout=60).status_code == 401
        assert requests.get(f"{address}/ping", timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"API_KEY_FILE": "/nowhere"}, "API_KEY_FILE=/nowhere cannot be read"),
        ({"API_KEY_FILE": "/dev/null"}, "has no key"),
        ({"TLS_KEY_FILE": "/nowhere"}, "TLS needs two files"),
        ({"TLS_KEY_FILE": "/nowhere", "TLS_CERTIFICATE_FILE": "/nowhere"}, "cannot be used"),
        ({"PATH_PREFIX": "models"}, "is not a path"),
    ],
)
def test_does_not_start_without_the_protection_that_was_asked_for(folder: Path, settings: dict[str, str], message: str) -> None:
    done = run_server(str(folder), **{f"BOOSTLAB_{name}": value for name, value in settings.items()})

    assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1


def test_speaks_https(folder: Path, tmp_path: Path) -> None:
    with serve(folder, **make_certificate(tmp_path)) as address:
        https = address.replace("http:", "https:")
        answer = requests.post(
            f"{https}/invocations", data=BODY, headers={"Content-Type": JSON}, verify=str(tmp_path / "ca.pem"), timeout=60
        )
        assert answer.status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{https}/ping", timeout=60)


def test_a_full_server_stays_alive_and_counts_whom_it_refused(folder: Path) -> None:
    with serve(folder, workers=1, connections=2, log_requests=0) as address:
        where = urlsplit(address)
        idle = [socket.create_connection((where.hostname, where.port), timeout=20) for _ in range(3)]
        try:
            assert predict(address).status_code == 503
            assert all(requests.get(address + path, timeout=20).status_code == 200 for path in ("/livez", "/readyz", "/ping"))
        finally:
            for connection in idle:
                connection.close()
        counts = requests.get(f"{address}/metrics", timeout=20).text
    assert 'boostlab_requests_total{path="/invocations",status="503"} 1' in counts


def test_a_client_that_does_not_read_its_answer_is_left(folder: Path) -> None:
    required = {name: value for name, value in ROW.items() if not name.endswith("_gap")}
    split = {"columns": list(required), "data": [list(required.values())] * 250_000}
    rows = json.dumps({"dataframe_split": split, "params": {"probabilities": True}}).encode()
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {len(rows)}\r\n\r\n"
    with serve(folder, workers=1, write_timeout_s=0.5, max_body_mb=40, log_requests=0) as address, socket.socket() as connection:
        where = urlsplit(address)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((where.hostname, where.port))
        connection.sendall(head.encode() + rows)
        wait_until(lambda: 'path="other",status="499"} 1' in requests.get(f"{address}/metrics", timeout=60).text)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65_536):
                received += len(chunk)
        assert received < 250_000 * 30  # not the whole answer
        assert predict(address).status_code == 200
