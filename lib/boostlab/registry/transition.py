"""Apply a transition: check the precondition under a lock, write the history tag, set the aliases.

Processes that use a local store share a lock. Hosts that share a server have no common lock. Each of them writes its tag first
and then makes the aliases agree with all tags. On every host, the last transition by time and id wins, and the other host's
user gets an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from boostlab.errors import GateError, LabError, OutdatedError
from boostlab.registry.history import Transition, new_transition, replay
from boostlab.registry.request import TransitionRequest, check_state, describe_last_change
from boostlab.registry.stages import ALIASES
from boostlab.registry.view import ModelView, view_model
from boostlab.tracking.store import Store, as_store_error, check_reachable

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_TIMEOUT_S = 60.0
GRACE_MS = 30_000  # another host may still be setting the alias of a transition this young
MAX_ROUNDS = 10
MAX_EVIDENCE = 400  # characters of a rule's evidence that the history keeps
OVERRIDE = "-p override True -p reason '…'"


def apply_transition(
    client: MlflowClient, request: TransitionRequest, *, who: str, run_id: str = ""
) -> tuple[Transition, ModelView]:
    """Apply a judged request, if no rule fails or the gate is overridden, and if the state is the expected one.

    Returns
    -------
    tuple of Transition and ModelView
        The transition in the history, and the model after it.

    Raises
    ------
    GateError
        If a rule fails and the request does not override the gate.
    OutdatedError
        If the state has changed, or another host applied another transition to that stage at the same time.
    StoreError
        If the store is lost.
    """
    if request.failed and not request.override:
        reasons = "\n".join(f"  {result.rule}: {result.evidence}" for result in request.failed)
        raise GateError(f"The gate blocks {request.describe()}.\n{reasons}\nFix it, or override the gate: {OVERRIDE}")
    store, name = Store(client.tracking_uri), request.view.name
    check_reachable(store)
    with hold_lock(client, name), as_store_error(store):
        view = view_model(client, name)
        check_state(view, request.expected_state)
        written = [*view.recorded.written, *_record_inferred(client, view)]
        transition = new_transition(
            written,
            version=request.version,
            action=request.action,
            from_stage=request.from_stage,
            to_stage=request.to_stage,
            who=who,
            why=request.reason,
            run_id=run_id,
            gate=_summarise(request),
        )
        write_transition(client, name, transition)
        view = settle(client, view.replace_history(replay([*written, transition]), view.aliases))
        _check_outcome(view, transition)
    return transition, view


def settle(client: MlflowClient, view: ModelView) -> ModelView:
    """Make a model's aliases agree with its recorded history, and return the model after that.

    On a server, it reads the model again after each change: the last host that writes then finds all hosts' tags.
    """
    is_local = Store(client.tracking_uri).scheme in ("sqlite", "file")
    for _ in range(MAX_ROUNDS):
        view = _set_aliases(client, view)
        if is_local:  # the lock keeps all other writers out
            return view
        view = view_model(client, view.name)
        if view.aliases == view.recorded.version_by_stage:
            return view
    raise OutdatedError(f"Others keep changing stages of {view.name}. Read its history, then try again.")


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


def _record_inferred(client: MlflowClient, view: ModelView) -> list[Transition]:
    """Write and return the inferred transitions, so that the history continues from the present stages."""
    inferred = view.inferred
    latest = max((transition.time_ms for transition in view.recorded.transitions), default=0)
    if inferred and inferred[0].time_ms - latest < GRACE_MS:
        last = view.recorded.transitions[-1]
        raise OutdatedError(
            f"{last.who} is changing the stage of version {last.version} of {view.name} now. Try again in half a minute."
        )
    for transition in inferred:
        write_transition(client, view.name, transition)
    return inferred


def _set_aliases(client: MlflowClient, view: ModelView) -> ModelView:
    wanted = view.recorded.version_by_stage
    for stage in [stage for stage in ALIASES if stage in wanted and view.aliases.get(stage) != wanted[stage]]:
        client.set_registered_model_alias(view.name, stage, str(wanted[stage]))
    for stage in [stage for stage in view.aliases if stage not in wanted]:  # after the others: a version never lacks an alias
        client.delete_registered_model_alias(view.name, stage)
    return view.replace_history(view.recorded, wanted)


def _check_outcome(view: ModelView, transition: Transition) -> None:
    """Raise an OutdatedError if another host's transition overtook this one."""
    stage = view.recorded.stage_by_version.get(transition.version)
    if stage != transition.to_stage:
        raise OutdatedError(
            f"Version {transition.version} of {view.name} entered {transition.to_stage}, but another host changed that stage at "
            f"the same time. The version is now in {stage}{describe_last_change(view, transition.version)}"
        )


def _summarise(request: TransitionRequest) -> dict[str, object]:
    """Return the part of the gate's results that the history keeps. The run's artifacts have all of it."""
    applied = [result for result in request.results if result.outcome != "not applicable"]
    return {
        "verdict": "overridden" if request.failed else "passed" if request.results else "no rules",
        "rules": {result.rule: result.outcome for result in request.results},
        "evidence": {result.rule: result.evidence[:MAX_EVIDENCE] for result in applied},
    }
