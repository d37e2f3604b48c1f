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
    assert {name: classes[name] for name in ("eta", "stratify", "task", "max_depth", "features", "dataset")} == {
        "eta": "Text",
        "stratify": "Checkbox",
        "task": "Dropdown",
        "max_depth": "Text",
        "features": "Text",
        "dataset": "Text",
    }
    assert fields["tree_method"].control.options == ("auto", "hist", "approx", "exact")
    assert "0 &lt;= eta &lt;= 1" in fields["eta"].row.children[-1].value
    assert all(field.value == field.parameter.default and not field.changed for field in fields.values())


def test_numbers_with_a_range_have_sliders_and_those_chosen_by_ratio_logarithmic_ones() -> None:
    sliders = {name: field.slider.stops for name, field in read_fields(TRAIN).items() if field.slider}
    assert {"eta", "gamma", "reg_lambda", "reg_alpha", "subsample", "test_size"} <= set(sliders) and "max_depth" not in sliders
    assert sliders["eta"][:3] == [0, 0.001, 0.0015] and sliders["eta"][-4:] == [0.3, 0.5, 0.7, 1]
    assert sliders["gamma"][0] == 0 and sliders["gamma"][-2:] == [700, 1000]
    assert (sliders["subsample"][0], sliders["subsample"][-1], sliders["test_size"][-1]) == (0.01, 1, 0.99)


def test_slider_and_box_follow_each_other_and_the_box_keeps_what_is_typed() -> None:
    field = read_fields(TRAIN)["eta"]
    assert field.slider is not None
    field.slider.position = field.slider.stops.index(0.03)
    assert (field.control.value, field.value) == ("0.03", 0.03)
    field.control.value = "0.042"  # between two stops
    assert (field.control.value, field.slider.value) == ("0.042", 0.05)
    for text, value in (("1.5", 1.5), ("-1", -1.0), ("1e-3", 0.001), ("lots", "lots"), ("", "")):  # the settings judge
        field.control.value = text
        assert (field.control.value, field.value) == (text, value)


def test_a_whole_number_is_read_as_one_where_it_can_be() -> None:
    field = make_field("x", int, 1)
    for text, value in (("3", 3), ("3.5", 3.5), ("a", "a")):
        field.control.value = text
        assert field.value == value and type(field.value) is type(value)


def test_help_and_error_are_never_markup_and_a_secret_is_hidden() -> None:
    field = make_field("x", int, 1, "a <b>number</b>")
    field.show_error("x = '<i>' is wrong")
    assert "a &lt;b&gt;number&lt;/b&gt;" in field.row.children[-1].value and "&lt;i&gt;" in field.row.children[-1].value
    field.show_error("")
    assert "wrong" not in field.row.children[-1].value
    assert type(make_field("password", str, "").control).__name__ == "Password"


def test_a_changed_value_is_marked() -> None:
    field = make_field("x", float, 1.0)
    assert field.control.description == "x"
    field.control.value = "2"
    assert field.control.description == "x *"
    field.control.value = "1"  # another way to write the default
    assert field.control.description == "x"


def test_a_list_is_typed_as_yaml() -> None:
    field = make_field("names", list, [])
    field.control.value = "[a, b]"
    assert field.value == ["a", "b"]
    field.control.value = "[a"
    with pytest.raises(ParameterError, match=r"names = '\[a' cannot be read. Write it as YAML"):
        _ = field.value
    assert field.changed


def test_a_search_finds_words_in_name_and_help() -> None:
    field = make_field("reg_lambda", float, 1.0, "L2 penalty on the leaves")
    assert field.matches("") and field.matches("l2 Leaves") and field.matches("lambda")
    assert not field.matches("l2 trees")
