"""Widgets for a notebook's parameters, made from the parameters cell and the notebook's settings class.

A choice gets a menu, a boolean a check box, everything else a text box, which shows each value as typed. A number with a range
has a slider beside its box. The settings class checks the values; this module has no rules of its own.
"""

from __future__ import annotations

import html
import json
from typing import Any, Literal, get_args, get_origin

import ipywidgets
import yaml
from pydantic.fields import FieldInfo

from boostlab.errors import ParameterError
from boostlab.notebook.explanation import describe_limits
from boostlab.notebook.parameters import Parameter
from boostlab.redaction import is_secret
from boostlab.widgets.slider import Slider, find_stops

PLAIN_TYPES = (str, bool)
LABEL = {"description_width": "12em"}
CONTROL = {"width": "auto", "flex": "1 1 21em", "max_width": "32em", "min_width": "0"}
SLIDER = {"width": "auto", "flex": "1 1 7em", "max_width": "12em", "margin": "0 4px"}
NOTE = {"flex": "3 1 16em", "min_width": "0", "height": "auto"}
ROW = {"flex_flow": "row wrap", "align_items": "center", "overflow": "visible", "margin": "0 0 6px"}


class Field:
    """One parameter: its `control` holds the value, its `row` shows name, control, slider, help and error."""

    def __init__(self, parameter: Parameter, rule: FieldInfo) -> None:
        self.parameter = parameter
        limits = describe_limits(parameter.name, rule)
        self.help = parameter.help + (f" ({limits})" if limits else "")
        self.control = _make_control(parameter, rule)
        self.slider: Slider | None = None
        self._note = ipywidgets.HTML(layout=NOTE)
        self.row = ipywidgets.HBox([self.control, self._note], layout=ROW)
        stops = find_stops(rule) if parameter.type in (int, float) else []
        if stops:
            self._add_slider(stops)
        self.control.observe(lambda _: self._show_name(), "value")
        self._show_name()
        self.show_error("")

    @property
    def value(self) -> Any:
        """The parameter's value; a number that cannot be read is returned as text, which the settings refuse.

        Raises
        ------
        ParameterError
            If the text of a list, a mapping or an optional value is not valid YAML.
        """
        value = self.control.value
        if self.parameter.type in PLAIN_TYPES:
            return value
        if self.parameter.type in (int, float):
            return _read_number(value, self.parameter.type)
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError:
            name = self.parameter.name
            raise ParameterError(f"{name} = {value!r} cannot be read. Write it as YAML: [a, b], {{a: 1}}, 1, text.") from None

    @property
    def changed(self) -> bool:
        """Whether the control shows another value than the default."""
        try:
            return bool(self.value != self.parameter.default)
        except ParameterError:
            return True

    def set(self, value: Any) -> None:
        """Show a value that the settings accept."""
        self.control.value = _to_control(self.parameter, value)

    def show_error(self, message: str) -> None:
        """Show an error below the help; an empty one removes it."""
        error = f'<div style="color: var(--jp-error-color0, #b3261e)">✗ {html.escape(message)}</div>' if message else ""
        style = "line-height: 1.3; padding: 4px 0; overflow-wrap: anywhere; color: var(--jp-ui-font-color1)"
        self._note.value = f'<div style="{style}">{html.escape(self.help)}{error}</div>'

    def matches(self, text: str) -> bool:
        """Tell whether all words of a text occur in the name or in the help."""
        own = f"{self.parameter.name} {self.help}".casefold()
        return all(word in own for word in text.casefold().split())

    def _add_slider(self, stops: list[float]) -> None:
        """Put a slider beside the box: each follows the other, and the box alone holds the value."""
        slider = self.slider = Slider(label=f"{self.parameter.name} slider", stops=stops, layout=SLIDER)
        slider.follow(self.parameter.default)
        is_following = False

        def follow(_: Any) -> None:
            nonlocal is_following
            is_following = True
            slider.follow(self.value)
            is_following = False

        def lead(_: Any) -> None:
            if not is_following:
                self.control.value = f"{slider.value:.6g}"

        self.control.observe(follow, "value")
        slider.observe(lead, "position")
        self.row.children = [self.control, slider, self._note]

    def _show_name(self) -> None:
        self.control.description = f"{self.parameter.name}{' *' if self.changed else ''}"


def _make_control(parameter: Parameter, rule: FieldInfo) -> Any:
    """Return a widget for the parameter's type, set to its default."""
    options = {"value": _to_control(parameter, parameter.default), "style": LABEL, "layout": CONTROL}
    if get_origin(rule.annotation) is Literal:
        return ipywidgets.Dropdown(options=get_args(rule.annotation), **options)
    if parameter.type is bool:
        return ipywidgets.Checkbox(indent=False, **options)
    return (ipywidgets.Password if is_secret(parameter.name, "text") else ipywidgets.Text)(continuous_update=False, **options)


def _to_control(parameter: Parameter, value: Any) -> Any:
    """Return a value in the form that the widget holds: text and booleans as they are, others as JSON text."""
    return value if parameter.type in PLAIN_TYPES else json.dumps(value, ensure_ascii=False)


def _read_number(text: str, kind: type[int] | type[float]) -> int | float | str:
    """Return a text as a number, a whole one where it can be, else the text."""
    for read in (int, float) if kind is int else (float,):
        try:
            return read(text)
        except ValueError:
            continue
    return text
