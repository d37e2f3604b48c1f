from __future__ import annotations

from typing import Any

import pytest

from boostlab.errors import ParameterError
from boostlab.notebook.parameters import Parameter, check_parameters, read_parameters, to_text


def notebook(source: str | list[str], **metadata: Any) -> dict[str, Any]:
    other = {"cell_type": "markdown", "metadata": {}, "source": "eta: int = 5"}
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
    return {"cells": [other, cell], "metadata": metadata}


def check(source: str, **given: Any) -> dict[str, Any]:
    return check_parameters(notebook(source), given).model_dump()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x: int = -1  # steps", (int, -1, "steps")),
        ("x: str = 'a # b'  # colour, as #fff", (str, "a # b", "colour, as #fff")),
        ("x: float | None = None  # limit", (float | None, None, "limit")),
        ("x: Optional[int] = 3", (int | None, 3, "")),
        ("x: list[str] = ['a', 'b']  # names", (list[str], ["a", "b"], "names")),
        ("x: dict[str, object] = {'a': [1]}  # more", (dict[str, Any], {"a": [1]}, "more")),
        ("x: list[int] = [\n    1,  # one\n    2,\n]  # all", (list[int], [1, 2], "all")),
    ],
)
def test_reads_type_default_and_help(line: str, expected: tuple[Any, Any, str]) -> None:
    (parameter,) = read_parameters(notebook(line))

    assert (parameter.name, parameter.type, parameter.default, parameter.help) == ("x", *expected)


def test_reads_each_of_two_statements_on_a_line() -> None:
    assert [(p.name, p.default) for p in read_parameters(notebook("a: int = 1; b: str = ';'"))] == [("a", 1), ("b", ";")]


def test_a_comment_line_with_two_signs_names_the_group_of_the_lines_below() -> None:
    source = "a: int = 1  ## help\n## Data\n# not a heading\nb: int = 2\nc: int = 3  # ## help\n##  Tree\nd: int = 4"
    found = read_parameters(notebook(source))

    assert [(one.group, one.help) for one in found] == [("", "help"), ("Data", ""), ("Data", "help"), ("Tree", "")]


def test_reads_a_source_that_is_kept_as_lines() -> None:
    expected = (Parameter("a", "int", int, 1, "one"), Parameter("b", "bool", bool, True, ""))

    assert read_parameters(notebook(["a: int = 1  # one\n", "b: bool = True"])) == expected


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x: int = int(3)", "'x: int = int(3)'. A default is a literal"),
        ("x: int = 1\ny: int = x", "A default is a literal"),
        ("x: dict[str, int] = {[]: 1}", "A default is a literal"),
        ("x = 1", "'x = 1'. Each line is `name: type = default"),
        ("x: int", "Each line is"),
        ("import os", "Each line is"),
        ("x: int = (", "not valid Python"),
        ("%matplotlib inline", "not valid Python"),
        ("x: tuple[int] = (1,)", "type 'tuple[int]'. It may use: int, float"),
    ],
)
def test_refuses_a_line_that_declares_nothing(source: str, words: str) -> None:
    with pytest.raises(ParameterError) as caught:
        read_parameters(notebook(source))

    assert str(caught.value).startswith("The parameters cell ")
    assert words in str(caught.value)


def test_refuses_a_notebook_without_a_parameters_cell() -> None:
    with pytest.raises(ParameterError, match="no cell tagged 'parameters'"):
        read_parameters({"cells": notebook("x: int = 1")["cells"][:1], "metadata": {}})


def test_takes_defaults_for_what_is_not_given() -> None:
    assert check("a: int = 1\nb: str = 'x'", b="y") == {"a": 1, "b": "y"}


def test_passes_over_the_paths_that_papermill_adds() -> None:
    assert check("a: int = 1", PAPERMILL_INPUT_PATH="in", PAPERMILL_OUTPUT_PATH="out") == {"a": 1}


def test_refuses_an_unknown_name_with_the_nearest_one() -> None:
    with pytest.raises(ParameterError, match=r"'max_dept'\. Did you mean 'max_depth'\? It takes: eta, max_depth\.$"):
        check("eta: float = 0.1\nmax_depth: int = 4", max_dept=3)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [("float", 3), ("float | None", None), ("float | None", 2), ("int | str", "a"), ("list[float]", [1, 2.5]), ("object", 1j)],
)
def test_accepts_a_value_of_the_type(annotation: str, value: Any) -> None:
    assert check(f"x: {annotation} = None", x=value) == {"x": value}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("boostlab.training.settings:Nope", "cannot be imported"),
        ("nowhere.schemas:Train", "cannot be imported"),
        ("boostlab.training.settings", "cannot be imported"),
        ("boostlab.training.settings:Count", "is not a Settings class"),
    ],
)
def test_refuses_metadata_that_names_no_schema(schema: str, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        check_parameters(notebook("x: int = 1", boostlab={"schema": schema}), {})


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (0.1, "0.1"), (None, "None"), ([1, "b"], '[1, "b"]'), ({"a": 1}, '{"a": 1}')]
)
def test_shows_a_value_as_text(value: Any, text: str) -> None:
    assert to_text(value) == text
