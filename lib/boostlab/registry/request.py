"""Moves: what a person asks of the registry, planned on what that person saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from boostlab.errors import LabError, OutdatedError
from boostlab.registry.stages import ARCHIVED, Stage
from boostlab.registry.view import ModelView, describe_age

Action = Literal["promote", "archive", "rollback"]
MOST_NAMES = 20  # that a message lists


@dataclass(frozen=True)
class Move:
    """A move that was asked for.

    Attributes
    ----------
    seen : str
        What it depends on, as :meth:`ModelView.seen` writes it.
    """

    view: ModelView
    version: int
    action: Action
    to_stage: Stage
    seen: str
    reason: str = ""
    override: bool = False

    @property
    def from_stage(self) -> Stage:
        """Where the version is."""
        return self.view.version(self.version).stage

    def describe(self) -> str:
        """Return the move in words."""
        return f"version {self.version} of {self.view.name} from {self.from_stage} to {self.to_stage}"


def plan_move(
    view: ModelView,
    action: Action,
    *,
    version: int = 0,
    stage: Stage | None = None,
    reason: str = "",
    override: bool = False,
    seen: str = "",
) -> Move:
    """Return the move that a person asks for.

    Parameters
    ----------
    version : int
        Which version; 0 for a rollback, which finds its own.
    stage : str, optional
        Where to; for a rollback, in which stage (default: production).
    seen : str
        What the person saw, as :meth:`ModelView.seen` writes it; empty: what is now.

    Raises
    ------
    LabError
        If the version is not there or stands there already, there is nothing to roll back to, or a reason is wanting.
    OutdatedError
        If what the person saw has changed.
    """
    to_stage: Stage = ARCHIVED if action == "archive" else stage or "production"
    check_seen(view, seen)
    if action == "rollback":
        former = _find_former(view, to_stage)
        if version not in (0, former):
            raise OutdatedError(f"A rollback of {view.name} now leads to version {former}, not {version}{by_whom(view, former)}")
        version = former
    elif not version:
        known = ", ".join(str(item.number) for item in view.versions[:MOST_NAMES])
        raise LabError(f"version = 0 names none. Choose a version of {view.name}: {known or 'it has none'}.")
    current = view.version(version).stage
    if current == to_stage:
        raise LabError(f"Version {version} of {view.name} is in {current} already. Choose another version or stage.")
    if override and not reason.strip():
        raise LabError("override = True needs a reason. Say why the gate is to be overridden: -p reason '…'.")
    return Move(view, version, action, to_stage, view.seen(version, to_stage), reason.strip(), override)


def check_seen(view: ModelView, seen: str) -> None:
    """Raise an OutdatedError, which says what changed, if a model is no longer as it was seen."""
    for fact in seen.split():
        left, _, right = fact.partition(":")
        if left.isdigit():
            now = view.version(int(left)).stage
            if now != right:
                raise OutdatedError(f"Version {left} of {view.name} was in {right} and is in {now} now{by_whom(view, int(left))}")
        else:
            holder = next((number for stage, number in view.holders.items() if stage == left), 0)
            if str(holder) != right:
                was, held = (f"version {number}" if number != "0" else "no version" for number in (right, str(holder)))
                raise OutdatedError(f"In {left} of {view.name} was {was}, and {held} is now{by_whom(view, holder or int(right))}")


def by_whom(view: ModelView, number: int) -> str:
    """Return who moved a version last, when and why, as the end of a sentence."""
    last = view.current.last(number)
    if last is None:
        return ". Look at the history, then decide again."
    why = f": {last.why!r}" if last.why else ""
    return f" ({last.who}, {describe_age(last.time_ms)} ago{why}). Look at the history, then decide again."


def _find_former(view: ModelView, stage: Stage) -> int:
    former = view.current.before(stage)
    if former is None:
        raise LabError(
            f"{view.name} has nothing to roll back to: no {'other ' if stage in view.holders else ''}version was in {stage} "
            "before. Promote one instead."
        )
    return former
