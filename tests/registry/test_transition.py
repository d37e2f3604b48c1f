"""Transitions on each kind of store, verified through a plain MLflow client."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from tests.support.registry import copy_version
from tests.support.waiting import wait_until

from boostlab.errors import GateError, LabError, OutdatedError, StoreError
from boostlab.registry import ledger, transition as module
from boostlab.registry.history import PREFIX, Stage, Transition, new_transition
from boostlab.registry.rule import RuleResult
from boostlab.registry.transition import TransitionRequest, apply_transition, request_transition
from boostlab.registry.view import ModelView, view_model
from boostlab.tracking.store import Store, find_store, open_store

PROCESSES = 6
FAILED = RuleResult(rule="beats_champion", outcome="fail", evidence="worse by 3")
PASSED = RuleResult(rule="model_answers", outcome="pass", evidence="it does")
PROMOTER = """
import sys, time
from pathlib import Path
from boostlab.errors import OutdatedError
from boostlab.registry.transition import request_transition
from boostlab.registry.transition import apply_transition
from boostlab.registry.view import view_model
from boostlab.tracking.store import find_store, open_store
address, version, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
client = open_store(find_store(address, project=folder)).client
request = request_transition(view_model(client, "crowd"), "promote", version=version, stage="production", reason="first!")
(folder / f"ready-{version}").touch()
while not (folder / "go").exists(): time.sleep(0.001)
try:
    print(apply_transition(client, request, who=f"p{version}")[0].id)
except OutdatedError as error:
    print("outdated", error)
"""

LOCK_HOLDER = """
import sys
from pathlib import Path
from boostlab.registry.transition import hold_lock
from boostlab.tracking.store import find_store, open_store
with hold_lock(open_store(find_store(sys.argv[1], project=Path("."))).client, "sugar"):
    print(1, flush=True)
    input()
"""


def promote(client: Any, name: str, version: int, stage: Stage, *results: RuleResult, **more: Any) -> Transition:
    request = request_transition(view_model(client, name), "promote", version=version, stage=stage, **more)
    return apply_transition(client, replace(request, results=results), who="ana", run_id="r1")[0]


def aliases(client: Any, name: str) -> dict[str, int]:
    return {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}


def stages(view: ModelView) -> dict[int, str]:
    return {version.number: version.stage for version in view.versions}


@pytest.mark.parametrize(
    ("action", "values", "message"),
    [
        ("promote", {"version": 9, "stage": "test"}, r"has no version 9\. It has: 2, 1\."),
        ("promote", {"stage": "test"}, r"version = 0 is no version\. Choose a version of .*: 2, 1\."),
        ("promote", {"version": 1, "stage": "test"}, "Version 1 of .* is in test already"),
        ("promote", {"version": 1, "stage": "staging", "override": True}, "override = True needs a reason"),
        ("rollback", {}, "nothing to roll back to: no version was in production before"),
        ("rollback", {"stage": "test"}, "nothing to roll back to: no other version was in test before"),
    ],
)
def test_refuses_an_impossible_transition(staged: ModelView, action: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(LabError, match=message):
        request_transition(staged, action, **values)


def test_a_request_expects_the_state_that_it_was_made_for(staged: ModelView) -> None:
    request = request_transition(staged, "promote", version=2, stage="test", reason="  better ")
    assert (request.from_stage, request.expected_state, request.reason) == ("none", "2:none test:1", "better")
    assert request.describe() == f"version 2 of {staged.name} from none to test"
    assert request_transition(staged, "archive", version=1).expected_state == "1:test"


def test_each_transition_sets_the_alias_and_writes_one_tag(client: Any, name: str) -> None:
    import mlflow

    version = copy_version(client, name)
    for stage, before in (("test", "none"), ("staging", "test"), ("production", "staging")):
        transition = promote(client, name, version, stage, PASSED, reason=f"to {stage}")  # type: ignore[arg-type]
        assert (transition.from_stage, transition.to_stage) == (before, stage)
        assert aliases(client, name) == {stage: version}
    tags = client.get_model_version(name, str(version)).tags
    assert sum(key.startswith(PREFIX) for key in tags) == 3
    transitions = view_model(client, name).history.transitions
    assert [(item.from_stage, item.to_stage, item.who, item.why, item.run_id) for item in transitions] == [
        ("none", "test", "ana", "to test", "r1"),
        ("test", "staging", "ana", "to staging", "r1"),
        ("staging", "production", "ana", "to production", "r1"),
    ]
    mlflow.set_tracking_uri(client.tracking_uri)  # as in any other MLflow client
    try:
        model = mlflow.pyfunc.load_model(f"models:/{name}@production", suppress_warnings=True)
    finally:
        mlflow.set_tracking_uri("")
    assert len(model.predict(model.input_example)) == 5


def test_a_promotion_archives_the_previous_version(client: Any, name: str) -> None:
    for version in (copy_version(client, name), copy_version(client, name)):
        promote(client, name, version, "staging")
    assert stages(view_model(client, name)) == {2: "staging", 1: "archived"}
    last = view_model(client, name).history.transitions[-1]
    assert (last.version, last.action, last.to_stage, last.why) == (1, "displaced", "archived", "version 2 took its place")


def test_an_archived_version_loses_its_alias_and_is_not_deleted(client: Any, name: str) -> None:
    copy_version(client, name)
    promote(client, name, 1, "production")
    request = request_transition(view_model(client, name), "archive", version=1, reason="too old")
    apply_transition(client, request, who="ana")
    assert aliases(client, name) == {}
    assert stages(view_model(client, name)) == {1: "archived"}
    assert client.get_model_version(name, "1").status == "READY"


def test_a_rollback_restores_the_previous_version(client: Any, name: str) -> None:
    for version in (copy_version(client, name), copy_version(client, name)):
        promote(client, name, version, "production")
    request = request_transition(view_model(client, name), "rollback", reason="it drifts")
    transition, view = apply_transition(client, replace(request, results=(PASSED,)), who="ana")
    assert (transition.version, transition.action, transition.from_stage) == (1, "rollback", "archived")
    assert aliases(client, name) == view.version_by_stage == {"production": 1}
    assert view == view_model(client, name)


def test_the_gate_blocks_unless_a_reason_overrides_it(client: Any, name: str) -> None:
    copy_version(client, name)
    with pytest.raises(GateError, match=r"(?s)blocks version 1 of .* from none to production.*worse by 3.*-p override True"):
        promote(client, name, 1, "production", PASSED, FAILED)
    assert aliases(client, name) == {}
    promote(client, name, 1, "production", PASSED, FAILED, override=True, reason="the old one is on fire")
    (transition,) = view_model(client, name).history.transitions
    assert transition.gate == {
        "verdict": "overridden",
        "rules": {"model_answers": "pass", "beats_champion": "fail"},
        "evidence": {"model_answers": "it does", "beats_champion": "worse by 3"},
    }


def test_refuses_a_transition_if_the_state_has_changed(client: Any, name: str) -> None:
    for _ in range(3):
        copy_version(client, name)
    promote(client, name, 1, "production")
    late = request_transition(view_model(client, name), "promote", version=2, stage="production")
    promote(client, name, 3, "production", reason="faster")
    message = r"Stage production of .* had version 1 and now has version 3 \(ana, \d+ seconds? ago: 'faster'\)"
    with pytest.raises(OutdatedError, match=message):
        apply_transition(client, late, who="bea")
    assert aliases(client, name) == {"production": 3}


def test_records_transitions_inferred_from_alias_changes_outside_boostlab(client: Any, name: str) -> None:
    for _ in range(3):
        copy_version(client, name)
    promote(client, name, 1, "production")
    client.set_registered_model_alias(name, "production", "2")
    client.set_registered_model_alias(name, "mine", "3")
    promote(client, name, 3, "production")
    assert aliases(client, name) == {"production": 3, "mine": 3}
    transitions = [(item.version, item.action, item.to_stage) for item in view_model(client, name).history.transitions]
    assert transitions[-3:] == [(1, "displaced", "archived"), (3, "promote", "production"), (2, "displaced", "archived")]
    assert (2, "outside", "production") in transitions
    assert request_transition(view_model(client, name), "rollback").version == 2


@pytest.mark.slow
@pytest.mark.parametrize("hosts", ["one host", "many hosts"])
def test_after_simultaneous_promotions_history_and_alias_agree(client: Any, address: str, tmp_path: Path, hosts: str) -> None:
    """One promotion is applied, also between hosts without a common lock; the others leave no trace."""
    while len(_versions_of(client, "crowd")) < PROCESSES:
        copy_version(client, "crowd")
    for version, stage in stages(view_model(client, "crowd")).items():  # after the previous case
        if stage != "archived":
            request = request_transition(view_model(client, "crowd"), "archive", version=version)
            apply_transition(client, request, who="ana")
    before = len(view_model(client, "crowd").history.transitions)
    processes = []
    for version in range(1, PROCESSES + 1):
        env = dict(os.environ) if hosts == "one host" else os.environ | {"XDG_STATE_HOME": str(tmp_path / f"host{version}")}
        command = [sys.executable, "-c", PROMOTER, address, str(version), str(tmp_path)]
        processes.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True))
    wait_until(lambda: len(list(tmp_path.glob("ready-*"))) == PROCESSES)
    (tmp_path / "go").touch()
    outputs = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert all(process.returncode == 0 for process in processes)

    view = view_model(client, "crowd")
    (winner,) = aliases(client, "crowd").values()
    assert view.recorded.version_by_stage == {"production": winner} == view.version_by_stage
    assert view.inferred == []
    written = [item for item in view.recorded.transitions[before:] if item.action == "promote"]
    (applied,) = {output for output in outputs if not output.startswith("outdated")}
    assert [(item.version, item.id) for item in written] == [(winner, applied)]
    assert outputs[winner - 1] == applied


@pytest.mark.parametrize("stage", ["production", "staging"])
def test_the_next_transition_completes_one_whose_process_died(
    client: Any, name: str, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    request = prepare_rival(client, name, stage)
    monkeypatch.setattr(module, "PATIENCE_S", 0)
    if stage == "production":
        with pytest.raises(OutdatedError, match=r"Stage production of .* had no version and now has version 2 \(bea"):
            apply_transition(client, request, who="ana")
        assert aliases(client, name) == {"production": 2}
    else:
        apply_transition(client, request, who="ana")
        assert aliases(client, name) == {"staging": 2, "production": 1}
    view = view_model(client, name)
    assert [(item.who, item.number) for item in view.recorded.written] == [("bea", 1), ("ana", 2)][: len(aliases(client, name))]
    assert view.inferred == []


def test_a_transition_waits_for_one_that_another_host_has_claimed(client: Any, name: str) -> None:
    request = prepare_rival(client, name, "staging")
    view = view_model(client, name)
    (claimed,) = ledger.wait(client, view, 1, 0)
    complete = Timer(1, module._complete, (client, view, [claimed]))
    complete.start()
    apply_transition(client, request, who="ana")
    assert not complete.is_alive()
    assert [item.who for item in view_model(client, name).recorded.written] == ["bea", "ana"]


def test_an_interrupted_wait_for_another_host_leaves_no_trace(client: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = prepare_rival(client, name, "staging")

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        apply_transition(client, request, who="ana")
    assert view_model(client, name).recorded.written == []
    assert ledger.claim(client, view_model(client, name), 2, [])


def test_a_store_that_is_lost_after_the_claim_says_that_the_transition_is_recorded(
    client: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        copy_version(client, name)
    with monkeypatch.context() as patch:
        patch.setattr(type(client), "set_registered_model_alias", lose)
        with pytest.raises(StoreError, match=rf"reset\. The transition is recorded all the same: the next transition of {name}"):
            promote(client, name, 1, "staging")
    assert aliases(client, name) == {}
    monkeypatch.setattr(module, "PATIENCE_S", 0)
    promote(client, name, 2, "production")
    assert aliases(client, name) == {"staging": 1, "production": 2}


def test_a_claim_whose_answer_was_lost_is_known_again(client: Any, name: str) -> None:
    request = prepare_rival(client, name, "staging")
    view = view_model(client, name)
    claimed = ledger.wait(client, view, 1, 0)
    assert ledger.claim(client, view, 1, claimed)
    assert not ledger.claim(client, view, 1, [replace(claimed[0], id="ffffffff")])
    assert [item.version for item in claimed] == [2] != [request.version]


def test_a_clock_that_is_ahead_stops_nobody(client: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        copy_version(client, name)
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr("boostlab.registry.history.time.time", lambda: now + 86400)
        promote(client, name, 1, "production")
    client.set_registered_model_alias(name, "production", "2")  # by another MLflow client
    promote(client, name, 1, "staging")
    history = view_model(client, name).history
    assert [(item.version, item.to_stage, item.number) for item in history.written] == [
        (1, "production", 1),
        (2, "production", 2),
        (1, "staging", 2),
    ]


def test_a_deleted_version_and_a_model_of_the_same_name_do_not_count(client: Any, name: str) -> None:
    for _ in range(2):
        copy_version(client, name)
    promote(client, name, 1, "staging")
    promote(client, name, 2, "production")
    client.delete_model_version(name, "2")
    promote(client, name, 1, "production")
    assert [item.number for item in view_model(client, name).recorded.written] == [1, 3]
    client.delete_registered_model(name)
    copy_version(client, name)
    promote(client, name, 1, "test")
    assert [item.number for item in view_model(client, name).recorded.written] == [1]


def test_no_experiment_of_the_ledger_is_left_in_sight(client: Any, name: str) -> None:
    copy_version(client, name)
    promote(client, name, 1, "test")
    assert name not in " ".join(experiment.name for experiment in client.search_experiments())


def prepare_rival(client: Any, name: str, stage: Stage) -> TransitionRequest:
    """Return a request for version 1 to production, before which another host has claimed one of version 2 to a stage."""
    for _ in range(2):
        copy_version(client, name)
    view = view_model(client, name)
    facts = {"version": 2, "action": "promote", "from_stage": "none", "to_stage": stage, "who": "bea", "number": 1}
    assert ledger.claim(client, view, 1, [new_transition(**facts)])
    return request_transition(view, "promote", version=1, stage="production")


def lose(*_: object) -> None:
    raise ConnectionError("The connection was reset.")


def _versions_of(client: Any, name: str) -> list[Any]:
    return list(client.search_model_versions(f"name = '{name}'"))


def test_a_name_and_a_reason_may_contain_any_text(client: Any) -> None:
    odd = "it's <b>sugar $x$ é"
    copy_version(client, odd)
    promote(client, odd, 1, "test", reason="<img src=x onerror=alert(1)> `é`\n**b**")
    assert view_model(client, odd).history.transitions[0].why == "<img src=x onerror=alert(1)> `é`\n**b**"


def test_a_lost_store_is_an_error_at_once(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts a connection and never answers; a SQLite file that was deleted."""
    from boostlab.tracking import probe

    monkeypatch.setattr(probe, "ANSWER_TIMEOUT_S", 0.5)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(StoreError, match="has not answered for"),
    ):
        open_store(Store(f"http://127.0.0.1:{silent.getsockname()[1]}"))
    client = open_store(find_store(store, project=tmp_path)).client
    copy_version(client, "sugar")
    request = request_transition(view_model(client, "sugar"), "promote", version=1, stage="test")
    database = Path(store.removeprefix("sqlite:///"))
    database.unlink()
    with pytest.raises(StoreError, match="does not exist any more"):
        apply_transition(client, request, who="ana")
    assert not database.exists()


def test_a_transition_waits_for_another_on_this_host(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = open_store(find_store(store, project=tmp_path)).client
    copy_version(client, "sugar")
    request = request_transition(view_model(client, "sugar"), "promote", version=1, stage="test")
    monkeypatch.setattr(module, "LOCK_TIMEOUT_S", 0.1)
    command = [sys.executable, "-c", LOCK_HOLDER, client.tracking_uri]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "1\n"
        with pytest.raises(LabError, match="Another process on this host has held the lock on sugar"):
            apply_transition(client, request, who="ana")
        holder.communicate("\n", timeout=60)
    apply_transition(client, request, who="ana")
