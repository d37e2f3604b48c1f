"""Request a transition, then apply it: write its history tag, check the precondition, set the aliases.

Processes that use a local store share a lock. Hosts that share a server have no common lock. So each host writes its tag first,
then reads the model. Of two hosts that do this at the same time, at least the one that reads last finds the other's tag. The host
whose tag is the first by time and id waits for the other; the other one removes its tag, and its user gets an error. A host sets
aliases only after it has found no unfinished transition of another host: all aliases agree with the tags, apart from its own tags
and from the changes that it found before. No further read is needed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from boostlab.errors import GateError, LabError, OutdatedError
from boostlab.registry.gate import RuleResult
from boostlab.registry.history import ALIASES, ARCHIVED, Stage, Transition, new_transition, replay
from boostlab.registry.settings import TransitionAction
from boostlab.registry.view import MAX_NAMES, ModelView, check_state, describe_last_change, reaching, view_model
from boostlab.tracking.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_TIMEOUT_S = 60.0
GRACE_MS = 30_000  # another host may still be setting the alias of a transition this young
POLL_S = 0.3
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
        If the state is not the expected one, or another host is changing the model at the same time. Nothing is changed then.
    """
    if request.failed and not request.override:
        reasons = "\n".join(f"  {result.rule}: {result.evidence}" for result in request.failed)
        raise GateError(f"The gate blocks {request.describe()}.\n{reasons}\nFix it, or override the gate: {OVERRIDE}")
    name = request.view.name
    with reaching(client), hold_lock(client, name):
        written = _infer_transitions(request.view)
        transition = new_transition(
            [*request.view.recorded.written, *written],
            version=request.version,
            action=request.action,
            from_stage=request.from_stage,
            to_stage=request.to_stage,
            who=who,
            why=request.reason,
            run_id=run_id,
            gate=_summarise(request),
        )
        written.append(transition)
        try:
            for item in written:
                write_transition(client, name, item)
            view = _read_alone(client, request, written)
        except BaseException:
            for item in written:
                with suppress(Exception):  # a tag that was not written, or a lost store: the first error says more
                    client.delete_model_version_tag(name, str(item.version), item.key)
            raise
        return transition, _set_aliases(client, view)


def write_transition(client: MlflowClient, name: str, transition: Transition) -> None:
    """Write a transition's tag on its version."""
    client.set_model_version_tag(name, str(transition.version), transition.key, transition.to_tag())


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


def _infer_transitions(view: ModelView) -> list[Transition]:
    """Return the inferred transitions; they are written too, so that the history continues from the present stages."""
    inferred = view.inferred
    latest = max((transition.time_ms for transition in view.recorded.transitions), default=0)
    if inferred and inferred[0].time_ms - latest < GRACE_MS:
        raise _refuse(view.name, view.recorded.transitions[-1])
    return inferred


def _read_alone(client: MlflowClient, request: TransitionRequest, written: list[Transition]) -> ModelView:
    """Return the model once no other host is changing it; without our own transitions, it must be as expected."""
    own = {item.key for item in written}
    known = own | {item.key for item in request.view.recorded.written}
    inferred = {(item.version, item.to_stage) for item in written[:-1]}
    deadline = time.monotonic() + GRACE_MS / 1000
    while True:
        view = view_model(client, request.view.name)
        before = view.replace_history(replay(item for item in view.recorded.written if item.key not in own), view.aliases)
        rivals = [item for item in before.recorded.written if item.key not in known]
        # Another host has written the same inferred transitions itself: once it has finished, no alias disagrees.
        has_settled = {(item.version, item.to_stage) for item in before.inferred} == (set() if rivals else inferred)
        if has_settled or not rivals:
            check_state(before, request.expected_state)
            is_applied = view.recorded.stage_by_version.get(request.version) == request.to_stage
            if has_settled and is_applied and not (rivals and inferred):
                return view
            who = rivals[-1].who if rivals else "Another MLflow client"
            raise OutdatedError(f"{who} has just changed stages of {view.name}. Read its history, then try again.")
        if rivals[0].order < written[0].order or time.monotonic() > deadline:
            raise _refuse(view.name, rivals[-1])
        time.sleep(POLL_S)


def _refuse(name: str, rival: Transition) -> OutdatedError:
    changed = f"the stage of version {rival.version} of {name}"
    return OutdatedError(f"{rival.who} is changing {changed} now. Try again in half a minute.")


def _set_aliases(client: MlflowClient, view: ModelView) -> ModelView:
    """Make the aliases agree with the recorded history, and return the model after that."""
    wanted = view.recorded.version_by_stage
    for stage in [stage for stage in ALIASES if stage in wanted and view.aliases.get(stage) != wanted[stage]]:
        client.set_registered_model_alias(view.name, stage, str(wanted[stage]))
    for stage in [stage for stage in view.aliases if stage not in wanted]:  # after the others: a version never lacks an alias
        client.delete_registered_model_alias(view.name, stage)
    return view.replace_history(view.recorded, wanted)


def _summarise(request: TransitionRequest) -> dict[str, object]:
    """Return the part of the gate's results that the history keeps. The run's artifacts have all of it."""
    applied = [result for result in request.results if result.outcome != "not applicable"]
    return {
        "verdict": "overridden" if request.failed else "passed" if request.results else "no rules",
        "rules": {result.rule: result.outcome for result in request.results},
        "evidence": {result.rule: result.evidence[:MAX_EVIDENCE] for result in applied},
    }
