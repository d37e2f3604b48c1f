"""How an image is run elsewhere: a Compose file and Kubernetes manifests, as strict about rights as the proof was."""

from __future__ import annotations

from typing import Any

import yaml

PORT = 8080
UID = 10001
LIMITS = {"cpus": 2.0, "memory_mb": 1024}


def render_compose(name: str, image: str, *, port: int = PORT) -> str:
    """Return a Compose file that runs an image on one machine."""
    service = {
        "image": image,
        "ports": [f"127.0.0.1:{port}:{PORT}"],
        "read_only": True,
        "tmpfs": ["/tmp:size=64m"],  # noqa: S108
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "user": f"{UID}:{UID}",
        "restart": "unless-stopped",
        "stop_grace_period": "40s",
        "deploy": {"resources": {"limits": {"cpus": str(LIMITS["cpus"]), "memory": f"{LIMITS['memory_mb']}M"}}},
    }
    return yaml.safe_dump({"name": name, "services": {"model": service}}, sort_keys=False)


def render_kubernetes(name: str, image: str, *, labels: dict[str, str]) -> str:
    """Return a Deployment and a Service: probes, limits, non-root, a read-only root, no service account's token."""
    own = {"app.kubernetes.io/name": name}
    container: dict[str, Any] = {
        "name": "model",
        "image": image,
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": str(int(LIMITS["cpus"])), "memory": f"{LIMITS['memory_mb']:.0f}Mi"},
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
        "terminationGracePeriodSeconds": 40,
        "securityContext": {"runAsNonRoot": True, "runAsUser": UID, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": own, "annotations": labels},
        "spec": {"replicas": 2, "selector": {"matchLabels": own}, "template": {"metadata": {"labels": own}, "spec": pod}},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": own},
        "spec": {"selector": own, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }
    return yaml.safe_dump_all([deployment, service], sort_keys=False)


def _probe(path: str, **more: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http"}, **more}
