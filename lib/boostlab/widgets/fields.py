"""Widgets for a notebook's parameters, made from the parameters cell and the notebook's settings class.

A parameter with two bounds gets a slider, a choice a menu, a boolean a check box, everything else a text box. The settings
class checks the values; this module has no rules of its own.
"""

from __future__ import annotations

import html
import json
from functools import partial
from typing import Any, Literal, get_args, get_origin

import ipywidgets
import yaml
from pydantic.fields import FieldInfo

from boostlab.errors import ParameterError
from boostlab.notebook.explanation import describe_limits, find_bounds
from boostlab.notebook.parameters import Parameter
from boostlab.redaction import is_secret

FRACTION_STEP = 0.01
READOUT = ".6"  # shows a typed value such as 0.005 unchanged
LONGEST_SLIDER = 1000  # whole numbers
WIDE = {"width": "22em", "flex": "0 0 auto"}
PLAIN_TYPES = (int, float, str, bool)
HELP_STYLE = "line-height: 1.3; padding: 4px 0 4px 8px; color: var(--jp-ui-font-color2)"


class Field:
    """One parameter: its `control` holds the value, its `row` shows name, control and help."""

    def __init__(self, parameter: Parameter, rule: FieldInfo) -> None:
        self.parameter = parameter
        limits = describe_limits(parameter.name, rule)
        self.help = parameter.help + (f" ({limits})" if limits else "")
        self.control = _make_control(parameter, rule)
        self._name = ipywidgets.HTML(layout={"width": "12em", "flex": "0 0 auto"})
        text = f'<div style="{HELP_STYLE}">{html.escape(self.help)}</div>'
        help_box = ipywidgets.HTML(text, layout={"height": "auto", "flex": "1 1 0"})
        self.row = ipywidgets.HBox([self._name, self.control, help_box], layout={"align_items": "center", "flex": "0 0 auto"})
        self.control.observe(lambda _: self._show_name(), "value")
        self._show_name()

    @property
    def value(self) -> Any:
        """The parameter's value.

        Raises
        ------
        ParameterError
            If the text of a list, a mapping or an optional value is not valid YAML.
        """
        value = self.control.value
        if self.parameter.type in PLAIN_TYPES:
            return value
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError:
            name = self.parameter.name
            raise ParameterError(f"{name} = {value!r} cannot be read. Write it as YAML: [a, b], {{a: 1}}, 1, text.") from None

    def _show_name(self) -> None:
        changed = self.control.value != _to_control(self.parameter)
        name = html.escape(self.parameter.name)
        self._name.value = f"<b>{name} *</b>" if changed else name


def _make_control(parameter: Parameter, rule: FieldInfo) -> Any:
    """Return a widget for the parameter's type and range, set to its default."""
    value, bounds = _to_control(parameter), find_bounds(rule)
    lower, upper = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    options = {"value": value, "layout": WIDE, "tooltip": parameter.help}
    if get_origin(rule.annotation) is Literal:
        return ipywidgets.Dropdown(options=get_args(rule.annotation), **options)
    if parameter.type is bool:
        return ipywidgets.Checkbox(indent=False, **options)
    if lower is not None and upper is not None and (parameter.type is float or upper - lower <= LONGEST_SLIDER):
        step = 1 if parameter.type is int else (upper - lower) * FRACTION_STEP
        slider = ipywidgets.IntSlider if parameter.type is int else partial(ipywidgets.FloatSlider, readout_format=READOUT)
        ends = {"min": lower + step * ("gt" in bounds), "max": upper - step * ("lt" in bounds)}
        return slider(step=step, continuous_update=False, **ends, **options)
    if parameter.type in (int, float):
        return (ipywidgets.IntText if parameter.type is int else ipywidgets.FloatText)(**options)
    return (ipywidgets.Password if is_secret(parameter.name, "text") else ipywidgets.Text)(continuous_update=False, **options)


def _to_control(parameter: Parameter) -> Any:
    """Return the default in the form that the widget holds: plain types as they are, others as JSON text."""
    return parameter.default if parameter.type in PLAIN_TYPES else json.dumps(parameter.default)
