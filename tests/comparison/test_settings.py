"""Settings of ``compare.ipynb``: which choices of runs go together."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.comparison import compare_settings

from boostlab.errors import ParameterError


@pytest.mark.parametrize("given", [{"runs": ["a"]}, {"experiments": ["a"], "search": "params.eta = '0.1'"}, {"how_many": 2}])
def test_takes_named_runs_or_a_search(given: dict[str, Any]) -> None:
    settings = compare_settings(**given)
    assert {name: getattr(settings, name) for name in given} == given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"runs": ["a"], "search": "x"}, "runs names the runs to compare: leave experiments and search out"),
        ({"runs": ["a"], "experiments": ["b"]}, "runs names the runs to compare: leave experiments and search out"),
        ({"runs": ["a"], "study": "b"}, "runs names the runs to compare: leave study out"),
        ({"how_many": 1}, "how_many = 1 is out of range"),
        ({"how_many": 1001}, "how_many = 1001 is out of range"),
        ({"direction": "up"}, "direction has no choice 'up'"),
    ],
)
def test_refuses_what_does_not_go_together(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        compare_settings(**given)
