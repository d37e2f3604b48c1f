"""Requests for a transition, checked against the state that the user expects."""

from __future__ import annotations

from dataclasses import dataclass

from boostlab.errors import LabError, OutdatedError
from boostlab.registry.gate import RuleResult
from boostlab.registry.settings import TransitionAction
from boostlab.registry.stages import ARCHIVED, Stage
from boostlab.registry.view import MAX_NAMES, ModelView, describe_age


@dataclass(frozen=True)
class TransitionRequest:
    """A requested transition, with the gate's results on it.

    Attributes
    ----------
    expected_state : str
        The precondition, as :meth:`ModelView.state` writes it: the transition is refused if the state has changed.
    results : tuple of RuleResult
        Empty until the gate has judged the request.
    """

    view: ModelView
    version: int
    action: TransitionAction
    to_stage: Stage
    expected_state: str
    reason: str = ""
    override: bool = False
    results: tuple[RuleResult, ...] = ()

    @property
    def from_stage(self) -> Stage:
        """The version's present stage."""
        return self.view.version(self.version).stage

    @property
    def failed(self) -> list[RuleResult]:
        """The results of the rules that fail. They block the transition unless it overrides the gate."""
        return [result for result in self.results if result.outcome == "fail"]

    def describe(self) -> str:
        """Return the request in words."""
        return f"version {self.version} of {self.view.name} from {self.from_stage} to {self.to_stage}"


def request_transition(
    view: ModelView,
    action: TransitionAction,
    *,
    version: int = 0,
    stage: Stage | None = None,
    reason: str = "",
    override: bool = False,
    expected_state: str = "",
) -> TransitionRequest:
    """Return a request for a transition of a model as read.

    Parameters
    ----------
    version : int
        0 for a rollback: the history gives the version.
    stage : str, optional
        The target stage; for a rollback, the stage to roll back (default: production).
    expected_state : str
        The state that the user saw, as :meth:`ModelView.state` writes it; empty: the present state.

    Raises
    ------
    LabError
        If the version does not exist or is in that stage, there is no rollback target, or an override has no reason.
    OutdatedError
        If the state is not the expected one.
    """
    to_stage: Stage = ARCHIVED if action == "archive" else stage or "production"
    check_state(view, expected_state)
    if action == "rollback":
        target = _find_rollback_target(view, to_stage)
        if version not in (0, target):
            changed = describe_last_change(view, target)
            raise OutdatedError(f"A rollback of {view.name} now leads to version {target}, not {version}{changed}")
        version = target
    elif not version:
        known = ", ".join(str(item.number) for item in view.versions[:MAX_NAMES])
        raise LabError(f"version = 0 is no version. Choose a version of {view.name}: {known or 'it has none'}.")
    current = view.version(version).stage
    if current == to_stage:
        raise LabError(f"Version {version} of {view.name} is in {current} already. Choose another version or stage.")
    if override and not reason.strip():
        raise LabError("override = True needs a reason. Give the reason for overriding the gate: -p reason '…'.")
    return TransitionRequest(view, version, action, to_stage, view.state(version, to_stage), reason.strip(), override)


def check_state(view: ModelView, expected: str) -> None:
    """Raise an OutdatedError, which names the change, if a model is not in the expected state."""
    for fact in expected.split():
        left, _, right = fact.partition(":")
        if left.isdigit():
            stage = view.version(int(left)).stage
            if stage != right:
                changed = describe_last_change(view, int(left))
                raise OutdatedError(f"Version {left} of {view.name} was in {right} and is now in {stage}{changed}")
        else:
            number = next((number for stage, number in view.version_by_stage.items() if stage == left), 0)
            if str(number) != right:
                was, now = (f"version {each}" if each != "0" else "no version" for each in (right, str(number)))
                changed = describe_last_change(view, number or int(right))
                raise OutdatedError(f"Stage {left} of {view.name} had {was} and now has {now}{changed}")


def describe_last_change(view: ModelView, number: int) -> str:
    """Return the author, age and reason of a version's last transition, as the end of a sentence."""
    last = view.history.last_transition(number)
    if last is None:
        return ". Read the history, then decide again."
    why = f": {last.why!r}" if last.why else ""
    return f" ({last.who}, {describe_age(last.time_ms)} ago{why}). Read the history, then decide again."


def _find_rollback_target(view: ModelView, stage: Stage) -> int:
    target = view.history.rollback_target(stage)
    if target is None:
        raise LabError(
            f"{view.name} has nothing to roll back to: no {'other ' if stage in view.version_by_stage else ''}version was in "
            f"{stage} before. Promote a version instead."
        )
    return target
