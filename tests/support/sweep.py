"""Spaces and trials to test with: plain functions in the place of notebooks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.paths import PROJECT

from boostlab.sweep.search import Search
from boostlab.sweep.space import Dimension, Space
from boostlab.sweep.trial import Objective, Trial

LOSS = Objective("loss", "minimize")
UNIT = {"low": 0.0, "high": 1.0}
TRAIN = json.loads((PROJECT / "notebooks" / "train.ipynb").read_text(encoding="utf-8"))
Run = Callable[[int, Mapping[str, Any]], Trial]


def make_space(*dimensions: Dimension, **others: Any) -> Space:
    """Return a space of these dimensions, by default of two numbers from 0 to 1."""
    return Space("made", dimensions or (Dimension("x", **UNIT), Dimension("y", **UNIT)), **others)  # type: ignore[arg-type]


def whole(name: str, low: int, high: int, **others: Any) -> Dimension:
    """Return a range of whole numbers."""
    return Dimension(name, (), low, high, is_whole=True, step=1, **others)


def measure(number: int, point: Mapping[str, Any]) -> Trial:
    """Return a complete trial, whose loss is the squared distance to 0.3 in each number."""
    loss = sum((value - 0.3) ** 2 for value in point.values() if isinstance(value, int | float))
    return Trial(number, dict(point), "complete", (loss,))


def run_trials(search: Search, how_many: int, run: Run = measure) -> list[Trial]:
    """Run trials one after another, and return all of the study."""
    for number in range(search.next_number, search.next_number + how_many):
        search.tell(run(number, search.suggest(number)))
    return search.trials
