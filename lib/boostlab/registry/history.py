"""The history of a registered model: one tag per transition, on the version that it moved.

A registered model's transitions, ordered by time and id, are all that is needed to tell which version is in which stage:
whoever enters a stage displaces the version that was there, which is archived by that. Every reader derives the same
from the same tags, in whatever order several hosts wrote them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from boostlab.registry.stages import ALIASES, ARCHIVED, STAGES, Stage

PREFIX = "boostlab.transition."


@dataclass(frozen=True)
class Transition:
    """One version that moved from a stage to another.

    Attributes
    ----------
    version : int
    time_ms : int
        When, in milliseconds since 1970; in one model's history no two of boostlab's are alike on a host.
    id : str
        Eight hexadecimal digits, which order transitions of the same time.
    action : str
        ``promote``, ``archive`` or ``rollback``; ``outside``: found to be done by another MLflow client;
        ``displaced``: archived because another version took its stage (this one is derived, and has no tag).
    from_stage, to_stage : str
    who, why : str
    run_id : str
        The run that made it; empty if none did.
    gate : mapping
        ``verdict`` (``passed``, ``overridden``, ``not asked``) and, by rule, ``rules`` (outcomes) and ``evidence``.
    """

    version: int
    time_ms: int
    id: str
    action: str
    from_stage: Stage
    to_stage: Stage
    who: str = ""
    why: str = ""
    run_id: str = ""
    gate: Mapping[str, Any] = field(default_factory=dict)

    @property
    def order(self) -> tuple[int, str]:
        """What transitions are sorted by."""
        return self.time_ms, self.id

    @property
    def key(self) -> str:
        """The name of the tag that keeps it."""
        return f"{PREFIX}{self.time_ms}-{self.id}"

    def to_tag(self) -> str:
        """Return the value of the tag that keeps it, as JSON."""
        facts = {"from": self.from_stage, "to": self.to_stage, "action": self.action, "who": self.who, "why": self.why}
        return json.dumps({**facts, "run_id": self.run_id, "gate": self.gate}, ensure_ascii=False)


@dataclass(frozen=True)
class Chronicle:
    """What a model's transitions amount to.

    Attributes
    ----------
    events : tuple of Transition
        In order, with those that were displaced.
    holders : mapping of stage to version
        Which version is in ``test``, ``staging`` and ``production``.
    stages : mapping of version to stage
        Where each version is that ever moved.
    """

    events: tuple[Transition, ...]
    holders: Mapping[Stage, int]
    stages: Mapping[int, Stage]

    def last(self, version: int) -> Transition | None:
        """Return a version's last transition."""
        return next((event for event in reversed(self.events) if event.version == version), None)

    def before(self, stage: Stage) -> int | None:
        """Return the version to go back to: who was in a stage before its holder came; after a rollback, one further back."""
        path: list[int] = []
        for event in self.events:
            if event.to_stage == stage and event.action == "rollback" and event.version in path:
                path = path[: len(path) - path[::-1].index(event.version)]
            elif event.to_stage == stage:
                path.append(event.version)
        return next((version for version in reversed(path) if version != self.holders.get(stage)), None)


def new_transition(events: Iterable[Transition], **facts: Any) -> Transition:
    """Return a transition that happens now: after all events, even where another host's clock is ahead."""
    latest = max((event.time_ms for event in events), default=0)
    return Transition(time_ms=max(int(time.time() * 1000), latest + 1), id=os.urandom(4).hex(), **facts)


def read_transitions(version: int, tags: Mapping[str, str]) -> list[Transition]:
    """Return the transitions that a version's tags keep; tags that read as none are left alone."""
    found = []
    for key, value in tags.items():
        when, _, identity = key.removeprefix(PREFIX).partition("-")
        if not (key.startswith(PREFIX) and when.isdigit()):
            continue
        try:
            facts = json.loads(value)
            found.append(_from_facts(version, int(when), identity, facts))
        except (ValueError, KeyError, TypeError):  # written by hand
            continue
    return found


def tell(transitions: Iterable[Transition]) -> Chronicle:
    """Return what transitions amount to, in order of time and id."""
    events: list[Transition] = []
    holders: dict[Stage, int] = {}
    stages: dict[int, Stage] = {}
    for transition in sorted(transitions, key=lambda item: item.order):
        version, to_stage = transition.version, transition.to_stage
        came_from = stages.get(version, transition.from_stage)
        events.append(replace(transition, from_stage=came_from))
        if holders.get(came_from) == version:
            del holders[came_from]
        former = holders.get(to_stage)
        if to_stage in ALIASES:
            if former is not None and former != version:
                stages[former] = ARCHIVED
                events.append(_displaced(former, by=transition))
            holders[to_stage] = version
        stages[version] = to_stage
    return Chronicle(tuple(events), holders, stages)


def _displaced(version: int, *, by: Transition) -> Transition:
    why = f"version {by.version} took its place"
    return replace(by, version=version, action="displaced", from_stage=by.to_stage, to_stage=ARCHIVED, why=why, gate={})


def _from_facts(version: int, time_ms: int, identity: str, facts: Mapping[str, Any]) -> Transition:
    from_stage, to_stage = facts["from"], facts["to"]
    if from_stage not in STAGES or to_stage not in STAGES:
        raise ValueError(to_stage)
    texts = {name: str(facts.get(name, "")) for name in ("action", "who", "why", "run_id")}
    gate = facts.get("gate")
    return Transition(
        version, time_ms, identity, from_stage=from_stage, to_stage=to_stage, gate=gate if isinstance(gate, dict) else {}, **texts
    )
