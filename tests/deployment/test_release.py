"""Images of both builders in a real engine: build, verify, release, push, keep."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pytest
import requests
import yaml
from tests.deployment.test_parity import save as save_foreign
from tests.support.docker import BASE, NAME, NEEDS_ENGINE, Built, deploy_settings, list_containers, list_images, start_recording
from tests.support.servers import free_port, listens
from tests.support.waiting import wait_until

from boostlab.deployment.context import write_context
from boostlab.deployment.docker_containers import create_container, run_image
from boostlab.deployment.docker_images import read_file
from boostlab.deployment.load_test import LoadResult
from boostlab.deployment.parity import ParityCase, make_example_case, make_parity_case
from boostlab.deployment.release import Image, make_image, release_image, serve_image
from boostlab.deployment.service import is_healthy
from boostlab.deployment.target import Target, choose_target
from boostlab.deployment.verification import CheckResult, VerificationReport, check_answers, verify
from boostlab.errors import DeploymentError
from boostlab.evaluation.holdout import fetch_holdout
from boostlab.models.loading import load_version

pytestmark = NEEDS_ENGINE
LIST_PACKAGES = """
import json
from importlib.metadata import distributions
def describe(one):
    files = one.files or []
    licences = [str(file) for file in files if "licen" in str(file).lower() or "copying" in str(file).lower()]
    licences += [str(path) for path in one._path.rglob("LICEN*")]
    return {"version": one.version, "missing": [str(file) for file in files if not file.locate().exists()], "licences": licences}
print(json.dumps({one.name: describe(one) for one in distributions(path=["/app/lib"])}))
"""
GOOD = VerificationReport([CheckResult("a", True, "equal")], {1: LoadResult([0.1], seconds=1)}, 1.0)
BAD = VerificationReport([CheckResult("a", False, "1 of 5 answers differ")], GOOD.loads, 1.0)


def parity_case(client: Any, target: Target) -> ParityCase:
    model = load_version(client, target.model, target.version)
    return make_parity_case(model, target.folder, fetch_holdout(client, target.run_id))


def rename(engine: Any, built: tuple[Target, Image], repository: str) -> tuple[Target, Image]:
    """Give a built image a temporary name in another repository, as if it was built there."""
    target, image = built
    engine.images.get(image.id).tag(repository, "unverified-0")
    return replace(target, repository=repository), replace(image, reference=f"{repository}:unverified-0")


def noted_image(client: Any) -> str:
    return str(client.get_model_version(NAME, "2").tags.get("boostlab.image", ""))


@pytest.mark.parametrize(("builder", "entrypoint"), [("lean", "/app/python"), ("mlflow", "sh")])
def test_each_builder_makes_an_image_that_passes(
    builder: str, entrypoint: str, engine: Any, version_store: Any, built: Built
) -> None:
    target, image = built(builder)
    with serve_image(target, image) as service:
        report = verify(service, parity_case(version_store, target), load_test_s=0.5)

    assert report.failed == [] and len(report.checks) >= 14
    assert any(check.name == "the contributions of 50 of them" for check in report.checks)
    assert {status for load in report.loads.values() for status in load.statuses} == {200}
    found = engine.images.get(image.reference)
    assert found.attrs["Config"]["User"] == "10001:10001" and found.attrs["Config"]["Entrypoint"][0] == entrypoint
    assert found.labels["org.opencontainers.image.version"] == "2" and found.labels["boostlab.run"] == target.run_id
    assert not list_containers(engine)


def test_the_lean_image_is_small_hardened_and_without_mlflow(engine: Any, built: Built) -> None:
    target, image = built("lean")
    assert image.size_mb - engine.images.get(BASE).attrs["Size"] / 1e6 < 100
    with run_image(engine, image.reference) as service:
        answer = requests.get(f"{service.address}/v2/models/{target.model}/versions/{target.version}", timeout=60)
        assert answer.json()["name"] == target.model
        container = engine.containers.get(service.name)
        assert container.exec_run("id -u").output.strip() == b"10001"
        assert container.exec_run("touch /app/x").exit_code != 0
        for module in ("mlflow", "scipy", "pip", "setuptools", "ensurepip"):
            assert container.exec_run(["/app/python", "-c", f"import {module}"]).exit_code != 0
        assert (
            container.exec_run("find /app /tmp /build ( -name *.whl -o -name .cache -o -name *.part )").exit_code != 0
        )  # no /build
        assert container.exec_run("find /usr /bin /sbin -xdev -perm /6000 -type f").output == b""
        wait_until(lambda: container.reload() or container.attrs["State"]["Health"]["Status"] == "healthy")
        container.stop()
        assert container.wait()["StatusCode"] == 0  # 137 would mean that the engine killed it


def test_the_lean_image_says_what_it_holds(engine: Any, built: Built) -> None:
    _, image = built("lean")
    found = engine.images.get(image.reference)
    bill = json.loads(read_file(engine, image.reference, found.labels["boostlab.sbom"]))
    described = {entry["name"]: entry for entry in bill["components"]}
    with run_image(engine, image.reference) as service:
        done = engine.containers.get(service.name).exec_run(["/app/python", "-c", LIST_PACKAGES])
    packages = json.loads(done.output)

    assert bill["bomFormat"] == "CycloneDX"
    assert {name: entry["version"] for name, entry in described.items()} == {
        name: one["version"] for name, one in packages.items()
    }
    assert {"boostlab", "numpy", "xgboost-cpu"} <= described.keys() and all(entry["licenses"] for entry in described.values())
    assert [name for name, one in packages.items() if one["missing"]] == []
    assert [name for name, one in packages.items() if not one["licences"]] == ["xgboost-cpu"]  # its wheel has no licence's text


def test_the_same_inputs_give_the_same_layers(engine: Any, built: Built, tmp_path: Path) -> None:
    target, image = built("lean")
    write_context("lean", target.folder, tmp_path / "context", labels=target.labels)
    log = list(engine.api.build(path=str(tmp_path / "context"), tag=f"{NAME}:again", nocache=True, rm=True, decode=True))
    first, again = (engine.images.get(name).attrs for name in (image.reference, f"{NAME}:again"))

    assert first["RootFS"]["Layers"] == again["RootFS"]["Layers"], log
    assert first["Config"] | {"Image": ""} == again["Config"] | {"Image": ""}


@pytest.mark.parametrize("builder", ["lean", "mlflow"])
def test_platforms_choose_the_port_the_user_and_an_argument(builder: str, engine: Any, built: Built) -> None:
    options = {"command": ["serve"], "user": "1000690000:0", "environment": {"PORT": "9000"}}  # SageMaker, OpenShift, Cloud Run
    ports = {"9000/tcp": ("127.0.0.1", None)}
    with create_container(engine, built(builder)[1].reference, ports=ports, **options) as container:
        container.reload()
        address = f"http://127.0.0.1:{container.ports['9000/tcp'][0]['HostPort']}"
        wait_until(lambda: is_healthy(address))
        lines = [json.loads(line) for line in container.logs().splitlines()]
        assert lines and all(line.keys() >= {"time", "level"} for line in lines)
        wait_until(lambda: container.reload() or container.attrs["State"]["Health"]["Status"] == "healthy")
        container.remove(force=True)


@pytest.mark.usefixtures("engine")
def test_an_image_of_another_version_fails(version_store: Any, built: Built) -> None:
    target, image = built("lean")
    other = choose_target(version_store, deploy_settings(version=1))
    with serve_image(target, image) as service:
        results = check_answers(service.address, parity_case(version_store, other))

    assert any("answers differ, the first" in result.found for result in results if not result.passed)


def test_releases_a_verified_image_and_finds_it_again(engine: Any, version_store: Any, built: Built) -> None:
    target, image = rename(engine, built("lean"), f"{NAME}-released")

    released = release_image(target, image, GOOD, run=start_recording(), client=version_store, push=False)

    assert released == noted_image(version_store) == f"{NAME}-released:v2@{image.id}"
    names = [name for name in list_images(engine) if name.startswith(f"{NAME}-released")]
    assert names == [f"{NAME}-released:production", f"{NAME}-released:v2"]
    again = make_image(target, start_recording(), deploy_settings(build=False))
    assert (again.reference, again.id) == (f"{NAME}-released:v2", image.id)


def test_a_version_outside_production_does_not_become_the_production_image(engine: Any, version_store: Any, built: Built) -> None:
    target, image = rename(engine, built("lean"), f"{NAME}-staging")
    release_image(replace(target, stage="staging"), image, GOOD, run=start_recording(), client=version_store, push=False)

    assert [name for name in list_images(engine) if name.startswith(f"{NAME}-staging")] == [f"{NAME}-staging:v2"]


def test_a_failed_image_gets_no_name_and_takes_none_away(engine: Any, version_store: Any, built: Built) -> None:
    repository = f"{NAME}-failed"
    target, image = rename(engine, built("lean"), repository)
    engine.images.get(built("mlflow")[1].id).tag(repository, "v2")
    before = noted_image(version_store)

    with pytest.raises(DeploymentError, match="checks failed, so nothing is released"):
        release_image(target, image, BAD, run=start_recording(), client=version_store, push=False)

    assert [name for name in list_images(engine) if name.startswith(repository)] == [f"{repository}:v2"]
    assert engine.images.get(f"{repository}:v2").id == built("mlflow")[1].id
    assert noted_image(version_store) == before


@pytest.fixture
def docker_registry(tmp_path: Path) -> Iterator[str]:
    """Start Debian's docker-registry on the loopback address and return its address."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    port = free_port()
    address = f"localhost:{port}"
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(tmp_path / "images")}}, "http": {"addr": address}}
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(config))
    process = subprocess.Popen(["docker-registry", "serve", str(tmp_path / "registry.yaml")], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens("localhost", port))
        yield address
    finally:
        process.terminate()
        process.wait()


def test_pushes_to_a_docker_registry_and_notes_its_digest(
    engine: Any, version_store: Any, built: Built, docker_registry: str
) -> None:
    target, image = rename(engine, built("lean"), f"{docker_registry}/{NAME}")

    released = release_image(target, image, GOOD, run=start_recording(), client=version_store, push=True)

    reference, _, digest = released.partition("@")
    assert reference == f"{docker_registry}/{NAME}:v2" and released == noted_image(version_store)
    head = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    for tag in ("v2", "production"):
        answer = requests.get(f"http://{docker_registry}/v2/{NAME}/manifests/{tag}", headers=head, timeout=60)
        assert answer.headers["Docker-Content-Digest"] == digest


def test_an_image_that_the_registry_refuses_loses_its_names(engine: Any, version_store: Any, built: Built) -> None:
    repository = f"localhost:{free_port()}/{NAME}"
    target, image = rename(engine, built("lean"), repository)

    with pytest.raises(DeploymentError, match=f"The registry does not accept {repository}:v2: "):
        release_image(target, image, GOOD, run=start_recording(), client=version_store, push=True)

    assert not [name for name in list_images(engine) if name.startswith(repository)]


def test_an_image_of_a_trusted_model_of_another_tool_answers_as_its_code(engine: Any, built: Built, tmp_path: Path) -> None:
    target, _ = built("mlflow")
    settings = deploy_settings(image=f"{NAME}-foreign", trust_code=True)
    model = save_foreign(tmp_path, lambda rows: rows["count"].to_numpy() / 3)
    other = replace(target, folder=model, repository=f"{NAME}-foreign")
    image = make_image(other, start_recording(), settings)
    with serve_image(other, image) as service:
        report = verify(service, make_example_case(mlflow.pyfunc.load_model(str(model)), model), load_test_s=0.1)

    assert report.failed == [] and len(report.checks) == 12
    engine.images.remove(image.reference)
