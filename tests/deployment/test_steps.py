"""The steps of a deployment that needs no engine, and what they show: tables, a plot, sentences, a command that works."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.docker import NAME, deploy_settings, start_recording

from boostlab.deployment import Deployment
from boostlab.deployment.load_test import LoadResult
from boostlab.deployment.release import Image
from boostlab.deployment.service import Service, run_process
from boostlab.deployment.steps import describe_release, plot_latency, tabulate_checks
from boostlab.deployment.target import Target
from boostlab.deployment.verification import CheckResult, VerificationReport

REPORT = VerificationReport(
    [CheckResult("a", True, "equal"), CheckResult("b", False, "status 500")],
    {1: LoadResult([0.001, 0.003], seconds=1.0), 8: LoadResult([0.002] * 4000, seconds=1.0)},
    start_s=1.25,
)


@pytest.fixture
def deploy(version_store: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that plans a deployment in the store with two versions."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", version_store.tracking_uri)
    return lambda **given: Deployment(start_recording(), deploy_settings(**given))


def test_without_a_model_it_shows_the_registered_models_and_does_nothing(deploy: Any) -> None:
    deployment = deploy(model="")

    assert NAME in deployment.show_target()._repr_html_()
    assert deployment.build() == "No image is built."
    assert not deployment.verify().rows and deployment.plot_latency() is None
    assert deployment.release() == "Nothing is released."
    assert not deployment.tabulate().rows
    assert "-p model NAME" in deployment.summarize()


def test_a_context_is_written_and_not_verified(deploy: Any, tmp_path: Path) -> None:
    deployment = deploy(output="context", builder="lean", folder=str(tmp_path / "out"))

    assert dict(deployment.show_target().rows)["version"] == "2"
    assert f"docker build {tmp_path}/out/context" in deployment.build()
    assert (tmp_path / "out" / "context" / "Dockerfile").is_file()
    assert not deployment.verify().rows and deployment.plot_latency() is None
    assert deployment.release() == "Nothing is released."
    assert "is written as a build context" in deployment.summarize()


def test_an_image_that_was_not_verified_is_not_released(deploy: Any) -> None:
    assert deploy().release() == "Nothing is released."


def test_tables_show_the_target_the_checks_and_the_figures(deploy: Any) -> None:
    deployment = deploy()
    deployment.report, deployment.image = REPORT, Image("homes:v3", "sha256:0", 432.1, 5.0)

    assert dict(deployment.show_target().rows) == {
        "model": NAME, "version": "2", "stage": "production", "run": deployment.target.run_id, "image": f"{NAME}:v2",
    }  # fmt: skip
    assert [row[:2] for row in tabulate_checks(REPORT).rows] == [("a", "passed"), ("b", "FAILED")]
    assert dict(deployment.tabulate().rows) == {
        "checks passed": "1 of 2", "start (s)": "1.2", "size (MB)": "432",
        "p50, p99 for 1 client (ms)": "3.0, 3.0", "throughput for 1 client (requests/s)": "2",
        "p50, p99 for 8 clients (ms)": "2.0, 2.0", "throughput for 8 clients (requests/s)": "4,000",
    }  # fmt: skip


def test_the_plot_names_the_latencies_in_milliseconds() -> None:
    (axes,) = plot_latency(REPORT).axes

    assert axes.get_legend_handles_labels()[1] == ["1 client: p50 2.0 ms, p99 3.0 ms", "8 clients: p50 2.0 ms, p99 2.0 ms"]


def test_the_sentence_names_the_slowest_and_the_fastest(deploy: Any) -> None:
    deployment = deploy(output="process")
    deployment.report = REPORT

    text = deployment.summarize()
    assert f"Version 2 of `{NAME}` passed 1 of 2 checks, p99 3.0 ms for 1 client, 4,000 requests/s for 8 clients" in text
    assert "is served by a process" in text


@pytest.mark.parametrize("dataset", ["iris", "own", "own_quantiles"])
def test_the_shown_command_gets_one_answer(dataset: str, package: Callable[[str], Any]) -> None:
    folder = package(dataset)[0]
    target = Target(model="homes", version=3, stage="production", run_id="f00", folder=folder, repository="homes", labels={})
    with run_process(folder) as service:
        shown = describe_release("homes:v3@sha256:0", Service(service.address, 1.0, "boostlab-homes"), target)
        call = next(line for line in shown.splitlines() if line.startswith("curl "))
        done = subprocess.run(["bash", "-c", f"{call} -s"], capture_output=True, text=True, timeout=60, check=True)

    assert len(json.loads(done.stdout)["predictions"]) == 1
    assert "until `docker rm -f -v boostlab-homes boostlab-homes-port`" in shown
