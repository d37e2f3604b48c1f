"""MLflow's UI: its address, its pages, and the command that starts it.

In JupyterLab it is a page of the Jupyter server (:func:`describe_proxy`), started at the first visit, on a socket that only its
user can open. Elsewhere a command starts it; links to the UI name the command.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from boostlab.tracking.store import Store, find_project, find_store

PROXY_NAME = "mlflow"
PROXY_VARIABLE = "BOOSTLAB_PROXIED_STORE"  # in the environment of a Jupyter server and its kernels: the store that its UI shows
STORE_VARIABLE = "MLFLOW_BACKEND_STORE_URI"  # MLflow's: the address may hold a password, and arguments are visible to all users
START_TIMEOUT_S = 300  # on a busy machine; it answers as soon as it can


@dataclass(frozen=True)
class MlflowUI:
    """MLflow's UI on one store."""

    address: str = "http://127.0.0.1:5000/"  # ends with a slash
    command: str = ""  # starts the UI; empty where it is always there

    def experiment_url(self, experiment_id: str) -> str:
        """Return the address of an experiment's page."""
        return f"{self.address}#/experiments/{experiment_id}/runs"

    def run_url(self, experiment_id: str, run_id: str) -> str:
        """Return the address of a run's page."""
        return f"{self.experiment_url(experiment_id)}/{run_id}"

    def artifact_url(self, experiment_id: str, run_id: str, path: str) -> str:
        """Return the address of the page that shows an artifact of a run."""
        return f"{self.run_url(experiment_id, run_id)}/artifacts/{quote(path)}"

    def model_url(self, experiment_id: str, model_id: str) -> str:
        """Return the address of the page of a logged model."""
        return f"{self.address}#/experiments/{experiment_id}/models/{model_id}"

    def version_url(self, name: str, version: int) -> str:
        """Return the address of the page of a registered version."""
        return f"{self.address}#/models/{quote(name, safe='')}/versions/{version}"


def find_ui(store: Store) -> MlflowUI:
    """Return the UI that shows a store."""
    if store.scheme in ("http", "https"):
        return MlflowUI(re.sub("//[^/@]*@", "//", store.uri) + "/")
    if os.environ.get(PROXY_VARIABLE) == store.shown:
        from boostlab.notebook.session import find_session

        server = find_session().server
        if server:
            return MlflowUI(f"{server}{PROXY_NAME}/")
    if store.scheme == "sqlite" and store.path.name == "mlflow.db" and (store.path.parent / "Makefile").exists():
        return MlflowUI(command="make ui")  # the project's own store
    allow = "MLFLOW_ALLOW_FILE_STORE=true " if store.scheme == "file" else ""
    return MlflowUI(command=f"{allow}mlflow ui --backend-store-uri {shlex.quote(store.shown)}")


def build_command(store: Store) -> list[str]:
    """Return the command that serves the UI of a local store or a database; the store's address is in STORE_VARIABLE."""
    root = ["--default-artifact-root", store.artifact_uri] if store.artifact_uri else []
    return [sys.executable, "-P", "-m", "mlflow", "ui", *root]


def describe_proxy() -> dict[str, Any]:
    """Describe the UI to jupyter-server-proxy, whose entry point calls this when a Jupyter server starts."""
    store = find_store("", project=find_project())
    os.environ[PROXY_VARIABLE] = store.shown  # for the kernels of this server
    return {
        "command": [sys.executable, "-P", "-m", "boostlab.tracking.ui_start", "{unix_socket}"],
        "unix_socket": True,
        "timeout": START_TIMEOUT_S,
        "launcher_entry": {"title": "MLflow", "category": "Other"},
    }
