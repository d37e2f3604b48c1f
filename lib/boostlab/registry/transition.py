"""Apply a transition: check its precondition under a lock, set the alias, write the history tag.

Hosts that share a server have no common lock. There each writes its tag first and then makes the aliases agree with all tags.
The last transition by time and id wins on every host, and the other host's user is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from boostlab.errors import GateError, LabError, OutdatedError
from boostlab.registry.gate import Finding
from boostlab.registry.history import Transition, new_transition
from boostlab.registry.request import Move, by_whom, check_seen
from boostlab.registry.stages import ALIASES
from boostlab.registry.view import ModelView, view_model
from boostlab.tracking.store import Store, as_store_error, check_reachable

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_TIMEOUT_S = 60.0
GRACE_MS = 30_000  # a transition this young may still be on its way from tag to alias, on another host
MOST_ROUNDS = 10
MOST_EVIDENCE = 400  # characters of a finding that the history keeps
OVERRIDE = "-p override True -p reason '…'"


def carry_out(client: MlflowClient, move: Move, findings: Sequence[Finding], *, who: str, run_id: str = "") -> Transition:
    """Move a version as planned, if the gate lets it pass or is overridden and nothing has changed since.

    Returns
    -------
    Transition
        As it stands in the history.

    Raises
    ------
    GateError
        If a finding blocks and is not overridden.
    OutdatedError
        If what the move depends on has changed, or another host moved another version to that stage at the same moment.
    StoreError
        If the store is lost.
    """
    blocking = [finding for finding in findings if finding.outcome == "fail"]
    if blocking and not move.override:
        reasons = "\n".join(f"  {finding.rule}: {finding.evidence}" for finding in blocking)
        raise GateError(f"The gate blocks {move.describe()}.\n{reasons}\nMend it, or override: {OVERRIDE}")
    store, name = Store(client.tracking_uri), move.view.name
    check_reachable(store)
    with locked(client, name), as_store_error(store):
        view = view_model(client, name)
        check_seen(view, move.seen)
        _adopt(client, view)
        transition = new_transition(
            view.current.events,
            version=move.version,
            action=move.action,
            from_stage=move.from_stage,
            to_stage=move.to_stage,
            who=who,
            why=move.reason,
            run_id=run_id,
            gate=_summarise(findings, overridden=bool(blocking)),
        )
        write_transition(client, name, transition)
        _check_outcome(settle(client, name), transition)
    return transition


def settle(client: MlflowClient, name: str) -> ModelView:
    """Make a model's aliases agree with its history, and return it as it is then.

    It looks again after each change: when the last writer of several hosts has looked, all of them agree.
    """
    for _ in range(MOST_ROUNDS):
        view = view_model(client, name)
        wanted = view.chronicle.holders
        changed = [stage for stage in ALIASES if view.aliases.get(stage) != wanted.get(stage)]
        for stage in sorted(
            changed, key=lambda stage: stage not in wanted
        ):  # set first, then delete: no stage is empty meanwhile
            if stage in wanted:
                client.set_registered_model_alias(name, stage, str(wanted[stage]))
            else:
                client.delete_registered_model_alias(name, stage)
        if not changed:
            return view
    raise OutdatedError(f"Others keep moving versions of {name}. Look at its history, and try again.")


def write_transition(client: MlflowClient, name: str, transition: Transition) -> None:
    """Write a transition down, on the version that it moves."""
    client.set_model_version_tag(name, str(transition.version), transition.key, transition.to_tag())


@contextmanager
def locked(client: MlflowClient, name: str) -> Iterator[None]:
    """Hold the lock on a registered model: beside a local store for all who use it, else this user's on this host."""
    try:
        with FileLock(_lock_path(Store(client.tracking_uri), name), timeout=LOCK_TIMEOUT_S):
            yield
    except Timeout:
        raise LabError(f"Another process on this host has been moving {name} for {LOCK_TIMEOUT_S:.0f} s. Try again.") from None


def _lock_path(store: Store, name: str) -> Path:
    digest = hashlib.sha256(f"{store.uri}\0{name}".encode()).hexdigest()[:16]
    if store.scheme == "sqlite":
        return store.path.with_name(f"{store.path.name}.{digest}.lock")
    folder = store.path if store.scheme == "file" else user_state_path("boostlab", ensure_exists=True)
    return folder / f".registry-{digest}.lock"


def _adopt(client: MlflowClient, view: ModelView) -> None:
    """Write down what another MLflow client did to the aliases, so that the history goes on from what is."""
    outside = view.outside
    latest = max((event.time_ms for event in view.chronicle.events), default=0)
    if outside and outside[0].time_ms - latest < GRACE_MS:
        last = view.chronicle.events[-1]
        raise OutdatedError(f"{last.who} is moving version {last.version} of {view.name} just now. Try again in half a minute.")
    for transition in outside:
        write_transition(client, view.name, transition)


def _check_outcome(view: ModelView, transition: Transition) -> None:
    """Raise an OutdatedError where another host's transition came out on top of this one."""
    now = view.chronicle.stages.get(transition.version)
    if now != transition.to_stage:
        raise OutdatedError(
            f"Version {transition.version} of {view.name} was moved to {transition.to_stage}, and at the same moment somebody "
            f"else moved another: it is in {now} now{by_whom(view, transition.version)}"
        )


def _summarise(findings: Sequence[Finding], *, overridden: bool) -> dict[str, object]:
    """Return what the history keeps of the gate's findings; all of it is among the run's artifacts."""
    verdict = "overridden" if overridden else "passed" if findings else "not asked"
    asked = [finding for finding in findings if finding.outcome != "not applicable"]
    return {
        "verdict": verdict,
        "rules": {finding.rule: finding.outcome for finding in findings},
        "evidence": {finding.rule: finding.evidence[:MOST_EVIDENCE] for finding in asked},
    }
