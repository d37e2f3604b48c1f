"""The steps of a deployment that needs no engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.docker import NAME, deploy_settings, start_recording

from boostlab.deployment import Deployment


@pytest.fixture
def deploy(version_store: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that plans a deployment in the store with two versions."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", version_store.tracking_uri)
    return lambda **given: Deployment(start_recording(), deploy_settings(**given))


def test_without_a_model_it_shows_the_registered_models_and_does_nothing(deploy: Any) -> None:
    deployment = deploy(model="")

    assert NAME in deployment.show_target()._repr_html_()
    assert deployment.build() == "No image is built."
    assert deployment.verify().empty and deployment.plot_latency() is None
    assert deployment.release() == "Nothing is released."
    assert deployment.tabulate().empty
    assert "-p model NAME" in deployment.summarize()


def test_a_context_is_written_and_not_verified(deploy: Any, tmp_path: Path) -> None:
    deployment = deploy(output="context", builder="lean", folder=str(tmp_path / "out"))

    assert deployment.show_target()[""]["version"] == 2
    assert f"docker build {tmp_path}/out/context" in deployment.build()
    assert (tmp_path / "out" / "context" / "Dockerfile").is_file()
    assert deployment.verify().empty and deployment.plot_latency() is None
    assert deployment.release() == "Nothing is released."
    assert "is written as a build context" in deployment.summarize()


def test_an_image_that_was_not_verified_is_not_released(deploy: Any) -> None:
    assert deploy().release() == "Nothing is released."
