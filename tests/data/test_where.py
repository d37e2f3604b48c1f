"""Conditions on rows: what their text may be."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, strategies as st
from tests.support.settings import make_settings

from boostlab.data.where import Column, Comparison, Group, Membership, Missing, list_columns, parse_condition
from boostlab.errors import ParameterError


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("year >= 2024", Comparison("year", ">=", 2024)),
        ("2024 <= year", Comparison("year", ">=", 2024)),
        ("x == -1.5", Comparison("x", "==", -1.5)),
        ("not year >= 2024", Comparison("year", "<", 2024)),
        ("not not a == 'x'", Comparison("a", "==", "x")),
        ("new", Comparison("new", "==", True)),
        ("not new", Comparison("new", "==", False)),
        ("new == true", Comparison("new", "==", True)),
        ("price > cost", Comparison("price", ">", Column("cost"))),
        ("city in ['a', 'b']", Membership("city", ("a", "b"), negated=False)),
        ("city not in ('a',)", Membership("city", ("a",), negated=True)),
        ("not city in {'a'}", Membership("city", ("a",), negated=True)),
        ("x is null", Missing("x", negated=False)),
        ("x is not None", Missing("x", negated=True)),
        ("`sold on` is null", Missing("sold on", negated=False)),
        ("`class` == 'a `tick`'", Comparison("class", "==", "a `tick`")),
        ("1 <= x < 3", Group("and", (Comparison("x", ">=", 1), Comparison("x", "<", 3)))),
        ("not 1 <= x < 3", Group("or", (Comparison("x", "<", 1), Comparison("x", ">=", 3)))),
        ("not (a == 1 or b == 2)", Group("and", (Comparison("a", "!=", 1), Comparison("b", "!=", 2)))),
    ],
)
def test_reads_a_condition_without_negations(text: str, condition: object) -> None:
    assert parse_condition(text) == condition


def test_lists_each_column_once() -> None:
    assert list_columns(parse_condition("a > b and (`c d` is null or a in [1])")) == ("a", "b", "c d")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("year >", "cannot be read. It takes comparisons of columns"),
        ("year = 2024", "cannot be read"),
        ("year >= 2024 AND x > 1", "cannot be read"),
        ("sold on > 1", "cannot be read"),
        ("2024", "compares nothing in 2024"),
        ("1 == 1", "compares 1 with 1, and no column"),
        ("year + 1 > 2024", "has 'year + 1', which is not allowed"),
        ("__import__('os').system('true')", "which is not allowed"),
        ("x.y > 1", "has 'x.y', which is not allowed"),
        ("x == null", "compares with null, which nothing equals. It takes: column is null"),
        ("x is 3", "has an 'is' without null"),
        ("x in y", "It takes a column and a list"),
        ("'a' in city", "It takes a column and a list"),
        ("x in []", "has the list []"),
        ("x in [1, null]", "write: or column is null"),
        ("x in [1, `y z`]", "has the list [1, `y z`]"),
        ("x > 1e999", "where a column, a number or a text stands"),
        ("x > 1j", "which is not allowed"),
        ("x > b'1'", "which is not allowed"),
        ("x == f'{1}'", "which is not allowed"),
        ("(lambda: 1)() > x", "which is not allowed"),
        ("not " * 1200 + "x", "takes comparisons"),
        ("(" * 500 + "x" + ")" * 500, "cannot be read"),
        ("x > 1" * 3000, "at most 6,000 characters"),
        ("x > 1\0", "cannot be read"),
    ],
)
def test_says_what_is_wrong_with_a_text(text: str, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make_settings(where=text)
    assert message in str(caught.value)


@given(st.text(max_size=60) | st.text("ab <>=!()[]'`,1.andorti", max_size=60))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert list_columns(parse_condition(text))
