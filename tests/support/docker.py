"""A real Docker engine for tests: its client, small images, and one image of each builder for all tests of a session.

Modules that use the engine set ``pytestmark = NEEDS_ENGINE``, and single tests have the decorator ``@needs_engine``, so that one
worker runs them all and builds each image once.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import nbformat
import pytest
from tests.support.paths import PROJECT
from tests.support.registry import HOPELESS, STRONG, add_version
from tests.support.runs import make_facts
from tests.support.stores import NewStore

from boostlab.deployment.docker_containers import connect_engine
from boostlab.deployment.docker_images import build_image
from boostlab.deployment.release import Image, make_image
from boostlab.deployment.settings import Deploy
from boostlab.deployment.target import Target, choose_target
from boostlab.errors import DeploymentError
from boostlab.notebook.parameters import check_parameters
from boostlab.tracking.journal import Journal
from boostlab.tracking.run import Run

DEPLOY = PROJECT / "notebooks" / "deploy.ipynb"
NAME = f"boostlab-test-{os.getpid()}"  # of the registered model and, at the start, of each image
BASE = f"python:{platform.python_version()}-slim"
ANSWERS = 'STOPSIGNAL SIGINT\nRUN mkdir /w && echo > /w/health\nENTRYPOINT ["python", "-m", "http.server", "8080", "-d", "/w"]\n'
DIES = 'ENTRYPOINT ["sh", "-c", "echo out of cheese; exit 4"]\n'
SLEEPS = 'ENTRYPOINT ["sleep", "60"]\n'

NEEDS_ENGINE = [pytest.mark.slow, pytest.mark.xdist_group("docker")]
Test = TypeVar("Test", bound=Callable[..., None])
Built = Callable[[str], tuple[Target, Image]]


def needs_engine(test: Test) -> Test:
    """Mark one test that uses the engine, in a module with others that do not."""
    for mark in NEEDS_ENGINE:
        test = mark(test)
    return test


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """Return the engine's client, and remove the images that the tests made."""
    try:
        client = connect_engine()
    except DeploymentError as error:
        pytest.skip(str(error))
    yield client
    for name in list_images(client):
        client.images.remove(name, force=True)
    client.close()


@pytest.fixture(scope="session")
def version_store(tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> Any:
    """Return a client of a store with two versions of one model; the second is in production."""
    from boostlab.tracking.store import find_store, open_store

    folder = tmp_path_factory.mktemp("versions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        client = open_store(find_store(new_store(folder), project=folder)).client
        add_version(client, NAME, rounds=HOPELESS)
        add_version(client, NAME, rounds=STRONG)
    client.set_registered_model_alias(NAME, "production", "2")
    return client


@pytest.fixture(scope="session")
def built(version_store: Any, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return a function that gives the target in production and its image by a builder; use it with `engine`."""

    @cache
    def build(builder: str) -> tuple[Target, Image]:
        settings = deploy_settings(builder=builder, image=f"{NAME}-{builder}")
        target = choose_target(version_store, settings)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
            return target, make_image(target, start_recording(), settings)

    return build


def deploy_settings(**given: object) -> Deploy:
    """Return the notebook's settings: its defaults and the given values."""
    return cast(Deploy, check_parameters(nbformat.read(DEPLOY, as_version=4), {"model": NAME, **given}))


def start_recording() -> Run:
    """Return a run whose journal no process sends."""
    return Run(Journal.create(make_facts(run_id=os.urandom(16).hex())))


def build_from(engine: Any, folder: Path, dockerfile: str, **options: Any) -> str:
    """Build an image from a Dockerfile and return its name."""
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    build_image(engine, folder, f"{NAME}:small", **options)
    return f"{NAME}:small"


def list_images(engine: Any) -> list[str]:
    """Return the names of the tests' images."""
    summaries = engine.api.images()  # images.list() asks for each one, and fails if another test removes it in between
    return sorted(tag for image in summaries for tag in image["RepoTags"] or () if NAME in tag)


def list_containers(engine: Any) -> list[str]:
    """Return the names of the containers of the tests' images."""
    own = {image["Id"] for image in engine.api.images() if NAME in str(image["RepoTags"])}
    containers = [one for one in engine.api.containers(all=True) if one["ImageID"] in own]
    return sorted(name.removeprefix("/") for one in containers for name in one["Names"])
