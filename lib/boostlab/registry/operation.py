"""One execution of ``registry.ipynb``: the models that it shows, the transition that it requests, and the outcome."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from boostlab.display.markdown import format_code
from boostlab.display.tables import Table
from boostlab.models.registration import register_run
from boostlab.registry.gate import load_gate
from boostlab.registry.history import Transition
from boostlab.registry.settings import Registry
from boostlab.registry.tables import tabulate_results
from boostlab.registry.transition import TransitionRequest, apply_transition, request_transition
from boostlab.registry.view import ModelView, list_models, view_model
from boostlab.tracking.run import Run

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_SHOWN = 10  # models, if none is named


@dataclass(frozen=True)
class Operation:
    """What one execution does with the registry; each step returns the operation as it is after the step.

    Attributes
    ----------
    views : tuple of ModelView
        The models to show: the named one, else the first ten. They are read once, and again only when a transition is applied.
    version : int
        The chosen version, or the newly registered one; 0 if none.
    request, transition : TransitionRequest and Transition, optional
        The requested transition after the gate has judged it, and the applied one.
    """

    client: MlflowClient
    settings: Registry
    views: tuple[ModelView, ...]
    version: int
    request: TransitionRequest | None = None
    transition: Transition | None = None

    def judge(self, gate_file: Path) -> Operation:
        """Check the requested transition, if any, against the rules of the gate."""
        settings = self.settings
        if settings.transition is None:
            return self
        request = request_transition(
            self.views[0],
            settings.transition,
            version=self.version,
            stage=settings.stage or None,  # type: ignore[arg-type]  # the settings checked it
            reason=settings.reason,
            override=settings.override,
            expected_state=settings.expected_state,
        )
        return replace(self, request=load_gate(gate_file).judge(self.client, request))

    def tabulate_results(self) -> Table:
        """Return the table of the gate's results; empty if no transition is requested."""
        return tabulate_results(self.request.results if self.request else ())

    def apply(self, run: Run) -> Operation:
        """Log the gate's results into the run, then apply the requested transition, if any."""
        if self.request is None:
            return self
        results = json.dumps([result.model_dump() for result in self.request.results], indent=1, ensure_ascii=False)
        run.log_text(results, "gate/findings.json")
        model, version = self.request.view.name, str(self.request.version)
        run.log_tags({"boostlab.model": model, "boostlab.version": version, "boostlab.stage": self.request.to_stage})
        who = run.facts.tags["mlflow.user"]
        transition, view = apply_transition(self.client, self.request, who=who, run_id=run.facts.run_id)
        return replace(self, transition=transition, views=(view,))

    def describe(self) -> str:
        """Return the outcome in one sentence, as Markdown."""
        name = format_code(self.settings.model)
        if self.transition:
            change = f"Version {self.transition.version} of {name} went from {self.transition.from_stage}"
            gate = "was overridden" if self.transition.verdict == "overridden" else "let it pass"
            return f"{change} to **{self.transition.to_stage}**; the gate {gate}."
        if self.settings.requested == "register":
            return f"Version {self.version} of {name} is registered."
        return "No transition was requested."

    def link(self, run: Run) -> str:
        """Return a link, as Markdown, to the changed version in MLflow's UI, or to the run if no version changed."""
        address = run.facts.run_url
        if self.transition:
            address = run.facts.ui.version_url(self.settings.model, self.transition.version)
        command = run.facts.ui.command
        return f"[See it in MLflow's UI]({address}){f', while this runs: {format_code(command)}' if command else ''}."


def open_operation(client: MlflowClient, settings: Registry) -> Operation:
    """Register the run's model, if that is requested, and read the models to show.

    Raises
    ------
    LabError
        If the run logged no model, or the registry has no model of that name.
    """
    version = settings.version
    if settings.requested == "register":
        version = register_run(client, settings.run_id, settings.model)
    names = [settings.model] if settings.model else [str(model.name) for model in list_models(client)][:MAX_SHOWN]
    return Operation(client, settings, tuple(view_model(client, name) for name in names), version)
