"""A form for a notebook's parameters that starts headless runs of it in the background.

Its buttons call :mod:`boostlab.execution.jobs`, which starts papermill's command. Without a front end that shows
widgets, the form is a table of the parameters.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import ipywidgets
import nbformat

from boostlab.errors import LabError, locate
from boostlab.execution import jobs
from boostlab.notebook.document import is_lab_notebook, is_scratch
from boostlab.notebook.parameters import find_schema, read_parameters, refuse_unknown, to_text
from boostlab.notebook.session import JOURNAL_VARIABLE, find_session, is_headless, save_notebook
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import find_project
from boostlab.widgets.fields import Field
from boostlab.widgets.job_row import JobRow
from boostlab.widgets.keyboard import KeyboardGuard
from boostlab.widgets.presets import find_folder, list_presets, read_preset, save_preset
from boostlab.widgets.section import Section
from boostlab.widgets.status import render_status

FITTING = {"width": "auto", "flex": "0 0 auto"}  # as wide as its text, and never narrower
WRAPPED = {"flex_flow": "row wrap", "align_items": "center", "overflow": "visible"}
NO_PRESET = ("choose …", "")


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
        self._presets = find_folder(notebook)
        rules = self._schema.model_fields
        self.fields = {item.name: Field(item, rules[item.name]) for item in read_parameters(document)}
        groups = groupby(self.fields.values(), key=lambda field: field.parameter.group)
        self.sections = [Section(title or "Parameters", list(fields)) for title, fields in groups]
        self.sections[0].toggle()
        self.rows: list[JobRow] = []
        self._is_filling = False
        self.widget = ipywidgets.VBox(self._make_controls(document), layout={"overflow": "visible"})
        self.widget.add_class("boostlab-form")
        self._listen()
        self._check()

    def _make_controls(self, document: Any) -> list[Any]:
        """Make the controls, and return them in the order in which the form shows them."""
        self.search = ipywidgets.Text(description="Search", placeholder="in names and help", layout={"flex": "1 1 16em"})
        self.only_changed = ipywidgets.Checkbox(description="Only changed", indent=False, layout=FITTING)
        self.reset_button = ipywidgets.Button(description="Reset", tooltip="Set all values to the defaults", layout=FITTING)
        self.preset = ipywidgets.Dropdown(description="Preset", options=[NO_PRESET], layout={"flex": "1 1 14em"})
        self.preset_name = ipywidgets.Text(description="Name", placeholder="of a new preset", layout={"flex": "1 1 14em"})
        self.save_button = ipywidgets.Button(description="Save as preset", layout=FITTING)
        self.start_button = ipywidgets.Button(
            description="Start a headless run", button_style="primary", icon="play", layout=FITTING
        )
        self.message = ipywidgets.HTML(layout={"flex": "1 1 20em", "height": "auto", "min_width": "0"})
        self._jobs_box = ipywidgets.VBox(layout={"overflow": "visible"})
        self.no_match = ipywidgets.HTML(render_status("No parameter matches."), layout={"display": "none"})
        self._list_presets()
        scratch = sum(map(is_scratch, document.cells))
        skipped = f"skips {scratch} tagged <code>scratch</code>" if scratch else "would skip cells tagged <code>scratch</code>"
        text = f"<b>{escape(self._notebook.name)}</b>: a headless run executes all cells of the saved file, and {skipped}."
        title = ipywidgets.HTML(f'<div style="line-height: 1.4">{text}</div>', layout={"height": "auto"})
        rows = [
            [self.search, self.only_changed, self.reset_button],
            [self.preset, self.preset_name, self.save_button],
            [self.start_button, self.message],
        ]
        find, presets, start = (ipywidgets.HBox(row, layout=WRAPPED) for row in rows)
        return [
            title,
            find,
            presets,
            *(section.widget for section in self.sections),
            self.no_match,
            start,
            self._jobs_box,
            KeyboardGuard(),
        ]

    def _listen(self) -> None:
        for field in self.fields.values():
            field.control.observe(lambda _: self._check(), "value")
        for control in (self.search, self.only_changed):
            control.observe(lambda _: self._filter(), "value")
        self.reset_button.on_click(lambda _: self._try(lambda: self.fill({})))
        self.preset.observe(lambda change: self._read_preset(change["new"]), "value")
        self.save_button.on_click(lambda _: self._try(self._save_preset))
        self.start_button.on_click(lambda _: self._try(self.start))

    def start(self) -> None:
        """Start a headless run with the values that the form shows, unless the settings refuse them.

        Raises
        ------
        LabError
            If the notebook, as it is now, has no parameter of a name or refuses a value.
        """
        if not self._check():
            return
        self._save()
        saved = read_parameters(nbformat.read(self._notebook, as_version=4))
        now = {item.name: item.default for item in saved}  # the user may have edited them since the form was made
        values = {name: field.value for name, field in self.fields.items()}
        given = {name: value for name, value in values.items() if name not in now or now[name] != value}
        job = jobs.start(self._notebook, given)
        self.rows.append(JobRow(job, self.rows))
        self._jobs_box.children = [row.widget for row in self.rows]
        threading.Thread(target=self.rows[-1].follow, daemon=True).start()

    def fill(self, values: Mapping[str, Any]) -> None:
        """Show these values, and the defaults of all other parameters.

        Raises
        ------
        LabError
            If a name is unknown or the settings refuse a value; the form then stays as it is.
        """
        refuse_unknown(values, self.fields)
        filled = {name: field.parameter.default for name, field in self.fields.items()} | dict(values)
        self._schema.check(filled)
        self._is_filling = True
        try:
            for name, value in filled.items():
                self.fields[name].set(value)
        finally:
            self._is_filling = False
        self._check()

    def _try(self, act: Callable[[], object]) -> None:
        """Run the action of a control and show its error."""
        try:
            act()
        except LabError as error:
            self._say(str(error), is_error=True)

    def _check(self) -> bool:
        """Tell whether the settings accept the values, and show errors and what differs from the defaults."""
        if self._is_filling:
            return False
        try:
            values = {name: field.value for name, field in self.fields.items()}
            self._schema.check(values)
            error = ""
        except LabError as refusal:
            error = str(refusal)
        self.start_button.disabled = bool(error)  # before the error is seen
        self._show_errors(error)
        changed = [name for name, field in self.fields.items() if field.changed]
        said = f"differs from the defaults: {', '.join(changed)}" if changed else "the notebook's defaults"
        self._say(error or said, is_error=bool(error))
        self._filter()
        return not error

    def _show_errors(self, message: str) -> None:
        """Show each line of a message beside the parameter with whose name it begins."""
        lines = {match[0]: line for line in message.splitlines() if (match := re.match(r"\w+", line))}
        for name, field in self.fields.items():
            field.show_error(lines.get(name, ""))

    def _filter(self) -> None:
        """Show the parameters that match the search, and those that are changed if only these are wanted."""
        text, only_changed = self.search.value, self.only_changed.value
        for section in self.sections:
            if text.strip() or only_changed:
                section.show_only(
                    [field for field in section.fields if field.matches(text) and (field.changed or not only_changed)]
                )
            else:
                section.show()
        self.no_match.layout.display = "none" if any(section.is_shown for section in self.sections) else ""

    def _list_presets(self) -> None:
        self.preset.options = [NO_PRESET, *((name, name) for name in list_presets(self._presets, self.fields))]

    def _read_preset(self, name: str) -> None:
        if not name:
            return
        self._try(lambda: self.fill(read_preset(self._presets, name)))
        self.preset.value = ""  # so that the same preset can be chosen again

    def _save_preset(self) -> None:
        if self._check():
            changed = {name: field.value for name, field in self.fields.items() if field.changed}
            path = save_preset(self._presets, self.preset_name.value.strip(), changed)
            self._list_presets()
            self._say(f"saved: {path}")

    def _save(self) -> None:
        """Save the notebook if it is open in JupyterLab, so that the run executes what the user sees."""
        session = find_session()
        if session.notebook is not None and session.notebook.resolve() == self._notebook:
            save_notebook(session)

    def _say(self, text: str, *, is_error: bool = False) -> None:
        self.message.value = render_status(f"{'✗ ' if is_error else ''}{text}", is_error=is_error)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Return the widgets for a front end, and the parameters as text for other readers."""
        bundle = {} if is_headless() else self.widget._repr_mimebundle_(**options)
        rows = [f"  {name} = {to_text(field.parameter.default)!r:<12} {field.help}" for name, field in self.fields.items()]
        return {**bundle, "text/plain": "\n".join([f"{self._notebook.name} takes:", *rows])}


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
        raise LabError(f"There is no notebook {locate(here)} or {locate(known)}. Give the path of a notebook.")
    if not is_lab_notebook(nbformat.read(path, as_version=4)):
        raise LabError(f"{path} is not a boostlab notebook: its metadata has no key 'boostlab'. Give the path of one that is.")
    return path.resolve()
