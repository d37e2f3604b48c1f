from __future__ import annotations

import pytest

from boostlab.errors import ParameterError
from boostlab.notebook.settings import Settings


class Pair(Settings):
    a: int
    b: int


def test_ignores_names_that_are_no_fields() -> None:
    assert Pair.check({"a": 1, "b": 2, "__name__": "__main__"}).model_dump() == {"a": 1, "b": 2}


def test_is_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Pair(a=1, b=2).a = 3


def test_refuses_a_missing_value() -> None:
    with pytest.raises(ParameterError, match=r"No value for b: run the notebook's parameters cell"):
        Pair.check({"a": 1})
