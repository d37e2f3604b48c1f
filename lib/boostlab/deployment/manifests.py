"""Compose and Kubernetes files that run an image elsewhere, with the same restrictions as during the parity check."""

from __future__ import annotations

from collections.abc import Mapping

from boostlab.deployment.context import PORT, render_template


def render_manifests(name: str, image: str, *, labels: Mapping[str, str], port: int = PORT) -> dict[str, str]:
    """Return the text of each file by its name; `port` is for Compose, `labels` become Kubernetes annotations."""
    files = ("compose.yaml", "kubernetes.yaml")
    return {file: render_template(file, name=name, image=image, labels=labels, host_port=port) for file in files}
