"""Compose and Kubernetes files: valid by their official schemas, and as strict as the parity check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from boostlab.deployment.context import UID
from boostlab.deployment.manifests import render_manifests

LABELS = {"boostlab.version": "3"}


def test_manifests_restrict_the_container_as_the_parity_check_does() -> None:
    texts = render_manifests("homes", "homes:v3", labels=LABELS, port=9000)
    compose = yaml.safe_load(texts["compose.yaml"])["services"]["model"]
    deployment, service = yaml.safe_load_all(texts["kubernetes.yaml"])
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert compose["read_only"] and compose["cap_drop"] == ["ALL"] and compose["ports"] == ["127.0.0.1:9000:8080"]
    assert compose["user"] == f"{UID}:{UID}" and pod["securityContext"]["runAsUser"] == UID
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys() and container["resources"]["limits"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert deployment["metadata"]["annotations"] == LABELS


@pytest.mark.parametrize(
    ("file", "validator"),
    [
        ("compose.yaml", ["check-jsonschema", "--builtin-schema", "vendor.compose-spec"]),
        ("kubernetes.yaml", ["kubernetes-validate", "--strict"]),
    ],
)
def test_manifests_are_valid_by_the_official_schemas(tmp_path: Path, file: str, validator: list[str]) -> None:
    text = render_manifests("homes", "localhost:5000/homes:v3", labels=LABELS)[file]

    def validate(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "file.yaml").write_text(text)
        command = [str(Path(sys.executable).with_name(validator[0])), *validator[1:], str(tmp_path / "file.yaml")]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    valid = validate(text)
    assert valid.returncode == 0, valid.stdout + valid.stderr
    misspelt = validate(text.replace("read_only", "readonly").replace("readOnlyRootFilesystem", "readOnlyRoot"))
    assert misspelt.returncode != 0 and "unexpected" in misspelt.stdout + misspelt.stderr


def test_any_text_stays_a_text() -> None:
    labels = {"a": "no", "b": "q\"': {x} \\ é\n- 1", "c": "1e3"}
    texts = render_manifests("true", "null:v1", labels=labels)
    compose = yaml.safe_load(texts["compose.yaml"])
    deployment, _ = yaml.safe_load_all(texts["kubernetes.yaml"])
    assert (compose["name"], compose["services"]["model"]["image"]) == ("true", "null:v1")
    assert (deployment["metadata"]["name"], deployment["metadata"]["annotations"]) == ("true", labels)
