"""deploy.ipynb as papermill runs it: an image that is released and kept, an image that fails, a process, no model."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tests.support.docker import DEPLOY, NAME, NEEDS_ENGINE, Built, list_containers, list_images
from tests.support.paths import PAPERMILL
from tests.support.stores import all_runs, artifacts

from boostlab.registry.gate import load_gate
from boostlab.registry.transition import request_transition
from boostlab.registry.view import view_model

pytestmark = NEEDS_ENGINE
NOWHERE = "unix:///nowhere/docker.sock"


@pytest.fixture
def deploy(version_store: Any, tmp_path: Path) -> Callable[..., tuple[Any, subprocess.CompletedProcess[str]]]:
    """Return a function that runs deploy.ipynb and returns its run and the finished command."""

    def run(*options: object, model: str = NAME, **environment: str) -> tuple[Any, subprocess.CompletedProcess[str]]:
        given = ["-p", "tracking_uri", version_store.tracking_uri, "-p", "model", model, *map(str, options)]
        command = [PAPERMILL, "--no-progress-bar", str(DEPLOY), str(tmp_path / "out.ipynb"), *given]
        env = os.environ | environment
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=800, check=False)
        return all_runs(version_store)[0], done

    return run


def test_the_version_in_production_becomes_a_verified_image_that_keeps_running(
    engine: Any, version_store: Any, deploy: Callable[..., Any], built: Built
) -> None:
    built("lean")  # the packages of this builder, in the engine's cache
    run, done = deploy("-p", "builder", "lean", "-p", "keep", "True", "-p", "stage", "produção")
    assert done.returncode == 0, done.stderr
    try:
        assert run.info.status == "FINISHED"
        assert run.data.metrics["checks_failed"] == 0 and run.data.metrics["checks"] >= 14
        assert {"start_s", "image_mb", "build_s", "p99_ms_1_clients", "requests_per_s_8_clients"} <= run.data.metrics.keys()
        files = {"build/Dockerfile", "build/log.txt", "build/sbom.cdx.json", "plots/latency.png", "verification/checks.json"}
        assert files | {"manifests/compose.yaml", "manifests/kubernetes.yaml"} <= artifacts(version_store, run.info.run_id)
        image = engine.images.get(f"{NAME}:production")
        released = f"{NAME}:v2@{image.id}"
        assert version_store.get_model_version(NAME, "2").tags["boostlab.image"] == run.data.tags["boostlab.image"] == released
        assert list_containers(engine) == [f"boostlab-{NAME}", f"boostlab-{NAME}-port"]
        assert {f"{NAME}:production", f"{NAME}:v2"} <= set(list_images(engine))
        assert not [name for name in list_images(engine) if name.startswith(f"{NAME}:unverified")]
    finally:
        for name in (f"boostlab-{NAME}", f"boostlab-{NAME}-port"):
            engine.containers.get(name).remove(force=True, v=True)


def test_an_image_that_holds_another_model_is_not_released(
    engine: Any, version_store: Any, deploy: Callable[..., Any], built: Built
) -> None:
    image = built("lean")[1]
    engine.images.get(image.id).tag(f"{NAME}-other", "v1")  # it holds version 2
    run, done = deploy("-p", "build", "False", "-p", "version", 1, "-p", "image", f"{NAME}-other")

    assert done.returncode == 1 and run.info.status == "FAILED"
    assert "checks failed, so nothing is released" in done.stderr and "answers differ, the first" in done.stderr
    assert run.data.metrics["checks_failed"] > 0
    assert "verification/checks.json" in artifacts(version_store, run.info.run_id)
    assert "boostlab.image" not in version_store.get_model_version(NAME, "1").tags
    assert not list_containers(engine)


def test_a_process_is_verified_without_an_engine(deploy: Callable[..., Any], version_store: Any, tmp_path: Path) -> None:
    (tmp_path / "model_card.md").write_text("# Model card\n\n## Purpose\n\nFor homes.\n")
    version_store.log_artifact(version_store.get_model_version(NAME, "2").run_id, str(tmp_path / "model_card.md"))
    run, done = deploy("-p", "output", "process", DOCKER_HOST=NOWHERE)

    assert done.returncode == 0, done.stderr
    assert run.data.metrics["checks_failed"] == 0 and run.data.metrics["checks"] >= 14
    assert "image_mb" not in run.data.metrics
    outputs = [out for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells for out in cell.get("outputs", [])]
    shown = [out.data.get("text/markdown", "") for out in outputs if "data" in out]
    assert "### Model card\n\n#### Purpose\n\nFor homes.\n" in shown
    (tmp_path / "gate.yaml").write_text("latency_budget: {p99_ms: 10000}")
    request = request_transition(view_model(version_store, NAME), "promote", version=2, stage="staging")
    (latency,) = load_gate(tmp_path / "gate.yaml").judge(version_store, request).results
    assert latency.outcome == "pass" and run.info.run_name in latency.evidence


def test_without_a_model_it_shows_the_registered_models(deploy: Callable[..., Any], tmp_path: Path) -> None:
    run, done = deploy(model="")

    assert done.returncode == 0, done.stderr
    assert run.info.status == "FINISHED" and not run.data.metrics
    assert NAME in (tmp_path / "out.ipynb").read_text()
