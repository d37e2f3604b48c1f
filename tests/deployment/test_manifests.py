"""Compose and Kubernetes files: valid by their official schemas, and as strict as the parity check."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from boostlab.deployment.context import SHARED_PORT_LABEL, STOP_TIMEOUT_S, UID
from boostlab.deployment.manifests import render_manifests

LABELS = {"boostlab.version": "3"}


def test_manifests_restrict_the_container_as_the_parity_check_does() -> None:
    texts = render_manifests("homes", "homes:v3", labels=LABELS, port=9000)
    compose = yaml.safe_load(texts["compose.yaml"])["services"]["model"]
    deployment, service, *_ = yaml.safe_load_all(texts["kubernetes.yaml"])
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert compose["read_only"] and compose["cap_drop"] == ["ALL"] and compose["ports"] == ["127.0.0.1:9000:8080"]
    assert compose["user"] == f"{UID}:{UID}" and "runAsUser" not in pod["securityContext"]  # the image's, or OpenShift's own
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


@pytest.mark.parametrize(
    ("labels", "live", "ready"), [(LABELS, "/ping", "/health"), (LABELS | {SHARED_PORT_LABEL: "1"}, "/livez", "/readyz")]
)
def test_a_full_server_is_not_killed_and_a_draining_one_gets_no_request(labels: dict[str, str], live: str, ready: str) -> None:
    deployment, *_ = yaml.safe_load_all(render_manifests("homes", "homes:v3", labels=labels)["kubernetes.yaml"])
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert container["livenessProbe"]["httpGet"]["path"] == live
    assert container["readinessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == ready
    leave_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] == leave_s + STOP_TIMEOUT_S and pod["enableServiceLinks"] is False


def test_an_update_and_a_drained_node_leave_servers_running() -> None:
    objects = {
        one["kind"]: one for one in yaml.safe_load_all(render_manifests("homes", "h:v3", labels=LABELS)["kubernetes.yaml"])
    }

    deployment, scaler = objects["Deployment"]["spec"], objects["HorizontalPodAutoscaler"]["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert "replicas" not in deployment and scaler["minReplicas"] >= 2  # a second apply would undo the autoscaler's number
    assert scaler["scaleTargetRef"]["name"] == objects["Deployment"]["metadata"]["name"]
    budget = objects["PodDisruptionBudget"]["spec"]
    assert budget["maxUnavailable"] == 1 and budget["selector"] == deployment["selector"]


@pytest.mark.parametrize("name", ["homes", "2026-homes", "h" * 80, "2" * 80, f"{'h' * 62}-x"])
def test_names_objects_as_kubernetes_accepts_them(name: str) -> None:
    objects = list(yaml.safe_load_all(render_manifests(name, "homes:v3", labels=LABELS)["kubernetes.yaml"]))

    assert len(objects) == 4
    (own,) = {one["metadata"]["name"] for one in objects}
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", own)


def test_any_text_stays_a_text() -> None:
    labels = {"a": "no", "b": "q\"': {x} \\ é\n- 1", "c": "1e3"}
    texts = render_manifests("true", "null:v1", labels=labels)
    compose = yaml.safe_load(texts["compose.yaml"])
    deployment, *_ = yaml.safe_load_all(texts["kubernetes.yaml"])
    assert (compose["name"], compose["services"]["model"]["image"]) == ("true", "null:v1")
    assert (deployment["metadata"]["name"], deployment["metadata"]["annotations"]) == ("true", labels)
