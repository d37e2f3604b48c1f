"""Requests that are spoiled at random: none makes the server fail, and each error is short. A seed repeats them."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from tests.support.serving import CSV, JSON, ROW

REQUESTS = int(os.environ.get("BOOSTLAB_FUZZ") or 1_000)  # before a release: 100,000
SEED = int(os.environ.get("BOOSTLAB_FUZZ_SEED") or random.randrange(10**9))  # no secret
TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\s"\[\]{},:]+|.', re.DOTALL)
ODD = [
    *(b"null", b"true", b"-0", b"1e999", b"-1e-999", b"NaN", b"-Infinity", b"9" * 400, b"0.1" * 9, b"{}", b"[]", b'""'),
    *(b'"\\ud800"', b'"9999-12-31"', b'"-1"', b'"nan"', b'"\\u0000"', b'"params"', b'"index"', b"[[[[", b"}}", b",", b":"),
    *(b'"', b"\xff\xfe", b"\0"),
]
TYPES = [JSON, CSV, f"{JSON}; charset=UTF-8", f"{CSV};header=absent", "text/plain", "application/json; charset=latin-1", ""]
CSV_TEXT = 'size,rooms,new,city,sold\n0.5,30,True,Faro,2020-04-23T06:30:15.25\n1,,no,"Porto, PT",\n'


def spoil(draw: random.Random, body: bytes) -> bytes:
    """Return a body with one to four changes, mostly of whole JSON tokens."""
    for _ in range(draw.randint(0, 4)):
        parts = TOKENS.findall(body) if draw.random() < 0.7 else [bytes([byte]) for byte in body]
        place = draw.randrange(len(parts) + 1)
        other = draw.randrange(len(parts) + 1)
        match draw.randrange(6):
            case 0:
                parts[place : place + 1] = [draw.choice(ODD)]
            case 1:
                parts[place:place] = [draw.choice(ODD)]
            case 2:
                parts[place:other] = []
            case 3:
                parts[place:place] = parts[other : other + draw.randint(1, 30)] * draw.randint(1, 3)
            case 4:
                parts = parts[:place]
            case _:
                parts[place : place + 1] = [draw.randbytes(draw.randint(1, 3))]
        body = b"".join(parts)
    return body


@pytest.mark.slow
def test_no_spoiled_request_makes_the_server_fail(address: str, as_tensors: Callable[..., list[dict[str, Any]]]) -> None:
    rows = [ROW, {name: value for name, value in ROW.items() if not name.endswith("gap")}]
    table = {"columns": list(ROW), "data": [list(ROW.values())] * 2, "index": [0, 1]}
    forms: list[dict[str, Any]] = [
        {"dataframe_split": table},
        {"dataframe_records": rows},
        {"instances": rows[1]},
        {"inputs": rows},
    ]
    bodies = [(json.dumps(form | {"params": {"probabilities": True}}).encode(), JSON, "/invocations") for form in forms]
    bodies += [(CSV_TEXT.encode(), CSV, "/invocations")]
    tensors = {"inputs": as_tensors(ROW, ROW), "outputs": [{"name": "probabilities"}], "id": "a"}
    bodies += [(json.dumps(tensors).encode(), JSON, "/v2/models/model/infer")]
    draw, statuses = random.Random(SEED), Counter[int]()
    with closing(http.client.HTTPConnection("127.0.0.1", int(address.rpartition(":")[2]), timeout=600)) as connection:
        for number in range(REQUESTS):
            body, media_type, path = draw.choice(bodies)
            body = spoil(draw, body)
            headers = {"Content-Type": media_type if draw.random() < 0.95 else draw.choice(TYPES)}
            if draw.random() < 0.05:
                body, headers["Content-Encoding"] = spoil(draw, gzip.compress(body)), draw.choice(["gzip", "zstd", "gzip, gzip"])
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            statuses[answer.status] += 1
            shown = f"request {number} of seed {SEED}: {headers} {body[:2000]!r} gets {answer.status} {content[:300]!r}"
            assert answer.status in (200, 400, 413, 415), shown
            assert isinstance(json.loads(content), dict), shown
            assert answer.status == 200 or len(content) <= 2_000, shown

    assert statuses[200] > REQUESTS / 10 and statuses[400] > REQUESTS / 10, statuses
