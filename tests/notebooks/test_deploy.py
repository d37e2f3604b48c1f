"""Real images, built, asked and stopped by a real engine; and what is said where there is none."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from tests.support.common import PAPERMILL, PROJECT, all_runs, artifacts, free_port, wait_until
from tests.support.registry import HOPELESS, STRONG, add_version

from boostlab.deployment import docker_containers as containers, docker_images as builds, summary as deployment_words
from boostlab.deployment.context import STAGE, name_repository, write_context
from boostlab.deployment.docker_containers import DeploymentError
from boostlab.deployment.manifests import render_compose, render_kubernetes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
DEPLOY = PROJECT / "notebooks" / "deploy.ipynb"
NOWHERE = "unix:///nowhere/docker.sock"
NAME = f"boostlab-test-{os.getpid()}"


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    """Return the engine's client, and remove the images that the tests made."""
    try:
        client = containers.connect_engine()
    except DeploymentError as error:
        pytest.skip(str(error))
    yield client
    for image in client.images.list():
        for tag in image.tags:
            if NAME in tag:
                client.images.remove(tag, force=True)
    client.close()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a client of a store with two versions of a model, the second of them in production."""
    from boostlab.tracking.store import find_store, open_store

    folder = tmp_path_factory.mktemp("shelf")
    client = open_store(find_store(f"sqlite:///{folder / 'mlflow.db'}", project=folder)).client
    add_version(client, NAME, rounds=HOPELESS)
    add_version(client, NAME, rounds=STRONG)
    client.set_registered_model_alias(NAME, "production", "2")
    return client


@pytest.fixture
def deploy(shelf: Any, tmp_path: Path) -> Callable[..., tuple[Any, subprocess.CompletedProcess[str]]]:
    """Return a function that runs deploy.ipynb and returns its run and the finished command."""

    def run(*options: object, **environment: str) -> tuple[Any, subprocess.CompletedProcess[str]]:
        given = ["-p", "tracking_uri", shelf.tracking_uri, "-p", "model", NAME, *map(str, options)]
        command = [PAPERMILL, "--no-progress-bar", str(DEPLOY), str(tmp_path / "out.ipynb"), *given]
        env = os.environ | environment
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=800, check=False)
        newest = [one for one in all_runs(shelf) if one.data.tags.get("boostlab.notebook") == "deploy"]
        return (newest or [None])[0], done

    return run


def image_of(client: Any, version: int) -> str:
    return str(client.get_model_version(NAME, str(version)).tags.get("boostlab.image", ""))


def ours(engine: Any) -> list[str]:
    """Return the names of this test's images, and of its containers."""
    tags = [tag for image in engine.images.list() for tag in image.tags if NAME in tag]
    return sorted([*tags, *(str(box.name) for box in engine.containers.list(all=True) if NAME in str(box.image.tags))])


def test_the_version_in_production_becomes_a_lean_image_that_is_proved_kept_and_gone_back_from(
    engine: Any, shelf: Any, deploy: Callable[..., Any]
) -> None:
    run, done = deploy("-p", "builder", "lean", "-p", "keep", "True", "-p", "stage", "produção")
    assert done.returncode == 0, done.stderr
    try:
        assert run.info.status == "FINISHED"
        assert run.data.metrics["checks_failed"] == 0 and run.data.metrics["checks"] >= 14
        assert run.data.metrics["image_mb"] < 450
        kept = {"build/Dockerfile", "build/log.txt", "plots/latency.png", "proof/checks.json", "manifests/compose.yaml"}
        assert kept | {"manifests/kubernetes.yaml"} <= artifacts(shelf, run.info.run_id)
        image = engine.images.get(f"{NAME}:production")
        assert image_of(shelf, 2) == f"{NAME}:v2@{image.id}"
        assert ours(engine) == [f"boostlab-{NAME}", f"{NAME}:production", f"{NAME}:v2"]

        labels = image.labels
        assert labels["org.opencontainers.image.version"] == "2" and labels["boostlab.run"]
        box = engine.containers.get(f"boostlab-{NAME}")
        assert box.exec_run("id -u").output.strip() == b"10001"
        assert box.exec_run("touch /app/x").exit_code != 0
        assert box.exec_run("python -c 'import mlflow'").exit_code != 0
        assert box.exec_run("find /app /tmp ( -name *.whl -o -name .cache -o -name *.part )").output == b""
        wait_until(lambda: box.reload() or box.attrs["State"]["Health"]["Status"] == "healthy")
        shown = Path(done.args[3]).read_text()
        call = next(line for cell in json.loads(shown)["cells"] for line in _lines(cell) if line.startswith("curl "))
        answer = subprocess.run(["bash", "-c", f"{call} -s"], capture_output=True, text=True, timeout=60, check=True)
        assert len(json.loads(answer.stdout)["predictions"]) == 1
        box.stop()
        assert box.wait()["StatusCode"] == 0  # not 137: it did not have to be killed
    finally:
        engine.containers.get(f"boostlab-{NAME}").remove(force=True)

    first, done = deploy("-p", "builder", "lean", "-p", "version", 1)
    assert done.returncode == 0, done.stderr
    assert "production" not in image_of(shelf, 1) and engine.images.get(f"{NAME}:production").id == image.id
    shelf.set_registered_model_alias(NAME, "production", "1")
    back, done = deploy("-p", "build", "False")
    shelf.set_registered_model_alias(NAME, "production", "2")
    assert done.returncode == 0, done.stderr
    assert engine.images.get(f"{NAME}:production").id == engine.images.get(f"{NAME}:v1").id != image.id
    assert "build/log.txt" in artifacts(shelf, first.info.run_id) - artifacts(shelf, back.info.run_id)

    # an image that is not what it is called: its answers differ, it gets no name, and nothing is left of the proof
    engine.images.get(f"{NAME}:v1").tag(NAME, "v2")
    before = engine.images.get(f"{NAME}:production").id
    run, done = deploy("-p", "build", "False")
    assert done.returncode == 1 and run.info.status == "FAILED"
    assert "checks failed, so nothing is released" in done.stderr and "answers differ, the first" in done.stderr
    assert engine.images.get(f"{NAME}:production").id == before
    assert image_of(shelf, 2) == f"{NAME}:v2@{image.id}"
    assert ours(engine) == [f"{NAME}:production", f"{NAME}:v1", f"{NAME}:v2"]


def _lines(cell: Any) -> list[str]:
    texts = ["".join(output.get("data", {}).get("text/markdown", "")) for output in cell.get("outputs", [])]
    return "\n".join(texts).splitlines()


def test_the_image_that_mlflow_builds_is_proved_alike(engine: Any, deploy: Callable[..., Any]) -> None:
    run, done = deploy("-p", "image", f"{NAME}-stock")

    assert done.returncode == 0, done.stderr
    assert run.data.metrics["checks_failed"] == 0
    image = engine.images.get(f"{NAME}-stock:v2")
    assert image.attrs["Config"]["User"] == "10001:10001"
    assert image.attrs["Config"]["Entrypoint"][0] == "uvicorn"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Start Debian's docker-registry on loopback and return its address."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    address = f"localhost:{free_port()}"
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(tmp_path / "images")}}, "http": {"addr": address}}
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(config))
    process = subprocess.Popen(["docker-registry", "serve", str(tmp_path / "registry.yaml")], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(address))
        yield address
    finally:
        process.terminate()
        process.wait()


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.usefixtures("engine")
def test_pushes_to_a_registry_and_notes_the_digest_that_it_knows(shelf: Any, deploy: Callable[..., Any], registry: str) -> None:
    _, done = deploy("-p", "builder", "lean", "-p", "registry", registry)

    assert done.returncode == 0, done.stderr
    reference, _, digest = image_of(shelf, 2).partition("@")
    assert reference == f"{registry}/{NAME}:v2"
    head = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    for tag in ("v2", "production"):
        answer = requests.get(f"http://{registry}/v2/{NAME}/manifests/{tag}", headers=head, timeout=60)
        assert answer.headers["Docker-Content-Digest"] == digest


def test_says_that_a_registry_does_not_take_the_image(engine: Any, deploy: Callable[..., Any]) -> None:
    port = free_port()
    run, done = deploy("-p", "builder", "lean", "-p", "registry", f"localhost:{port}")

    assert done.returncode == 1 and run.info.status == "FAILED"
    assert "The registry does not take localhost:" in done.stderr
    assert not [name for name in ours(engine) if name.startswith(f"localhost:{port}")]


def test_without_an_engine_it_says_what_still_works_and_that_works(deploy: Callable[..., Any], tmp_path: Path) -> None:
    run, done = deploy("-p", "builder", "lean", DOCKER_HOST=NOWHERE)
    assert done.returncode == 1 and run.info.status == "FAILED"
    assert f"No Docker engine answers at {NOWHERE}." in done.stderr and "-p output process" in done.stderr

    run, done = deploy("-p", "output", "process", DOCKER_HOST=NOWHERE)
    assert done.returncode == 0, done.stderr
    assert run.data.metrics["checks_failed"] == 0 and run.data.metrics["checks"] >= 14

    for builder in ("lean", "mlflow"):
        options = ["-p", "output", "context", "-p", "builder", builder, "-p", "folder", tmp_path / builder]
        _, done = deploy(*options, DOCKER_HOST=NOWHERE)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / builder / "context" / "Dockerfile").is_file() and (tmp_path / builder / "kubernetes.yaml").is_file()
    _, done = deploy(*options, DOCKER_HOST=NOWHERE)
    assert "is not empty. Name another folder" in done.stderr


CONNECT_WITHOUT_RIGHTS = """
import os
from boostlab import builds, containers
if os.geteuid() == 0:  # whom no file's mode keeps out
    os.setgroups([])
    os.setuid(65534)
containers.connect_engine()
"""


def test_says_that_this_user_may_not_talk_to_the_engine(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "docker.sock"))
        listening.listen()
        (tmp_path / "docker.sock").chmod(0)
        env = os.environ | {"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}
        command = [sys.executable, "-c", CONNECT_WITHOUT_RIGHTS]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert f"This user may not talk to the Docker engine at unix://{tmp_path}/docker.sock. Join the group docker" in done.stderr


def test_names_the_stages_that_have_a_version_where_the_wanted_one_has_none(deploy: Callable[..., Any]) -> None:
    _, done = deploy("-p", "stage", "teste", DOCKER_HOST=NOWHERE)

    assert "has no version in test (production: version 2)" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-p", "image", "Not An Image"], "small letters, digits"),
        (["-p", "output", "context", "-p", "keep", "True"], "output context makes no image"),
        (["-p", "port", "70000"], "Allowed: 0 <= port <= 65535"),
        (["-p", "builder", "podman"], "mlflow"),
    ],
)
def test_refuses_a_wrong_request_before_anything_runs(
    shelf: Any, deploy: Callable[..., Any], options: list[str], words: str
) -> None:
    before = len(all_runs(shelf))
    _, done = deploy(*options)

    assert done.returncode == 1 and words in done.stderr
    assert len(all_runs(shelf)) == before


def build(engine: Any, folder: Path, dockerfile: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    builds.build_image(engine, folder, f"{NAME}:odd")
    return f"{NAME}:odd"


BASE = f"python:{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}-slim"


def test_shows_the_end_of_a_build_that_fails(engine: Any, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"(?s)The build ended:.*no cheese today.*returned a non-zero code: 3") as caught:
        build(engine, tmp_path, f"FROM {BASE}\nRUN echo no cheese today && exit 3\n")
    assert "no cheese today" in caught.value.log  # type: ignore[attr-defined]


def test_says_that_a_base_image_is_not_to_be_had(engine: Any, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="base image"):
        build(engine, tmp_path, "FROM localhost:1/no/such:image\n")


def test_says_that_the_engine_has_no_disk_space(engine: Any, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"(?s)has no disk space left\. `docker system prune` frees some\. .*dd: "):
        build(engine, tmp_path, f"FROM {BASE}\nRUN dd if=/dev/zero of=/dev/shm/full bs=1M\n")  # the 64 MB that each step has


def test_drops_what_old_builds_left_of_their_first_stage_and_no_other_image(engine: Any, tmp_path: Path) -> None:
    def left(stage: str) -> int:
        return len(engine.images.list(filters={"dangling": True, "label": f"{STAGE}={stage}"}))

    def drop(stage: str) -> bool:
        builds.drop_stages(engine, stage, age="0s")
        return not left(stage)

    dockerfile = f"FROM {BASE} AS build\nLABEL {STAGE}={{}}\nRUN touch /x\nFROM {BASE}\nCOPY --from=build /x /\n"
    for stage in (NAME, f"{NAME}-other"):
        build(engine, tmp_path, dockerfile.format(stage))
    builds.drop_stages(engine, NAME)
    assert (left(NAME), left(f"{NAME}-other")) == (1, 1)
    wait_until(lambda: drop(NAME))  # the engine counts whole seconds
    assert left(f"{NAME}-other") == 1
    assert builds.find_image(engine, f"{NAME}:odd")
    wait_until(lambda: drop(f"{NAME}-other"))


def test_shows_the_log_of_a_container_that_dies_and_removes_it(engine: Any, tmp_path: Path) -> None:
    image = build(engine, tmp_path, f'FROM {BASE}\nENTRYPOINT ["sh", "-c", "echo out of cheese; exit 4"]\n')
    with (
        pytest.raises(DeploymentError, match=r"(?s)died at its start, with exit code 4.*out of cheese"),
        containers.run_image(engine, image),
    ):
        pass
    assert not [box for box in engine.containers.list(all=True) if image in box.image.tags]


def test_says_that_a_port_is_taken(engine: Any, tmp_path: Path) -> None:
    image = build(engine, tmp_path, f'FROM {BASE}\nENTRYPOINT ["sleep", "60"]\n')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DeploymentError, match=f"Port {port} is taken"), containers.run_image(engine, image, port=port):
            pass
    assert not [box for box in engine.containers.list(all=True) if image in box.image.tags]


def test_the_lean_image_of_a_model_trained_on_a_gpu_holds_no_gpu_libraries(package: Callable[[str], Any], tmp_path: Path) -> None:
    shutil.copytree(package("iris")[0], tmp_path / "model")
    contract = tmp_path / "model" / "data" / "model_data" / "contract.json"
    contract.write_text(json.dumps(json.loads(contract.read_text()) | {"device": "cuda:0"}))
    write_context("lean", tmp_path / "model", tmp_path / "context", labels={})

    requirements = (tmp_path / "context" / "requirements.txt").read_text().splitlines()
    assert [line for line in requirements if "xgboost" in line] == [f"xgboost-cpu=={version('xgboost')}"]


ANSWERS = 'STOPSIGNAL SIGINT\nRUN mkdir /w && echo > /w/health\nENTRYPOINT ["python", "-m", "http.server", "8080", "-d", "/w"]\n'


def test_keeps_the_service_that_is_there_until_its_successor_answers(engine: Any, tmp_path: Path) -> None:
    name, port = f"{NAME}-kept", free_port()

    def boxes() -> dict[str, tuple[str, str]]:
        return {str(box.name): (box.id, box.status) for box in engine.containers.list(all=True, filters={"name": name})}

    def replace(*, port: int) -> str:
        with containers.run_image(engine, f"{NAME}:odd", port=port, keep_as=name) as service:
            return service.address

    build(engine, tmp_path, f"FROM {BASE}\n{ANSWERS}")
    try:
        address = replace(port=port)
        first = boxes()
        assert first.keys() == {name}

        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(DeploymentError, match=r"Port \d+ is taken"):
                replace(port=taken.getsockname()[1])
        assert boxes() == first
        wait_until(lambda: containers.is_healthy(address))

        engine.containers.get(name).rename(f"{name}{containers.ASIDE}")  # as a killed process leaves it
        build(engine, tmp_path, f'FROM {BASE}\nENTRYPOINT ["sh", "-c", "echo out of cheese; exit 4"]\n')
        for wanted in (port, 0):
            with pytest.raises(DeploymentError, match="out of cheese"):
                replace(port=wanted)
            assert boxes() == first
            wait_until(lambda: containers.is_healthy(address))

        build(engine, tmp_path, f"FROM {BASE}\n{ANSWERS}")
        assert replace(port=port) == address
        assert boxes().keys() == {name} and boxes() != first
    finally:
        for left in engine.containers.list(all=True, filters={"name": name}):
            left.remove(force=True)


def test_removes_what_a_killed_process_left_behind(engine: Any, tmp_path: Path) -> None:
    image = build(engine, tmp_path, f'FROM {BASE}\nENTRYPOINT ["sleep", "60"]\n')
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = engine.containers.run(image, detach=True, labels={containers.OWNER: str(gone.pid)})
    mine = engine.containers.run(image, detach=True, labels={containers.OWNER: str(os.getpid())})
    try:
        containers.sweep(engine)
        names = {box.id for box in engine.containers.list(all=True)}
        assert left.id not in names and mine.id in names
    finally:
        mine.remove(force=True)


def test_refuses_a_model_without_signature_and_one_of_others(package: Callable[[str], Any], tmp_path: Path) -> None:
    from boostlab.errors import LabError

    folder = tmp_path / "model"
    shutil.copytree(package("iris")[0], folder)
    (folder / "data" / "model_data" / "contract.json").unlink()
    with pytest.raises(LabError, match=r"not made by boostlab: it lacks data/model_data/contract\.json"):
        write_context("lean", folder, tmp_path / "context", labels={})
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(text[: text.index("signature:")])
    with pytest.raises(LabError, match="no signature"):
        write_context("lean", folder, tmp_path / "context", labels={})


def test_manifests_are_as_strict_as_the_proof() -> None:
    compose = yaml.safe_load(render_compose("homes", "homes:v3", port=9000))["services"]["model"]
    deployment, service = yaml.safe_load_all(render_kubernetes("homes", "homes:v3", labels={"boostlab.version": "3"}))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert compose["read_only"] and compose["cap_drop"] == ["ALL"] and compose["ports"] == ["127.0.0.1:9000:8080"]
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys() and container["resources"]["limits"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]


@pytest.mark.parametrize(
    ("text", "validator"),
    [
        (render_compose("homes", "localhost:5000/homes:v3"), ["check-jsonschema", "--builtin-schema", "vendor.compose-spec"]),
        (render_kubernetes("homes", "homes:v3", labels={"boostlab.version": "3"}), ["kubernetes-validate", "--strict"]),
    ],
)
def test_manifests_are_what_compose_and_kubernetes_take(tmp_path: Path, text: str, validator: list[str]) -> None:
    def ask(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "file.yaml").write_text(text)
        command = [str(Path(sys.executable).with_name(validator[0])), *validator[1:], str(tmp_path / "file.yaml")]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    done = ask(text)
    assert done.returncode == 0, done.stdout + done.stderr
    misspelt = text.replace("read_only", "readonly").replace("readOnlyRootFilesystem", "readOnlyRoot")
    assert "unexpected" in (done := ask(misspelt)).stdout + done.stderr


def test_names_a_repository_as_an_engine_takes_it() -> None:
    assert [name_repository(name) for name in ("Casas de Lisboa", "x", "ÇÃO", "a__b")] == ["casas-de-lisboa", "x", "o", "a-b"]


def test_shows_the_registered_models_where_none_is_named(shelf: Any, tmp_path: Path) -> None:
    command = [PAPERMILL, "--no-progress-bar", str(DEPLOY), str(tmp_path / "out.ipynb"), "-p", "tracking_uri", shelf.tracking_uri]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)

    assert done.returncode == 0, done.stderr
    assert NAME in (tmp_path / "out.ipynb").read_text()
    assert deployment_words.describe_image(None, None) == "No image is built."
