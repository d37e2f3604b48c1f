"""The stages, and the history of a registered model: one tag per transition, on the version that changed its stage.

The transitions of a model, replayed in the order of their numbers, give the version in each stage. A version that enters a stage
displaces the previous version of this stage, which becomes archived. Every reader derives the same history from the same tags.
The registry's ledger gives the numbers, so the order does not depend on clocks.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

Stage = Literal["none", "test", "staging", "production", "archived"]
NONE: Stage = "none"  # registered and not yet in a stage
ARCHIVED: Stage = "archived"  # has no alias: its last transition names this stage
ALIASES: tuple[Stage, ...] = ("test", "staging", "production")  # from the least to the most advanced
TARGETS: tuple[Stage, ...] = (*ALIASES, ARCHIVED)
STAGES: tuple[Stage, ...] = get_args(Stage)
NEXT: dict[Stage, Stage] = {"staging": "production", "production": "archived"}  # usually; from other stages: staging
PREFIX = "boostlab.transition."
INFERRED = "outside"  # as the tags name it
INFERRED_WHY = "another MLflow client changed the alias"


@dataclass(frozen=True)
class Transition:
    """A change of a version's stage."""

    version: int
    time_ms: int  #: since 1970, by the clock of the host that applied it
    id: str  #: eight hexadecimal digits
    #: ``promote``, ``archive`` or ``rollback``; ``outside``: inferred from an alias change made outside boostlab;
    #: ``displaced``: another version entered the stage (derived from that transition, without a tag)
    action: str
    from_stage: Stage
    to_stage: Stage
    who: str = ""
    why: str = ""
    run_id: str = ""  #: the run that applied the transition; empty if none
    #: ``verdict`` (``passed``, ``overridden``, ``no rules``) and, per rule, ``rules`` (outcomes) and ``evidence``
    gate: Mapping[str, Any] = field(default_factory=dict)
    #: place in the model's history, from 1; inferred transitions share the number of the one that is applied after them;
    #: 0: written by an earlier version of boostlab, which ordered by time
    number: int = 0

    @property
    def order(self) -> tuple[int, bool, int, str]:
        """The sort key."""
        return self.number, self.number > 0 and self.action != INFERRED, self.time_ms, self.id

    @property
    def key(self) -> str:
        """The name of the transition's tag."""
        return f"{PREFIX}{self.time_ms}-{self.id}"

    @property
    def verdict(self) -> str:
        """The gate's verdict, or a dash."""
        return str(self.gate.get("verdict", "–"))

    def to_tag(self) -> str:
        """Return the value of the transition's tag, as JSON."""
        facts = {"from": self.from_stage, "to": self.to_stage, "action": self.action, "who": self.who, "why": self.why}
        return json.dumps({**facts, "run_id": self.run_id, "gate": self.gate, "number": self.number}, ensure_ascii=False)


@dataclass(frozen=True)
class StageHistory:
    """The replayed transitions of a registered model."""

    transitions: tuple[Transition, ...]  #: in order, including the displaced versions
    version_by_stage: Mapping[Stage, int]  #: without ``none`` and ``archived``
    stage_by_version: Mapping[int, Stage]  #: without versions that have no transition

    @property
    def written(self) -> list[Transition]:
        """The transitions that have a tag of their own, or will have one."""
        return [transition for transition in self.transitions if transition.action != "displaced"]

    @property
    def next_number(self) -> int:
        """The number of the next transition."""
        return 1 + max((transition.number for transition in self.transitions if transition.action != INFERRED), default=0)

    def infer(self, current: Mapping[Stage, int]) -> list[Transition]:
        """Return the transitions of now that lead to the current version in each stage; they were made outside boostlab."""
        changed: dict[int, Stage] = {number: NONE for stage, number in self.version_by_stage.items() if stage not in current}
        changed |= {number: stage for stage, number in current.items() if self.version_by_stage.get(stage) != number}
        found: list[Transition] = []
        for number, stage in changed.items():
            stages = {"from_stage": self.stage_by_version.get(number, NONE), "to_stage": stage}
            facts = {"version": number, "action": INFERRED, "who": "unknown", "why": INFERRED_WHY, **stages}
            first = new_transition(number=self.next_number, **facts)
            found.append(replace(first, time_ms=first.time_ms + len(found)))
        return found

    def last_transition(self, version: int) -> Transition | None:
        """Return a version's last transition."""
        return next((item for item in reversed(self.transitions) if item.version == version), None)

    def rollback_target(self, stage: Stage) -> int | None:
        """Return the stage's previous version; after a rollback, the one before that; None if there is none."""
        path: list[int] = []
        for item in self.transitions:
            if item.to_stage == stage and item.action == "rollback" and item.version in path:
                path = path[: len(path) - path[::-1].index(item.version)]
            elif item.to_stage == stage:
                path.append(item.version)
        return next((version for version in reversed(path) if version != self.version_by_stage.get(stage)), None)


def new_transition(**facts: Any) -> Transition:
    """Return a transition of now."""
    return Transition(time_ms=int(time.time() * 1000), id=os.urandom(4).hex(), **facts)


def read_transitions(version: int, tags: Mapping[str, str]) -> list[Transition]:
    """Return the transitions in a version's tags; other tags are ignored, and so are malformed ones."""
    found = []
    for key, value in tags.items():
        when, _, identity = key.removeprefix(PREFIX).partition("-")
        if not (key.startswith(PREFIX) and when.isdigit()):
            continue
        try:
            facts = json.loads(value)
            from_stage, to_stage, gate = facts["from"], facts["to"], facts.get("gate")
            texts = {name: str(facts.get(name, "")) for name in ("action", "who", "why", "run_id")}
            number = int(facts.get("number", 0))
        except (ValueError, KeyError, TypeError):  # written by hand
            continue
        if from_stage in STAGES and to_stage in STAGES:
            gate = gate if isinstance(gate, dict) else {}
            facts = {"from_stage": from_stage, "to_stage": to_stage, "gate": gate, "number": number, **texts}
            found.append(Transition(version, int(when), identity, **facts))
    return found


def replay(transitions: Iterable[Transition]) -> StageHistory:
    """Return the history that results from transitions, in their order."""
    history: list[Transition] = []
    version_by_stage: dict[Stage, int] = {}
    stage_by_version: dict[int, Stage] = {}
    for transition in sorted(transitions, key=lambda item: item.order):
        version, to_stage = transition.version, transition.to_stage
        from_stage = stage_by_version.get(version, transition.from_stage)
        history.append(replace(transition, from_stage=from_stage))
        if version_by_stage.get(from_stage) == version:
            del version_by_stage[from_stage]
        previous = version_by_stage.get(to_stage)
        if to_stage in ALIASES:
            if previous is not None and previous != version:
                stage_by_version[previous] = ARCHIVED
                facts: dict[str, Any] = {"action": "displaced", "why": f"version {version} took its place", "gate": {}}
                history.append(replace(transition, version=previous, from_stage=to_stage, to_stage=ARCHIVED, **facts))
            version_by_stage[to_stage] = version
        stage_by_version[version] = to_stage
    return StageHistory(tuple(history), version_by_stage, stage_by_version)
