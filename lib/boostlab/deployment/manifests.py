"""Compose and Kubernetes files that run an image elsewhere, with the same restrictions as during the parity check."""

from __future__ import annotations

from collections.abc import Mapping

from boostlab.deployment.context import PORT, SHARED_PORT_LABEL, render_template

LONGEST_NAME = 63  # of a Kubernetes Service


def render_manifests(name: str, image: str, *, labels: Mapping[str, str], port: int = PORT) -> dict[str, str]:
    """Return the text of each file by its name; `port` is for Compose.

    The image's `labels` become Kubernetes annotations, and tell whether its server has ``/livez`` and ``/readyz``.
    """
    values = {"image": image, "labels": labels, "host_port": port, "has_probes": SHARED_PORT_LABEL in labels}
    names = {"compose.yaml": name, "kubernetes.yaml": name_service(name)}
    return {file: render_template(file, name=own, **values) for file, own in names.items()}


def name_service(name: str) -> str:
    """Return a name in the form of a Kubernetes Service: it starts with a letter, and is not too long.

    Examples
    --------
    >>> name_service("2026-homes")
    'model-2026-homes'
    """
    return (name if name[0].isalpha() else f"model-{name}")[:LONGEST_NAME].rstrip("-")
