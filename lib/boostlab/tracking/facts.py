"""The facts of a run: what its journal keeps to find the run again, or to make it again in a store that has lost it."""

from __future__ import annotations

import getpass
import logging
import os
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from boostlab.notebook.document import name_notebook
from boostlab.notebook.parameters import to_text
from boostlab.redaction import redact_parameters
from boostlab.tracking.store import Store
from boostlab.tracking.ui import MlflowUI, find_ui

TAG_LENGTH = 5000  # characters, MLflow's limit for the value of a tag
JOURNAL_TAG = "boostlab.journal"  # the name of the run's journal: by it a run is found whose making was not answered
CARD_TAG = "boostlab.model_card"  # the artifact that is the run's model card, as a page
ENVIRONMENT_TAG = "boostlab.environment"  # a JSON object: the versions of Python and of packages
REPORTS_TAG = "boostlab.reports"  # a JSON object: what a trial of a sweep has reported, by step
STUDY_TAG = "boostlab.study"  # of each trial's run: the study's name
SWEEP_TAG = "boostlab.sweep"  # of the run of a sweep: the name of its study
PRUNED_TAG = "boostlab.pruned_at"  # the step at which a sweep has ended a trial early
SPLIT_TAG = "boostlab.split"  # digest of the rows that judge the run's model
FINDINGS_TAG = "boostlab.findings"  # a JSON list of sentences on what makes the results doubtful


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run; secrets are masked."""

    store: str  #: the address, without a password
    experiment: str
    run_name: str
    notebook: str  #: its short name, such as `train`
    start_time: int  #: ms since the epoch
    tags: dict[str, str]  #: those that the run begins with
    params: dict[str, str]
    ui: MlflowUI = field(default_factory=MlflowUI)
    output_path: str | None = None  #: the file of the executed notebook
    run_id: str = ""  #: both ids are empty until the run is made in the store
    experiment_id: str = ""

    @property
    def source(self) -> str:
        """Path or address of the notebook."""
        return self.tags["mlflow.source.name"]

    @property
    def run_url(self) -> str:
        """Address of the run's page in MLflow's UI."""
        return self.ui.run_url(self.experiment_id, self.run_id)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunFacts:
        """Return the facts that a JSON object holds, as :func:`dataclasses.asdict` makes it; unknown keys are ignored."""
        known = {item.name: values[item.name] for item in fields(cls) if item.name in values}
        return cls(**known | {"ui": MlflowUI(**known.get("ui", {}))})


def describe_run(
    values: Mapping[str, Any], store: Store, *, notebook: Path | None, origin: str, output_path: Path | None
) -> RunFacts:
    """Return the facts of a run that begins now with these parameters; secrets among them are masked."""
    name = name_notebook(notebook)
    experiment = values.get("experiment") or name
    ignored = os.environ.get("MLFLOW_EXPERIMENT_NAME", experiment)
    if ignored != experiment:
        message = (
            "The run goes to the experiment %r. To use that of MLFLOW_EXPERIMENT_NAME, give it as a parameter: -p experiment %r"
        )
        logging.getLogger(__name__).warning(message, experiment, ignored)
    source = notebook.resolve() if notebook and notebook.is_file() else notebook or Path(name)
    tags = {
        "mlflow.user": _find_user(),
        "mlflow.source.name": str(source),
        "mlflow.source.type": "NOTEBOOK",
        "boostlab.notebook": name,
        "boostlab.origin": origin,
        "boostlab.host": socket.gethostname(),
        "boostlab.pid": str(os.getpid()),
    }
    return RunFacts(
        store=store.shown,
        ui=find_ui(store),
        experiment=experiment,
        run_name=values.get("run_name") or f"{name}-{os.urandom(4).hex()}",
        notebook=name,
        output_path=str(output_path) if output_path else None,
        start_time=int(time.time() * 1000),
        tags=tags | _git_tags(source.parent),
        params=record_params(values),
    )


def record_params(values: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters as a run records them: as text, without secrets."""
    return {name: to_text(value) for name, value in redact_parameters(values).items()}


def _find_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


def _git_tags(folder: Path) -> dict[str, str]:
    """Return the folder's git commit as a tag; no tag outside a repository."""
    command = ["git", "-C", str(folder if folder.is_dir() else Path.cwd()), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {"mlflow.source.git.commit": done.stdout.strip()} if done.returncode == 0 else {}
