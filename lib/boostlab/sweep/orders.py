"""What travels between a sweep and its workers: the order of a trial, and how the trial ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boostlab.execution.workshop import Outcome


@dataclass(frozen=True)
class Place:
    """Where the runs of a sweep's trials go, and how many threads each trial may use."""

    sweep: str  #: id of the sweep's run
    store: str  #: address
    artifact_root: str  #: of a store on this machine; else empty
    threads: int


@dataclass(frozen=True)
class TrialOrder:
    """A trial for a worker: everything that it needs but the packages and the table."""

    place: Place
    number: int
    notebook: str  #: its text
    path: str  #: where it comes from
    parameters: Mapping[str, Any]
    experiment: str
    run_name: str
    tags: Mapping[str, str]
    cwd: str
    reported: str = ""  #: the metric that decides about pruning; empty: the sweep does not prune


@dataclass(frozen=True)
class TrialEnd:
    """How a trial's run ended."""

    outcome: Outcome
    start_ms: int
    end_ms: int
    worker: str
