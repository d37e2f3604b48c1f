"""Settings of deploy.ipynb: wrong requests are refused before anything runs."""

from __future__ import annotations

import pytest
from tests.support.docker import deploy_settings

from boostlab.errors import ParameterError


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"image": "Not An Image"}, "small letters, digits"),
        ({"output": "context", "keep": True}, "output context makes no image: omit keep, push_to and build"),
        ({"output": "process", "push_to": "localhost:5000"}, "output process makes no image"),
        ({"output": "process", "build": False}, "output process makes no image"),
        ({"builder": "lean", "trust_code": True}, "the lean server runs no code of the model. Omit one of them"),
        ({"push_to": "https://registry"}, "HOST or HOST:PORT"),
        ({"port": 70000}, "Allowed: 0 <= port <= 65535"),
        ({"builder": "podman"}, "mlflow"),
        ({"build_args": {"PIP_TOKEN": "x"}}, "PIP_TOKEN is not a build argument. Allowed: PIP_INDEX_URL"),
        ({"build_args": {"PIP_INDEX_URL": "https://me:secret@index/simple"}}, "holds a password, which would stay in the engine"),
        ({"platform": "arm64"}, "OS/ARCHITECTURE, such as linux/arm64"),
        ({"registry": "localhost:5000"}, "No parameter 'registry'"),
    ],
)
def test_refuses_a_wrong_request(given: dict[str, object], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        deploy_settings(**given)


PROXY = {"build_args": {"HTTPS_PROXY": "http://me:secret@proxy:3128"}, "platform": "linux/arm64/v8"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"output": "process", "trust_code": True},
        {"push_to": "localhost:5000/team", "keep": True},
        {"image": "a/b.c_d-e"},
        {"output": "context", "folder": "x"},
        PROXY,
    ],
)
def test_accepts_a_complete_request(given: dict[str, object]) -> None:
    assert deploy_settings(**given).model_dump().items() >= given.items()
