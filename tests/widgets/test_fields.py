"""Widgets of single parameters: the right widget, its range, its help and its value."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from pydantic.fields import FieldInfo
from tests.support.paths import PROJECT

from boostlab.errors import ParameterError
from boostlab.notebook.parameters import Parameter, find_schema, read_parameters
from boostlab.widgets.fields import Field

TRAIN = PROJECT / "notebooks" / "train.ipynb"


def read_fields(notebook: Path) -> dict[str, Field]:
    document = nbformat.read(notebook, as_version=4)
    rules = find_schema(document).model_fields
    return {item.name: Field(item, rules[item.name]) for item in read_parameters(document)}


def make_field(name: str, annotation: type, default: object, help_text: str = "") -> Field:
    parameter = Parameter(name=name, annotation="", type=annotation, default=default, help=help_text)
    return Field(parameter, FieldInfo(annotation=annotation))


def test_each_parameter_of_the_training_notebook_has_a_fitting_widget() -> None:
    fields = read_fields(TRAIN)
    classes = {name: type(field.control).__name__ for name, field in fields.items()}
    assert {name: classes[name] for name in ("eta", "stratify", "task", "max_depth", "reg_lambda", "features", "dataset")} == {
        "eta": "FloatSlider",
        "stratify": "Checkbox",
        "task": "Dropdown",
        "max_depth": "IntText",
        "reg_lambda": "FloatText",
        "features": "Text",
        "dataset": "Text",
    }
    assert (fields["eta"].control.min, fields["eta"].control.max) == (0, 1)
    assert (fields["subsample"].control.min, fields["test_size"].control.max) == (0.01, 0.99)
    assert fields["eta"].control.readout_format == ".6"  # two decimals would show 0.005 as 0.01
    assert fields["tree_method"].control.options == ("auto", "hist", "approx", "exact")
    assert "0 &lt;= eta &lt;= 1" in fields["eta"].row.children[-1].value
    assert all(field.value == field.parameter.default for field in fields.values())


def test_help_is_never_markup_and_a_secret_is_hidden() -> None:
    assert "a &lt;b&gt;number&lt;/b&gt;" in make_field("x", int, 1, "a <b>number</b>").row.children[-1].value
    assert type(make_field("password", str, "").control).__name__ == "Password"


def test_a_changed_value_is_marked() -> None:
    field = make_field("x", int, 1)
    assert field.row.children[0].value == "x"
    field.control.value = 2
    assert field.row.children[0].value == "<b>x *</b>"


def test_a_list_is_typed_as_yaml() -> None:
    field = make_field("names", list, [])
    field.control.value = "[a, b]"
    assert field.value == ["a", "b"]
    field.control.value = "[a"
    with pytest.raises(ParameterError, match=r"names = '\[a' cannot be read. Write it as YAML"):
        _ = field.value
