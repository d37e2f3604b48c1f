"""Compose and Kubernetes files that run an image elsewhere, with the same restrictions as during the parity check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from boostlab.deployment.context import PORT, STOP_TIMEOUT_S, TMP_SIZE_MB, UID

CPUS = 2
MEMORY_MB = 1024


def render_manifests(name: str, image: str, *, labels: Mapping[str, str], port: int = PORT) -> dict[str, str]:
    """Return the text of each file by its name; `port` is for Compose, `labels` become Kubernetes annotations."""
    return {
        "compose.yaml": render_compose(name, image, port=port),
        "kubernetes.yaml": render_kubernetes(name, image, labels=labels),
    }


def render_compose(name: str, image: str, *, port: int = PORT) -> str:
    """Return a Compose file that runs an image on one machine."""
    service = {
        "image": image,
        "ports": [f"127.0.0.1:{port}:{PORT}"],
        "read_only": True,
        "tmpfs": [f"/tmp:size={TMP_SIZE_MB}m"],  # noqa: S108
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "user": f"{UID}:{UID}",
        "restart": "unless-stopped",
        "stop_grace_period": f"{STOP_TIMEOUT_S}s",
        "deploy": {"resources": {"limits": {"cpus": f"{CPUS:.1f}", "memory": f"{MEMORY_MB}M"}}},
    }
    return yaml.safe_dump({"name": name, "services": {"model": service}}, sort_keys=False)


def render_kubernetes(name: str, image: str, *, labels: Mapping[str, str]) -> str:
    """Return a Deployment and a Service: probes, limits, non-root user, read-only root, no service account token."""
    app = {"app.kubernetes.io/name": name}
    container: dict[str, Any] = {
        "name": "model",
        "image": image,
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": str(CPUS), "memory": f"{MEMORY_MB}Mi"},
        },
        "startupProbe": _probe("/ping", periodSeconds=2, failureThreshold=60),
        "livenessProbe": _probe("/ping", periodSeconds=10, timeoutSeconds=5),
        "readinessProbe": _probe("/health", periodSeconds=5, timeoutSeconds=3),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": STOP_TIMEOUT_S,
        "securityContext": {"runAsNonRoot": True, "runAsUser": UID, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": f"{TMP_SIZE_MB}Mi"}}],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": app, "annotations": dict(labels)},
        "spec": {"replicas": 2, "selector": {"matchLabels": app}, "template": {"metadata": {"labels": app}, "spec": pod}},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": app},
        "spec": {"selector": app, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }
    return yaml.safe_dump_all([deployment, service], sort_keys=False)


def _probe(path: str, **timing: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http"}, **timing}
