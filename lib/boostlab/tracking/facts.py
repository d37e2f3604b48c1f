"""The facts of a run: what its journal keeps to find the run again, or to make it again in a store that has lost it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from boostlab.tracking.ui import MlflowUI


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run.

    Attributes
    ----------
    store : str
        Address of the tracking store, without a password.
    notebook : str
        Short name of the notebook, such as ``train``.
    start_time : int
        Milliseconds since the epoch.
    tags, params : dict of str to str
        What the run begins with; secrets are masked.
    ui : MlflowUI
        Where MLflow's UI shows the run.
    output_path : str or None
        File of the executed notebook.
    run_id, experiment_id : str
        Ids in the store; empty until the run is made there.
    """

    store: str
    experiment: str
    run_name: str
    notebook: str
    start_time: int
    tags: dict[str, str]
    params: dict[str, str]
    ui: MlflowUI = field(default_factory=MlflowUI)
    output_path: str | None = None
    run_id: str = ""
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
