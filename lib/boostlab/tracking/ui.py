"""MLflow's UI: where it shows a store, and how it is started.

In JupyterLab it is one of the server's own pages (:func:`describe_proxy`), started when first looked at. Elsewhere it is
started by a command, which whoever links to the UI names.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boostlab.tracking.store import Store, find_project, find_store

PROXY_NAME = "mlflow"
PROXY_VARIABLE = "BOOSTLAB_PROXIED_STORE"  # in the environment of a Jupyter server and its kernels: what its UI shows
DEFAULT_ADDRESS = "http://127.0.0.1:5000/"
START_TIMEOUT_S = 60


def find_ui(store: Store) -> dict[str, str]:
    """Return where the UI shows a store (``address``) and the command to give first (``command``; empty: none).

    Returns
    -------
    dict of str to str
    """
    if store.kind in ("http", "https"):
        return {"address": re.sub("//[^/@]*@", "//", store.uri) + "/", "command": ""}
    if os.environ.get(PROXY_VARIABLE) == store.shown:
        from boostlab.notebook.session import find_session

        server = find_session().server
        if server:
            return {"address": f"{server}{PROXY_NAME}/", "command": ""}
    return {"address": DEFAULT_ADDRESS, "command": name_command(store)}


def name_command(store: Store) -> str:
    """Return the command that opens the UI on a store: the Makefile's for a project's own, else MLflow's."""
    if store.kind == "sqlite" and store.path.name == "mlflow.db" and (store.path.parent / "Makefile").exists():
        return "make ui"
    allow = "MLFLOW_ALLOW_FILE_STORE=true " if store.kind == "file" else ""
    return f"{allow}mlflow ui --backend-store-uri {store.shown}"


def build_command(store: Store) -> list[str]:
    """Return the command that serves the UI of a local store or a database, without host and port."""
    root = ["--default-artifact-root", store.artifact_root.as_uri()] if store.artifact_root else []
    return [sys.executable, "-P", "-m", "mlflow", "ui", "--backend-store-uri", store.uri, *root]


def link_run(facts: Mapping[str, Any]) -> str:
    """Return the address of a run's page, of the facts of its journal."""
    return f"{facts['ui']['address']}#/experiments/{facts['experiment_id']}/runs/{facts['run_id']}"


def link_experiment(facts: Mapping[str, Any]) -> str:
    """Return the address of the page of a run's experiment."""
    return f"{facts['ui']['address']}#/experiments/{facts['experiment_id']}/runs"


def link_model(facts: Mapping[str, Any], model_id: str) -> str:
    """Return the address of the page of a model that a run has logged."""
    return f"{facts['ui']['address']}#/experiments/{facts['experiment_id']}/models/{model_id}"


def link_version(facts: Mapping[str, Any], name: str, version: object) -> str:
    """Return the address of the page of a registered version."""
    from urllib.parse import quote

    return f"{facts['ui']['address']}#/models/{quote(name, safe='')}/versions/{version}"


def describe_proxy() -> dict[str, Any]:
    """Describe the UI to jupyter-server-proxy, which calls this when a Jupyter server starts, through its entry point."""
    store = find_store("", project=find_project(Path.cwd() / "any"))
    os.environ[PROXY_VARIABLE] = store.shown  # for the kernels of this server
    return {
        "command": [sys.executable, "-P", "-m", "boostlab.cli", "ui", "--host=127.0.0.1", "--port={port}", "--workers=1"],
        "timeout": START_TIMEOUT_S,
        "launcher_entry": {"title": "MLflow", "category": "Other"},
    }
