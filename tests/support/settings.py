"""Settings of ``train.ipynb`` to test with: the notebook's defaults, with changes."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tests.support.paths import PROJECT

from boostlab.notebook.parameters import read_parameters
from boostlab.training.settings import Train


def make_settings(**changes: Any) -> Train:
    """Return checked settings: one thread, no early stopping, and otherwise the notebook's defaults."""
    return Train.check(_read_defaults() | {"nthread": 1, "early_stopping_rounds": 0} | changes)


@cache
def _read_defaults() -> dict[str, Any]:
    notebook = json.loads((PROJECT / "notebooks" / "train.ipynb").read_text(encoding="utf-8"))
    return {parameter.name: parameter.default for parameter in read_parameters(notebook)}
