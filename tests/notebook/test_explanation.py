"""How a value that does not fit is explained: in the parameters of a notebook and in nested settings from a file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
import pytest
from pydantic import Field

from boostlab.errors import ParameterError
from boostlab.notebook.explanation import describe_limits, explain_errors
from boostlab.notebook.parameters import check_parameters


class Inner(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid")
    demand: Literal["better", "same"] = "better"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    names: list[str] = []


class Outer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid")
    inner: Inner | None = None


def explain(source: str, **given: Any) -> str:
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
    with pytest.raises(ParameterError) as caught:
        check_parameters({"cells": [cell], "metadata": {}}, given)
    return str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        ("int", True, "x takes a whole number, not True."),
        ("int", 2.0, "x takes a whole number, not 2.0."),
        ("int", "3", "x takes a whole number, not '3'."),
        ("float", False, "x takes a number, not False."),
        ("float", "high", "x takes a number, not 'high'."),
        ("float | None", "none", "x takes a number or None, not 'none'."),
        ("bool", 1, "x takes True or False, not 1. Write True or False."),
        ("str", 7, "x takes text, not 7. papermill reads numbers and True or False as such: pass text with -r x 7."),
        ("list[int]", "1", "x takes a list, not '1'. Pass it with -y 'x: [a, b]'."),
        ("dict[str, object]", "a", "x takes a mapping, not 'a'. Pass it with -y 'x: {key: value}'."),
        ("float", float("nan"), "x = nan is not a finite number."),
        ("list[float]", [1.0, float("-inf")], "x[1] = -inf is not a finite number."),
    ],
)
def test_refuses_a_value_of_another_type(annotation: str, value: Any, message: str) -> None:
    assert explain(f"x: {annotation} = None", x=value) == message


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        ("list[str]", [1], "text"),
        ("list[int]", ["a"], "a whole number"),
        ("dict[str, int]", {"a": "b"}, "a whole number"),
        ("dict[str, int]", {1: 2}, "text"),
        ("int | str", None, "a whole number or text"),
    ],
)
def test_says_what_an_inner_value_takes(annotation: str, value: Any, words: str) -> None:
    explanation = explain(f"x: {annotation} = 0", x=value)

    assert f"takes {words}, not" in explanation and "\n" not in explanation


def test_names_every_value_that_is_wrong() -> None:
    first, second = explain("a: int = 1\nb: int = 2", a="x", b="y").splitlines()

    assert first.startswith("a takes ") and second.startswith("b takes ")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"iner": {}}, "No rule 'iner'. Did you mean 'inner'? It takes: inner."),
        ({"inner": 1}, "inner takes a mapping or None, not 1."),
        ({"inner": {"demands": "x"}}, "inner has no option 'demands'. Did you mean 'demand'? It takes: demand, share, names."),
        ({"inner": {"demand": "beter"}}, "inner.demand has no choice 'beter'. Did you mean 'better'? It takes: better, same."),
        ({"inner": {"share": 2.0}}, "inner.share = 2.0 is out of range. Allowed: 0 < share <= 1."),
        ({"inner": {"names": [1]}}, "inner.names[0] takes text, not 1."),
    ],
)
def test_names_the_place_in_nested_settings(given: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Outer(**given)

    assert explain_errors(Outer, caught.value, noun="rule") == message


def test_describes_limits() -> None:
    assert describe_limits("share", Inner.model_fields["share"]) == "0 < share <= 1"
    assert describe_limits("names", Inner.model_fields["names"]) == ""
