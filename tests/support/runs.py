"""Facts of runs to test with."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

from boostlab.tracking.facts import RunFacts

START_TIME = 1_700_000_000_000  # ms


def make_facts(**changes: Any) -> RunFacts:
    """Return the facts of a run of ``train.ipynb`` that begins at :data:`START_TIME`, with changes."""
    tags = {"boostlab.pid": "7", "boostlab.host": socket.gethostname(), "boostlab.origin": "papermill"}
    facts = RunFacts("sqlite:////mlflow.db", "train", "train-1", "train", START_TIME, tags=tags, params={"eta": "0.1"})
    return replace(facts, **changes)
