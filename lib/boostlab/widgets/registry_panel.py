"""The panel: the registry's face in JupyterLab. It shows and asks; what it asks for is done by a headless run.

A move that a person confirms here is the same execution of ``registry.ipynb`` as from the command line, with the same
checks, its own MLflow run and its own notebook. No rule lives here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from boostlab.display.tables import Table
from boostlab.errors import LabError
from boostlab.execution import jobs as launch
from boostlab.notebook.session import is_headless
from boostlab.registry import tables as catalogue
from boostlab.registry.gate import Finding, Gate
from boostlab.registry.request import Action, Move, plan_move
from boostlab.registry.rules import judge
from boostlab.registry.stages import ARCHIVED, NEXT, TARGETS
from boostlab.registry.view import ModelView, list_models, view_model
from boostlab.tracking.store import Store, as_store_error, check_reachable

if TYPE_CHECKING:
    from mlflow import MlflowClient

POLL_S = 0.3
WIDE = widgets.Layout(width="100%", max_width="60em")
TONES = {"info": "var(--jp-content-font-color1, #222)", "error": "var(--jp-error-color0, #b3261e)"}


def show_panel(client: MlflowClient, gate: Gate, *, notebook: str, parameters: Mapping[str, Any]) -> Panel | Table:
    """Return the panel in JupyterLab; in a headless run, or while there is no model, the table of models.

    Parameters
    ----------
    notebook : str
        The path of ``registry.ipynb``, which the panel runs.
    parameters : mapping
        What each of its runs is given besides the move: store, experiment, gate.
    """
    models = catalogue.tabulate_models(client)
    if is_headless() or not models.rows:
        return models
    kit = Path(__file__).resolve().parents[3] / "notebooks" / "registry.ipynb"
    return Panel(client, gate, notebook=Path(notebook) if Path(notebook).is_file() else kit, parameters=parameters)


class Panel(widgets.VBox):
    """Choose a model, a version and a stage; see what the gate finds; confirm."""

    def __init__(self, client: MlflowClient, gate: Gate, *, notebook: Path, parameters: Mapping[str, Any]) -> None:
        self._client, self._gate, self._notebook, self._parameters = client, gate, notebook, dict(parameters)
        self._view: ModelView | None = None
        self._move: Move | None = None
        self._findings: list[Finding] = []
        self._is_filling = False
        self._job: launch.Job | None = None
        self._task: asyncio.Task[None] | None = None
        self._make_controls()
        super().__init__(self._arrange())
        self.add_class("boostlab-panel")
        self._listen()
        self._safely(self._fill_models)

    def _make_controls(self) -> None:
        style = {"description_width": "5em"}
        self.model = widgets.Dropdown(description="Model", style=style, layout=WIDE)
        self.version = widgets.Dropdown(description="Version", style=style)
        self.stage = widgets.Dropdown(description="Move to", options=TARGETS, style=style)
        self.reason = widgets.Text(description="Reason", placeholder="why: it stays in the history", style=style, layout=WIDE)
        self.override = widgets.Checkbox(description="Override the gate (needs a reason)", indent=False)
        self.promote = widgets.Button(description="Promote", button_style="primary")
        self.rollback = widgets.Button(description="Roll back production", layout=widgets.Layout(width="auto"))
        self.refresh = widgets.Button(description="Refresh")
        self.confirm = widgets.Button(description="Confirm", button_style="primary")
        self.cancel = widgets.Button(description="Cancel")
        self.stop = widgets.Button(description="Stop")
        self.versions, self.findings, self.history, self.question, self.status = (widgets.HTML() for _ in range(5))
        self._asking = widgets.VBox([self.question, widgets.HBox([self.confirm, self.cancel])])

    def _arrange(self) -> list[Any]:
        choice = widgets.HBox([self.version, self.stage], layout=widgets.Layout(flex_flow="row wrap"))
        buttons = widgets.HBox([self.promote, self.rollback, self.refresh], layout=widgets.Layout(flex_flow="row wrap"))
        running = widgets.HBox([self.status, self.stop])
        self._show(self._asking, visible=False)
        self._show(self.stop, visible=False)
        decision = [self.reason, self.override, buttons, self._asking, running]
        return [self.model, self.versions, choice, self.findings, *decision, self.history]

    def _listen(self) -> None:
        self.model.observe(lambda _: self._safely(self._view_model), "value")
        for control in (self.version, self.stage):
            control.observe(lambda _: self._safely(self._choose), "value")
        for control in (self.reason, self.override):
            control.observe(lambda _: self._reconsider(), "value")
        self.promote.on_click(lambda _: self._safely(self._ask))
        self.rollback.on_click(lambda _: self._safely(self._choose_rollback))
        self.refresh.on_click(lambda _: self._safely(self._fill_models))
        self.confirm.on_click(lambda _: self._safely(self._start))
        self.cancel.on_click(lambda _: self._withdraw())
        self.stop.on_click(lambda _: self._job.stop() if self._job else None)

    def _safely(self, act: Any) -> None:
        """Do what a control asks for, unless it was set from here, and show what goes wrong."""
        if self._is_filling:
            return
        try:
            store = Store(self._client.tracking_uri)
            with as_store_error(store):
                check_reachable(store)
                act()
        except LabError as error:
            self._say(str(error), tone="error")

    def _fill_models(self) -> None:
        names = [str(model.name) for model in list_models(self._client)]
        chosen = self.model.value if self.model.value in names else names[0]
        with self._silently():
            self.model.options, self.model.value = names, chosen
        self._view_model()

    def _view_model(self) -> None:
        """Look at the chosen model anew."""
        self._view = view = view_model(self._client, self.model.value)
        self.versions.value = catalogue.tabulate_versions(self._client, view)._repr_html_()
        self.history.value = catalogue.tabulate_history(view)._repr_html_()
        numbers = [item.number for item in view.versions]
        waiting = [item.number for item in view.versions if item.stage != "production"]
        chosen = self.version.value if self.version.value in numbers else next(iter([*waiting, *numbers]), None)
        with self._silently():
            self.version.options = [(f"{item.number} · {item.stage}", item.number) for item in view.versions]
            self.version.value = chosen
            self.stage.value = NEXT[view.version(chosen).stage] if chosen else TARGETS[0]
        self._choose()

    def _choose(self) -> None:
        """Judge the move that the controls show."""
        self._judge("archive" if self.stage.value == ARCHIVED else "promote")

    def _choose_rollback(self) -> None:
        """Set the controls to the version that was in production before, and judge that."""
        assert self._view is not None
        move = plan_move(self._view, "rollback")
        with self._silently():
            self.version.value, self.stage.value = move.version, move.to_stage
        self._judge("rollback")

    def _judge(self, action: Action) -> None:
        self._withdraw()
        self._move, self._findings = None, []
        self.promote.description = {"promote": "Promote", "archive": "Archive", "rollback": "Roll back"}[action]
        if self._view is None or self.version.value is None:
            return
        try:
            self._move = plan_move(self._view, action, version=self.version.value, stage=self.stage.value)
            self._findings = judge(self._client, self._move, self._gate)
            self.findings.value = catalogue.tabulate_findings(self._findings)._repr_html_()
        except LabError as error:
            self.findings.value = _write(str(error))
        self._allow()

    def _reconsider(self) -> None:
        """Ask anew: a question that stands was about something else."""
        self._withdraw()
        self._allow()

    def _allow(self) -> None:
        """Let the button be pressed unless something blocks."""
        is_overridden = self.override.value and self.reason.value.strip()
        is_free = self._move is not None and (not self._blocks() or is_overridden)
        self.promote.disabled = self._is_running() or not is_free
        self.rollback.disabled = self._is_running()

    def _ask(self) -> None:
        """Ask, in place, whether the move is meant."""
        move = self._move
        if move is None or self.promote.disabled:
            return
        former = move.view.holders.get(move.to_stage)
        displaced = f" Version {former}, which is there, is archived by that." if former else ""
        overridden = f" The gate is overridden: {self.reason.value.strip()}" if self._blocks() else ""
        self.question.value = _write(f"Move {move.describe()}?{displaced}{overridden}")
        self._say("")
        self._show(self._asking, visible=True)
        self.confirm.focus()

    def _withdraw(self) -> None:
        self._show(self._asking, visible=False)

    def _start(self) -> None:
        """Start the run that moves the version, as the command line would."""
        self._withdraw()
        move = self._move
        if move is None or self._is_running():
            return
        asked = {"action": move.action, "model": move.view.name, "version": move.version, "stage": move.to_stage}
        asked |= {"reason": self.reason.value.strip(), "override": self._blocks(), "seen": move.seen}
        self._job = launch.start(self._notebook, {**self._parameters, **asked})
        self._task = asyncio.get_running_loop().create_task(self._watch(self._job))
        self._allow()

    async def _watch(self, job: launch.Job) -> None:
        """Show how far the run is, then how it ended and what became of the model."""
        self._show(self.stop, visible=True)
        while job.state in ("starting", "running"):
            cells = f"cell {job.progress.cell} of {job.progress.cells}" if job.progress.cells else "starting"
            self._say(f"Running {self._notebook.name}: {cells} …")
            await asyncio.sleep(POLL_S)
        self._job = None
        self._show(self.stop, visible=False)
        self._safely(self._view_model)
        if job.state == "finished":
            self.reason.value, self.override.value = "", False
            run_name = job.progress.run.run_name if job.progress.run else ""
            self._say(f"Done: version {job.parameters['version']} is in {job.parameters['stage']} now (run {run_name}).")
        else:
            self._say(job.message or "The run was stopped: look at the history for what it did.", tone="error")
        self._allow()

    def _blocks(self) -> bool:
        return any(finding.outcome == "fail" for finding in self._findings)

    def _is_running(self) -> bool:
        return self._job is not None

    def _say(self, text: str, *, tone: str = "info") -> None:
        self.status.value = _write(text, tone=tone)

    @staticmethod
    def _show(part: Any, *, visible: bool) -> None:
        part.layout.display = "" if visible else "none"

    @contextmanager
    def _silently(self) -> Iterator[None]:
        """Set controls without answering to it."""
        self._is_filling = True
        try:
            yield
        finally:
            self._is_filling = False


def _write(text: str, *, tone: str = "info") -> str:
    """Return text as HTML that shows it as it is, line by line, and that a screen reader announces."""
    style = f"color: {TONES[tone]}; white-space: pre-wrap; line-height: 1.4; max-width: 60em; overflow-wrap: anywhere"
    return f'<div class="mathjax_ignore tex2jax_ignore" role="status" aria-live="polite" style="{style}">{escape(text)}</div>'
