"""The source and the target of a copy, and the report of what was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from boostlab.errors import LabError
from boostlab.tracking.probe import check_reachable
from boostlab.tracking.store import OpenStore, as_store_error

Outcome = Literal["copied", "completed", "unchanged", "left alone"]


@dataclass
class CopyReport:
    """What a copy has done, or would do: how many of each kind, and what was left alone."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)  #: what is still being written in the source
    size_bytes: int = 0  #: of the artifacts that were copied, or would be

    @property
    def has_changed(self) -> bool:
        """Whether anything was written to the target, or would be."""
        return any(outcome in ("copied", "completed") for _, outcome in self.counts)

    def note(self, kind: str, outcome: Outcome, *reasons: str) -> None:
        """Count an outcome, with the reasons if something was left alone."""
        self.counts[kind, outcome] += 1
        self.problems += reasons


@dataclass
class Pair:
    """The source and the target of a copy, and the ids of the copies by those of the originals."""

    source: OpenStore
    target: OpenStore
    report: CopyReport
    is_dry: bool
    ids: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def guard(self, kind: str, shown: str) -> Iterator[None]:
        """Note a failure as a problem of one item, unless a store is lost."""
        try:
            with as_store_error(self.target):
                yield
        except LabError as error:
            for store in (self.source, self.target):
                check_reachable(store)
            self.report.note(kind, "left alone", f"{shown}: {error}")
