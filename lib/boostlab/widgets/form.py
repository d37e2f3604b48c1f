"""A form for a notebook's parameters that starts headless runs of it in the background.

Its buttons call :mod:`boostlab.execution.jobs`, which starts papermill's command. Without a front end that shows
widgets, the form is a table of the parameters.
"""

from __future__ import annotations

import html
import os
import threading
import time
from pathlib import Path
from typing import Any

import ipywidgets
import nbformat

from boostlab.errors import LabError
from boostlab.execution import jobs
from boostlab.notebook.document import is_lab_notebook, name_notebook
from boostlab.notebook.parameters import find_schema, read_parameters, to_text
from boostlab.notebook.session import JOURNAL_VARIABLE, find_session, is_headless, save_notebook
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import Store, find_project
from boostlab.tracking.ui import MlflowUI, find_ui
from boostlab.widgets.fields import Field

POLL_S = 0.5
COLOURS = {"finished": "#009E73", "failed": "#D55E00", "stopped": "#666666"}
MARKS = {"starting": "…", "running": "▶", "finished": "✓", "failed": "✗", "stopped": "■"}


def show_form(notebook: str | Path = "") -> Form:
    """Return the form of a notebook, for display.

    Parameters
    ----------
    notebook : str or pathlib.Path
        Its path, or its name in the project's ``notebooks/``; empty: the notebook that calls this function.

    Raises
    ------
    LabError
        If the notebook does not exist, or is not a boostlab notebook.
    """
    return Form(_find_notebook(notebook or _find_caller()))


class Form:
    """The parameters of a notebook as widgets, and the headless runs that the form started."""

    def __init__(self, notebook: Path) -> None:
        self._notebook = notebook
        self._save()
        document = nbformat.read(notebook, as_version=4)
        self._schema = find_schema(document)
        rules = self._schema.model_fields
        self.fields = {item.name: Field(item, rules[item.name]) for item in read_parameters(document)}
        self.rows: list[JobRow] = []
        self.start_button = ipywidgets.Button(description="Start a headless run", button_style="primary", icon="play")
        self.start_button.layout.width = "auto"
        self.start_button.on_click(lambda _: self.start())
        self.message = ipywidgets.HTML()
        self._jobs_box = ipywidgets.VBox()
        for field in self.fields.values():
            field.control.observe(lambda _: self._check(), "value")
        title = ipywidgets.HTML(f"<b>{html.escape(notebook.name)}</b>: parameters of the next headless run")
        rows = ipywidgets.VBox([field.row for field in self.fields.values()], layout={"max_height": "24em", "overflow": "auto"})
        bar = ipywidgets.HBox([self.start_button, self.message], layout={"align_items": "center"})
        self.widget = ipywidgets.VBox([title, rows, bar, self._jobs_box])
        self._check()

    def start(self) -> None:
        """Start a headless run with the values that the form shows."""
        if not self._check():
            return
        try:
            self._save()
            saved = read_parameters(nbformat.read(self._notebook, as_version=4))
            now = {item.name: item.default for item in saved}  # the user may have edited them since the form was made
            values = {name: field.value for name, field in self.fields.items()}
            given = {name: value for name, value in values.items() if name not in now or now[name] != value}
            job = jobs.start(self._notebook, given)
        except LabError as error:
            self._say(str(error), wrong=True)
            return
        self.rows.append(JobRow(job))
        self._jobs_box.children = [row.widget for row in self.rows]
        threading.Thread(target=self.rows[-1].follow, daemon=True).start()

    def _check(self) -> bool:
        """Tell whether the settings accept the values, and show which values differ from the defaults."""
        try:
            values = {name: field.value for name, field in self.fields.items()}
            self._schema.check(values)
        except LabError as error:
            self._say(str(error), wrong=True)
            self.start_button.disabled = True
            return False
        changed = [name for name, value in values.items() if value != self.fields[name].parameter.default]
        self._say(f"differs from the defaults: {', '.join(changed)}" if changed else "the notebook's defaults")
        self.start_button.disabled = False
        return True

    def _save(self) -> None:
        """Save the notebook if it is open in JupyterLab, so that the run executes what the user sees."""
        session = find_session()
        if session.notebook is not None and session.notebook.resolve() == self._notebook:
            save_notebook(session)

    def _say(self, text: str, *, wrong: bool = False) -> None:
        mark = f'<b style="color: {COLOURS["failed"]}">{MARKS["failed"]}</b> ' if wrong else ""
        self.message.value = f'<span style="line-height: 1.3">{mark}{html.escape(text)}</span>'

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Return the widgets for a front end, and the parameters as text for other readers."""
        bundle = {} if is_headless() else self.widget._repr_mimebundle_(**options)
        rows = [f"  {name} = {to_text(field.parameter.default)!r:<12} {field.help}" for name, field in self.fields.items()]
        return {**bundle, "text/plain": "\n".join([f"{self._notebook.name} takes:", *rows])}


class JobRow:
    """One headless run: a progress bar, a stop button, and a text with its state and a link."""

    def __init__(self, job: jobs.Job) -> None:
        self.job = job
        self._bar = ipywidgets.IntProgress(layout={"width": "12em"}, max=1)
        self.text = ipywidgets.HTML(layout={"flex": "1 1 0", "height": "auto"})
        self.stop_button = ipywidgets.Button(description="Stop", icon="stop", layout={"width": "6em"})
        self.stop_button.on_click(lambda _: job.stop())
        self.widget = ipywidgets.HBox([self._bar, self.stop_button, self.text], layout={"align_items": "center"})
        self._ui: MlflowUI | None = None

    def follow(self) -> None:
        """Show the progress of the run until it ends."""
        while self._show() in ("starting", "running"):
            time.sleep(POLL_S)

    def _show(self) -> jobs.State:
        state, progress = self.job.state, self.job.progress
        self._bar.max, self._bar.value = progress.cells or 1, progress.cell
        name = html.escape(progress.run.run_name if progress.run else name_notebook(self.job.notebook))
        if progress.run:
            self._ui = self._ui or find_ui(Store(progress.run.store))
            address = html.escape(self._ui.run_url(progress.run.experiment_id, progress.run.run_id))
            name = f'<a href="{address}" target="_blank" style="text-decoration: underline">{name}</a>'
        running = progress.note or (f"cell {progress.cell} of {progress.cells}" if progress.cells else "")
        words = html.escape(self.job.message or (running if state == "running" else ""))
        line = f"{MARKS[state]} {name} {state}{': ' if words else ''}{words}"
        self.text.value = f'<div style="line-height: 1.3; padding: 4px 0">{line}</div>'
        if state in COLOURS:
            self._bar.style.bar_color = COLOURS[state]
            self.stop_button.layout.visibility = "hidden"
        return state


def _find_caller() -> Path:
    """Return the path of the notebook that runs in this kernel."""
    if is_headless():
        source = Path(Journal(Path(os.environ[JOURNAL_VARIABLE])).facts().source)
        path = source if source.is_file() else None
    else:
        path = find_session().notebook
    if path is None:
        raise LabError("The path of this notebook is unknown. Give it: show_form('notebooks/train.ipynb').")
    return path


def _find_notebook(given: str | Path) -> Path:
    here = Path(given)
    known = find_project(here.resolve()) / "notebooks" / here
    path = here if here.is_file() else known
    if not path.is_file():
        raise LabError(f"There is no notebook {str(given)!r}, neither here nor in {known.parent}. Give the path of a notebook.")
    if not is_lab_notebook(nbformat.read(path, as_version=4)):
        raise LabError(f"{path} is not a boostlab notebook: its metadata has no key 'boostlab'. Give the path of one that is.")
    return path.resolve()
