"""The promotion panel in JupyterLab.

The panel shows versions and the gate's results. A confirmed transition is a headless execution of ``registry.ipynb``, as from
the command line: with the same checks, an MLflow run and a notebook of its own. The panel itself has no rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from boostlab.display.tables import Table
from boostlab.errors import LabError
from boostlab.execution import jobs
from boostlab.notebook.kit import KIT
from boostlab.notebook.session import is_headless
from boostlab.registry.gate import load_gate
from boostlab.registry.history import ARCHIVED, NEXT, TARGETS
from boostlab.registry.settings import Registry, TransitionAction
from boostlab.registry.tables import tabulate_history, tabulate_models, tabulate_results, tabulate_versions
from boostlab.registry.transition import TransitionRequest, request_transition
from boostlab.registry.view import ModelView, list_models, view_model
from boostlab.tracking.probe import check_reachable
from boostlab.tracking.store import Store, as_store_error
from boostlab.widgets.keyboard import KeyboardGuard
from boostlab.widgets.status import render_status

if TYPE_CHECKING:
    from mlflow import MlflowClient

POLL_S = 0.3
WIDE = {"width": "auto", "max_width": "60em"}  # as wide as the panel, margins included
WRAPPED = {"flex_flow": "row wrap", "align_items": "center", "overflow": "visible"}
FITTING = {"width": "auto", "flex": "0 0 auto"}  # as wide as its text, and never narrower
HIDDEN = {"display": "none"}


def show_panel(client: MlflowClient, settings: Registry, *, gate_file: Path, notebook: str) -> Panel | Table:
    """Return the panel; in a headless run, or without registered models, return the table of models.

    Parameters
    ----------
    notebook : str
        The path of ``registry.ipynb``, which the panel executes.
    """
    load_gate(gate_file)  # a faulty file is an error at once, in a headless run too
    models = tabulate_models(client)
    if is_headless() or not models.rows:
        return models
    path = Path(notebook)
    path = path if path.is_file() else (KIT / "notebooks" / "registry.ipynb").resolve()
    return Panel(client, settings, gate_file=gate_file, notebook=path)


class Panel(widgets.VBox):
    """Choose a model, a version and a stage; read the gate's results; confirm."""

    def __init__(self, client: MlflowClient, settings: Registry, *, gate_file: Path, notebook: Path) -> None:
        self._client, self._gate_file, self._notebook = client, gate_file, notebook
        self._parameters = {"tracking_uri": client.tracking_uri, "experiment": settings.experiment, "gate_file": str(gate_file)}
        self._view: ModelView | None = None
        self._request: TransitionRequest | None = None
        self._is_filling = False
        self._job: jobs.Job | None = None
        self.watcher: asyncio.Task[None] | None = None  # ends when the panel shows the outcome of the last confirmed transition
        super().__init__(self._make_controls())
        self.add_class("boostlab-panel")
        self._listen()
        self._safely(self._fill_models)

    def _make_controls(self) -> list[Any]:
        """Make the controls, and return them in the order in which the panel shows them."""
        style = {"description_width": "5em"}
        self.model = widgets.Dropdown(description="Model", style=style, layout=WIDE)
        self.version = widgets.Dropdown(description="Version", style=style)
        self.stage = widgets.Dropdown(description="Stage", options=TARGETS, style=style)
        self.reason = widgets.Text(description="Reason", placeholder="kept in the history", style=style, layout=WIDE)
        self.override = widgets.Checkbox(description="Override the gate (needs a reason)", indent=False)
        self.promote = widgets.Button(description="Promote", button_style="primary", layout=FITTING)
        self.rollback = widgets.Button(description="Roll back production", layout=FITTING)
        self.refresh = widgets.Button(description="Refresh", layout=FITTING)
        self.confirm = widgets.Button(description="Confirm", button_style="primary")
        self.cancel = widgets.Button(description="Cancel")
        self.stop = widgets.Button(description="Stop", layout=HIDDEN)
        texts = (widgets.HTML(layout={"min_width": "0", "height": "auto"}) for _ in range(6))
        self.versions, self.results, self.history, self.question, self.obstacle, self.status = texts
        self.confirmation = widgets.VBox([self.question, widgets.HBox([self.confirm, self.cancel])], layout=HIDDEN)
        choice = widgets.HBox([self.version, self.stage], layout=WRAPPED)
        buttons = widgets.HBox([self.promote, self.rollback, self.refresh], layout=WRAPPED)
        running = widgets.HBox([self.status, self.stop], layout=WRAPPED)
        decision = [self.reason, self.override, buttons, self.obstacle, self.confirmation, running]
        return [self.model, self.versions, choice, self.results, *decision, self.history, KeyboardGuard()]

    def _listen(self) -> None:
        self.model.observe(lambda _: self._safely(self._view_model), "value")
        for control in (self.version, self.stage):
            control.observe(lambda _: self._safely(self._choose), "value")
        for control in (self.reason, self.override):
            control.observe(lambda _: self._allow(), "value")
        self.promote.on_click(lambda _: self._safely(self._ask_confirmation))
        self.rollback.on_click(lambda _: self._safely(self._choose_rollback))
        self.refresh.on_click(lambda _: self._safely(self._fill_models))
        self.confirm.on_click(lambda _: self._safely(self._start))
        self.cancel.on_click(lambda _: self._allow())
        self.stop.on_click(lambda _: self._job.stop() if self._job else None)

    def _safely(self, act: Any) -> None:
        """Run a control's action and show its errors; do nothing while the panel itself sets the controls."""
        if self._is_filling:
            return
        try:
            store = Store(self._client.tracking_uri)
            with as_store_error(store):
                check_reachable(store)
                act()
        except LabError as error:
            self._say(str(error), is_error=True)

    def _fill_models(self) -> None:
        self._gate = load_gate(self._gate_file)  # its file or the lab's rules may have changed
        names = [str(model.name) for model in list_models(self._client)]
        chosen = self.model.value if self.model.value in names else names[0]
        with self._silently():
            self.model.options, self.model.value = names, chosen
        self._view_model()

    def _view_model(self) -> None:
        self._view = view = view_model(self._client, self.model.value)
        self.versions.value = tabulate_versions(self._client, view)._repr_html_()
        self.history.value = tabulate_history(view)._repr_html_()
        numbers = [item.number for item in view.versions]
        waiting = [item.number for item in view.versions if item.stage != "production"]
        chosen = self.version.value if self.version.value in numbers else next(iter([*waiting, *numbers]), None)
        with self._silently():
            self.version.options = [(f"{item.number} · {item.stage}", item.number) for item in view.versions]
            self.version.value = chosen
            self.stage.value = NEXT.get(view.version(chosen).stage, "staging") if chosen else TARGETS[0]
        self._choose()

    def _choose(self) -> None:
        self._judge("archive" if self.stage.value == ARCHIVED else "promote")

    def _choose_rollback(self) -> None:
        """Set the controls to the version that was in production before, judge the rollback, and ask for the confirmation."""
        assert self._view is not None
        request = request_transition(self._view, "rollback")
        with self._silently():
            self.version.value, self.stage.value = request.version, request.to_stage
        self._judge("rollback")
        self._ask_confirmation()

    def _judge(self, action: TransitionAction) -> None:
        self._request = None
        self.promote.description = {"promote": "Promote", "archive": "Archive", "rollback": "Roll back"}[action]
        if self._view is not None and self.version.value is not None:
            try:
                request = request_transition(self._view, action, version=self.version.value, stage=self.stage.value)
                self._request = self._gate.judge(self._client, request)
                self.results.value = tabulate_results(self._request.results)._repr_html_()
            except LabError as error:
                self.results.value = render_status(str(error))
        self._allow()

    def _allow(self) -> None:
        """Enable the button unless something is in the way, and close the confirmation: it was for another request."""
        self.confirmation.layout.display = "none"
        obstacle = self._find_obstacle()
        self.promote.disabled = bool(obstacle)  # before the obstacle is seen
        self.promote.tooltip = obstacle
        self.obstacle.value = render_status(f"{self.promote.description} is off: {obstacle}" if obstacle else "")
        self.rollback.disabled = self._job is not None

    def _find_obstacle(self) -> str:
        """Return why the requested transition cannot start; empty if it can."""
        if self._job is not None:
            return "another transition runs."
        if self._request is None:
            return "this transition is not possible, for the reason above." if self.version.value else "the model has no version."
        if not self._request.failed or (self.override.value and self.reason.value.strip()):
            return ""
        rules = ", ".join(item.rule.replace("_", " ") for item in self._request.failed)
        todo = "Write a reason." if self.override.value else "To apply it all the same, override the gate and write a reason."
        return f"the gate's rules do not allow it ({rules}). {todo}"

    def _ask_confirmation(self) -> None:
        request = self._request
        if request is None or self.promote.disabled:
            return
        previous = request.view.version_by_stage.get(request.to_stage)
        displaced = f" This archives version {previous}, which is there now." if previous else ""
        overridden = f" The gate is overridden: {self.reason.value.strip()}" if request.failed else ""
        self.question.value = render_status(f"Change {request.describe()}?{displaced}{overridden}")
        self._say("")
        self.confirmation.layout.display = ""
        self.confirm.focus()

    def _start(self) -> None:
        """Start the run that applies the transition, as the command line would."""
        self.confirmation.layout.display = "none"
        request = self._request
        if request is None or self._job is not None:
            return
        chosen = {"action": request.action, "model": request.view.name, "version": request.version, "stage": request.to_stage}
        chosen |= {"reason": self.reason.value.strip(), "override": bool(request.failed)}
        self._job = jobs.start(self._notebook, {**self._parameters, **chosen, "expected_state": request.expected_state})
        self.watcher = asyncio.get_running_loop().create_task(self._watch(self._job))
        self._allow()

    async def _watch(self, job: jobs.Job) -> None:
        """Show the run's progress, then its outcome and the model after it."""
        self.stop.layout.display = ""
        while job.state in ("starting", "running"):
            self._say(f"Running {self._notebook.name}: {job.progress.describe() or 'starting'} …")
            await asyncio.sleep(POLL_S)
        self._job = None
        self.stop.layout.display = "none"
        self._safely(self._view_model)
        if job.state == "finished":
            self.reason.value, self.override.value = "", False
            run_name = job.progress.run.run_name if job.progress.run else ""
            self._say(f"Done: version {job.parameters['version']} is now in {job.parameters['stage']} (run {run_name}).")
        else:
            self._say(job.message or "The run was stopped. The history shows whether the transition was applied.", is_error=True)
        self._allow()

    def _say(self, text: str, *, is_error: bool = False) -> None:
        self.status.value = render_status(text, is_error=is_error)

    @contextmanager
    def _silently(self) -> Iterator[None]:
        """Set controls without running their actions."""
        self._is_filling = True
        try:
            yield
        finally:
            self._is_filling = False
