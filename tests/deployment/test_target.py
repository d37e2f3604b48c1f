"""The target version: which version is chosen, and the files to build and run it elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.docker import NAME, deploy_settings

from boostlab.deployment.target import choose_target, write_output
from boostlab.errors import LabError


def test_chooses_the_version_in_the_stage_and_labels_its_image(version_store: Any) -> None:
    target = choose_target(version_store, deploy_settings(stage="produção", builder="lean"), commit="abc")

    assert (target.model, target.version, target.stage) == (NAME, 2, "production")
    assert (target.reference, target.service_name) == (f"{NAME}:v2", NAME)
    assert (target.folder / "MLmodel").is_file()
    assert target.labels["org.opencontainers.image.revision"] == "abc"
    assert target.labels["boostlab.run"] == target.run_id
    assert (target.labels["boostlab.version"], target.labels["boostlab.builder"]) == ("2", "lean")
    assert "boostlab.model_card" not in target.labels


def test_a_label_points_to_the_model_card_of_the_run(version_store: Any) -> None:
    run_id = version_store.get_model_version(NAME, "1").run_id
    version_store.set_tag(run_id, "boostlab.model_card", "model_card.html")
    try:
        target = choose_target(version_store, deploy_settings(version=1))
        assert target.labels["boostlab.model_card"] == f"runs:/{run_id}/model_card.html"
    finally:
        version_store.delete_tag(run_id, "boostlab.model_card")


def test_chooses_a_version_by_its_number_and_names_its_image(version_store: Any) -> None:
    target = choose_target(version_store, deploy_settings(version=1, image="team/my_homes", push_to="localhost:5000"))

    assert (target.version, target.reference) == (1, "localhost:5000/team/my_homes:v1")
    assert (target.image_name, target.service_name) == ("my_homes", "my-homes")


def test_refuses_a_name_that_images_of_another_model_have(version_store: Any) -> None:
    twin = NAME.replace("-", " ").title()
    version_store.create_registered_model(twin)
    try:
        words = rf"images of '{NAME}' would be named '{NAME}', as those of '{twin}'.*Name the images: -p image NAME"
        with pytest.raises(LabError, match=words):
            choose_target(version_store, deploy_settings())
        assert choose_target(version_store, deploy_settings(image="homes")).reference == "homes:v2"
    finally:
        version_store.delete_registered_model(twin)


def test_names_the_stages_that_have_a_version_if_the_wanted_one_has_none(version_store: Any) -> None:
    with pytest.raises(LabError, match=r"has no version in test \(production: version 2\)"):
        choose_target(version_store, deploy_settings(stage="teste"))


@pytest.mark.parametrize("builder", ["lean", "mlflow"])
def test_writes_a_context_and_manifests_into_an_empty_folder(builder: str, version_store: Any, tmp_path: Path) -> None:
    settings = deploy_settings(output="context", builder=builder, folder=str(tmp_path / "out"), port=9000)
    target = choose_target(version_store, settings)

    folder = write_output(target, settings)

    assert folder == tmp_path / "out" and (folder / "context" / "Dockerfile").is_file()
    assert yaml.safe_load((folder / "compose.yaml").read_text())["services"]["model"]["ports"] == ["127.0.0.1:9000:8080"]
    deployment, *_ = yaml.safe_load_all((folder / "kubernetes.yaml").read_text())
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == f"{NAME}:v2"
    with pytest.raises(LabError, match="Choose another folder"):
        write_output(target, settings)
