"""Images in a real engine: failed builds and why they failed, leftovers of builds, missing images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.docker import BASE, NAME, build_from, needs_engine
from tests.support.waiting import wait_until

from boostlab.deployment.context import STAGE_LABEL
from boostlab.deployment.docker_images import explain_build, find_image, remove_stages
from boostlab.errors import DeploymentError


@needs_engine
def test_shows_the_end_of_a_failed_build(engine: Any, tmp_path: Path) -> None:
    log: list[str] = []
    with pytest.raises(DeploymentError, match=r"(?s)The build ended:.*no cheese today.*returned a non-zero code: 3"):
        build_from(engine, tmp_path, f"FROM {BASE}\nRUN echo no cheese today && exit 3\n", log=log)
    assert any("no cheese today" in line for line in log)


@needs_engine
def test_hands_arguments_to_the_build(engine: Any, tmp_path: Path) -> None:
    log: list[str] = []
    dockerfile = f"FROM {BASE}\nARG PIP_INDEX_URL\nRUN echo index $PIP_INDEX_URL and proxy $HTTPS_PROXY\n"
    arguments = {"PIP_INDEX_URL": f"http://{NAME}", "HTTPS_PROXY": "http://me:secret@proxy"}
    image = build_from(engine, tmp_path, dockerfile, log=log, arguments=arguments)

    assert f"index http://{NAME} and proxy http://me:secret@proxy\n" in "".join(log)
    assert not any("secret" in entry["CreatedBy"] for entry in engine.images.get(image).history())


@needs_engine
def test_says_that_the_base_image_cannot_be_pulled(engine: Any, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"base image .*-p base_image"):
        build_from(engine, tmp_path, "FROM localhost:1/no/such:image\n")


@needs_engine
def test_says_that_the_engine_has_no_disk_space(engine: Any, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"(?s)has no disk space left\. `docker system prune` frees some\. .*dd: "):
        # /dev/shm holds 64 MB in each step
        build_from(engine, tmp_path, f"FROM {BASE}\nRUN dd if=/dev/zero of=/dev/shm/full bs=1M\n")


@needs_engine
def test_removes_the_first_stages_of_old_builds_and_no_other_image(engine: Any, tmp_path: Path) -> None:
    def count(stage: str) -> int:
        return len(engine.images.list(filters={"dangling": True, "label": f"{STAGE_LABEL}={stage}"}))

    def remove(stage: str) -> bool:
        remove_stages(engine, stage, age="0s")
        return not count(stage)

    dockerfile = f"FROM {BASE} AS build\nLABEL {STAGE_LABEL}={{}}\nRUN touch /x\nFROM {BASE}\nCOPY --from=build /x /\n"
    for stage in (NAME, f"{NAME}-other"):
        build_from(engine, tmp_path, dockerfile.format(stage))
    remove_stages(engine, NAME)
    assert (count(NAME), count(f"{NAME}-other")) == (1, 1)
    wait_until(lambda: remove(NAME))  # the engine measures an image's age in whole seconds
    assert count(f"{NAME}-other") == 1
    assert find_image(engine, f"{NAME}:small")
    wait_until(lambda: remove(f"{NAME}-other"))


@needs_engine
def test_names_an_image_that_the_engine_does_not_have(engine: Any) -> None:
    with pytest.raises(DeploymentError, match=f"The engine has no image {NAME}:none. Build it"):
        find_image(engine, f"{NAME}:none")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("pull access denied for python, repository does not exist", "The base image cannot be pulled: .*-p base_image"),
        ("manifest for python:3.99 not found: manifest unknown", "The base image cannot be pulled: .*-p base_image"),
        ("dial tcp: lookup registry on 10.0.0.1:53: no such host", ".* its registry cannot be reached: .*-p base_image"),
        ("write /app: no space left on device", ".*no disk space left"),
        ("exit code 1", "(?s)The image cannot be built. The build ended:\nStep 2.*exit code 1"),
    ],
)
def test_explains_why_a_build_failed(error: str, words: str) -> None:
    assert re.match(words, explain_build(error, "Step 1\n" + "Step 2\n" * 20))
