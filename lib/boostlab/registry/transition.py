"""Request a transition, then apply it: claim its number, set the aliases, write its tag.

The claim (:mod:`boostlab.registry.ledger`) is the one step that decides. It succeeds only if no other transition was claimed
since the model was read, and the precondition is checked on what was read: a compare-and-set by the store, for all hosts. If a
process dies after its claim, the next transition completes it. Processes of one user and host also share a lock, which spares
them the wait.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from boostlab.errors import GateError, LabError, OutdatedError, StoreError
from boostlab.registry import ledger
from boostlab.registry.history import ALIASES, ARCHIVED, Stage, Transition, new_transition, replay
from boostlab.registry.rule import RuleResult
from boostlab.registry.settings import TransitionAction
from boostlab.registry.view import MAX_NAMES, ModelView, check_state, describe_last_change, reaching, view_model
from boostlab.tracking.store import Store, as_store_error

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_TIMEOUT_S = 60.0
PATIENCE_S = 120.0  # for another host that has claimed a transition, to complete it; then it counts as dead
MAX_EVIDENCE = 400  # characters of a rule's evidence that the history keeps
OVERRIDE = "-p override True -p reason '…'"


@dataclass(frozen=True)
class TransitionRequest:
    """A requested transition, with the gate's results on it: none until the gate has judged the request.

    `expected_state` is the precondition, as :meth:`ModelView.state` writes it.
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
    """Return a request for a transition.

    Parameters
    ----------
    version : int
        0 for a rollback: the history gives the version.
    stage : str, optional
        The target stage; for a rollback, the stage to roll back.
    expected_state : str
        The state that the user saw; empty: the present state.

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
        target = view.history.rollback_target(to_stage)
        if target is None:
            before = f"no {'other ' if to_stage in view.version_by_stage else ''}version was in {to_stage} before"
            raise LabError(f"{view.name} has nothing to roll back to: {before}. Promote a version instead.")
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


def apply_transition(
    client: MlflowClient, request: TransitionRequest, *, who: str, run_id: str = ""
) -> tuple[Transition, ModelView]:
    """Apply a judged request; return the transition and the model after it.

    Raises
    ------
    GateError
        If a rule fails and the request does not override the gate.
    OutdatedError
        If the state is not the expected one. Nothing is changed then.
    StoreError
        If the store is lost; the message says so if the transition is already recorded.
    """
    if request.failed and not request.override:
        reasons = "\n".join(f"  {result.rule}: {result.evidence}" for result in request.failed)
        raise GateError(f"The gate blocks {request.describe()}.\n{reasons}\nFix it, or override the gate: {OVERRIDE}")
    name = request.view.name
    with reaching(client), hold_lock(client, name):
        number = 0
        while True:
            view = view_model(client, name)
            request = _renew(request, view)
            number = max(number, view.recorded.next_number)
            transition = new_transition(
                version=request.version,
                action=request.action,
                from_stage=request.from_stage,
                to_stage=request.to_stage,
                who=who,
                why=request.reason,
                run_id=run_id,
                gate=_summarise(request),
                number=number,
            )
            claimed = [*(replace(item, number=number) for item in view.inferred), transition]
            started = time.monotonic()
            if ledger.claim(client, view, number, claimed):
                return transition, _complete_own(client, view, claimed, is_late=time.monotonic() - started > PATIENCE_S / 2)
            if others := ledger.wait(client, view, number, PATIENCE_S):
                _complete(client, view_model(client, name), others)
            number += 1


@contextmanager
def hold_lock(client: MlflowClient, name: str) -> Iterator[None]:
    """Hold the lock on a registered model: next to a local store for all its users, else for this user on this host."""
    try:
        with FileLock(_lock_path(Store(client.tracking_uri), name), timeout=LOCK_TIMEOUT_S):
            yield
    except Timeout:
        message = f"Another process on this host has held the lock on {name} for {LOCK_TIMEOUT_S:.0f} s. Try again."
        raise LabError(message) from None


def _lock_path(store: Store, name: str) -> Path:
    digest = hashlib.sha256(f"{store.uri}\0{name}".encode()).hexdigest()[:16]
    if store.scheme == "sqlite":
        return store.path.with_name(f"{store.path.name}.{digest}.lock")
    folder = store.path if store.scheme == "file" else user_state_path("boostlab", ensure_exists=True)
    return folder / f".registry-{digest}.lock"


def _renew(request: TransitionRequest, view: ModelView) -> TransitionRequest:
    """Return a request for the model as it is now, if the model is in the expected state."""
    same = {"version": request.version, "reason": request.reason, "override": request.override}
    stage, expected = request.to_stage, request.expected_state
    try:
        renewed = request_transition(view, request.action, stage=stage, expected_state=expected, **same)  # type: ignore[arg-type]
    except OutdatedError:
        raise
    except LabError as error:  # such as a rollback whose target has changed: the request was possible when it was made
        raise OutdatedError(f"{error} {view.name} has changed since the transition was requested.") from None
    return replace(renewed, expected_state=expected, results=request.results)


def _complete_own(client: MlflowClient, view: ModelView, claimed: list[Transition], *, is_late: bool) -> ModelView:
    """Complete the transitions that this process has claimed; if it was late, another one may have done so."""
    try:
        with as_store_error(Store(client.tracking_uri)):
            return _complete(client, view_model(client, view.name) if is_late else view, claimed)
    except StoreError as error:
        kept = f"The transition is recorded all the same: the next transition of {view.name} completes it."
        raise StoreError(f"{error} {kept}", kind=error.kind) from None


def _complete(client: MlflowClient, view: ModelView, claimed: list[Transition]) -> ModelView:
    """Make the aliases and the tags agree with claimed transitions, if nobody has, and return the model after them."""
    from mlflow.exceptions import MlflowException

    if view.recorded.next_number > claimed[-1].number:
        return view
    after = view.replace_history(replay([*view.recorded.written, *claimed]), view.aliases)
    numbers = {version.number for version in view.versions}
    wanted = {stage: number for stage, number in after.recorded.version_by_stage.items() if number in numbers}
    for stage in [stage for stage in ALIASES if stage in wanted and view.aliases.get(stage) != wanted[stage]]:
        client.set_registered_model_alias(view.name, stage, str(wanted[stage]))
    for stage in [stage for stage in view.aliases if stage not in wanted]:  # after the others: a version never lacks an alias
        client.delete_registered_model_alias(view.name, stage)
    for item in claimed:
        if item.version in numbers:
            client.set_model_version_tag(view.name, str(item.version), item.key, item.to_tag())
    with suppress(MlflowException):  # another user's entry may be protected; the tag says that it is applied
        ledger.close(client, view, claimed[-1].number)
    return after.replace_history(after.recorded, wanted)


def _summarise(request: TransitionRequest) -> dict[str, object]:
    """Return the part of the gate's results that the history keeps. The run's artifacts have all of it."""
    applied = [result for result in request.results if result.outcome != "not applicable"]
    return {
        "verdict": "overridden" if request.failed else "passed" if request.results else "no rules",
        "rules": {result.rule: result.outcome for result in request.results},
        "evidence": {result.rule: result.evidence[:MAX_EVIDENCE] for result in applied},
    }
