"""Open a run: locate its store, complete what earlier runs left, describe the run, and make its owner.

Headless executions (:mod:`boostlab.execution.headless`) and kernels (:mod:`boostlab.tracking.interactive`) both open runs here.
"""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from boostlab.notebook.document import name_notebook
from boostlab.notebook.parameters import to_text
from boostlab.redaction import find_secrets, redact_parameters
from boostlab.tracking import recovery
from boostlab.tracking.facts import RunFacts
from boostlab.tracking.owner import Owner
from boostlab.tracking.store import OpenStore, Store, find_project, find_store
from boostlab.tracking.ui import find_ui

CREDENTIALS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")  # a notebook can print these variables
Origin = Literal["papermill", "jupyter"]


def locate_store(values: Mapping[str, Any], notebook: Path | None, *, folder: Path | None = None) -> Store:
    """Return the store that a notebook's parameters name, else the default of the notebook's project.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Base of relative paths; default: the working directory.

    Raises
    ------
    StoreError
        If the address has an unknown form.
    """
    return find_store(values.get("tracking_uri", ""), project=find_project(notebook), folder=folder)


def open_run(
    values: Mapping[str, Any], store: OpenStore, *, notebook: str | None, origin: Origin, output_path: str | None = None
) -> Owner:
    """Complete orphaned runs, and return the owner of a new run, which has not begun yet.

    Parameters
    ----------
    values : mapping
        All parameters of the notebook.
    notebook : str or None
        Path or address of the notebook.
    output_path : str, optional
        File of the executed notebook.

    Raises
    ------
    LabError
        If the journal's folder cannot be made.
    """
    recovery.complete_orphans(store)
    credentials = {name: os.environ[name] for name in CREDENTIALS if name in os.environ}
    secrets = find_secrets({**values, "store": store.uri, **credentials})
    facts = describe_run(values, store=store, notebook=notebook, origin=origin, output_path=output_path)
    return Owner(facts, store, secrets=secrets)


def describe_run(
    values: Mapping[str, Any], *, store: Store, notebook: str | None, origin: Origin, output_path: str | None = None
) -> RunFacts:
    """Return the facts of a run that begins now; secrets among the parameters are masked."""
    name = name_notebook(notebook)
    source = str(Path(notebook).resolve()) if notebook and Path(notebook).is_file() else str(notebook or name)
    tags = {
        "mlflow.user": _find_user(),
        "mlflow.source.name": source,
        "mlflow.source.type": "NOTEBOOK",
        "boostlab.notebook": name,
        "boostlab.origin": origin,
        "boostlab.host": socket.gethostname(),
        "boostlab.pid": str(os.getpid()),
    }
    return RunFacts(
        store=store.shown,
        ui=find_ui(store),
        experiment=values.get("experiment") or name,
        run_name=values.get("run_name") or f"{name}-{os.urandom(4).hex()}",
        notebook=name,
        output_path=output_path,
        start_time=int(time.time() * 1000),
        tags=tags | _git_tags(source),
        params={key: to_text(value) for key, value in redact_parameters(values).items()},
    )


def _find_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


def _git_tags(source: str) -> dict[str, str]:
    """Return the notebook's git commit as a tag; no tag outside a repository."""
    folder = Path(source).parent
    command = ["git", "-C", str(folder if folder.is_dir() else Path.cwd()), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {"mlflow.source.git.commit": done.stdout.strip()} if done.returncode == 0 else {}
