"""Versions move between stages, on each kind of store; what happened is looked at through a plain MLflow client."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.common import wait_until
from tests.support.registry import add_version
from tests.support.servers import serve_mlflow

from boostlab.errors import GateError, LabError, OutdatedError, StoreError
from boostlab.registry import transition as registry
from boostlab.registry.gate import Finding
from boostlab.registry.history import PREFIX, Transition
from boostlab.registry.request import plan_move
from boostlab.registry.stages import Stage
from boostlab.registry.view import ModelView, list_models, view_model
from boostlab.tracking.store import Store, find_store, open_store

PROCESSES = 6
BLOCKED = Finding(rule="beats_champion", outcome="fail", evidence="worse by 3")
PASSED = Finding(rule="model_answers", outcome="pass", evidence="it does")
MOVER = """
import sys, time
from pathlib import Path
from boostlab import registry
from boostlab.errors import OutdatedError
from boostlab.registry.request import plan_move
from boostlab.tracking.store import find_store, open_store
from boostlab.registry.view import view_model
address, version, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
client = open_store(find_store(address, project=folder)).client
move = plan_move(view_model(client, "crowd"), "promote", version=version, stage="production", reason="first!")
(folder / f"ready-{version}").touch()
while not (folder / "go").exists(): time.sleep(0.001)
try:
    print(registry.carry_out(client, move, [], who=f"p{version}").id)
except OutdatedError as error:
    print("outdated", error)
"""

HOLDER = """
import sys
from pathlib import Path
from boostlab import registry
from boostlab.tracking.store import find_store, open_store
with registry.locked(open_store(find_store(sys.argv[1], project=Path("."))).client, "sugar"):
    print(1, flush=True)
    input()
"""


@pytest.fixture(scope="module", params=["sqlite", "file", "http"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a store of each kind."""
    folder = tmp_path_factory.mktemp("stores")
    if request.param == "http":
        with serve_mlflow(folder) as served:
            yield served
    else:
        yield f"sqlite:///{folder}/mlflow.db" if request.param == "sqlite" else str(folder / "mlruns")


@pytest.fixture(scope="module")
def client(address: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return open_store(find_store(address, project=tmp_path_factory.mktemp("project"))).client


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of a model of the test's own."""
    return str(request.node.name).replace("[", "-").replace("]", "")


def go(client: Any, name: str, version: int, stage: Stage, *findings: Finding, **more: Any) -> Transition:
    move = plan_move(view_model(client, name), "promote", version=version, stage=stage, **more)
    return registry.carry_out(client, move, findings, who="ana", run_id="r1")


def aliases(client: Any, name: str) -> dict[str, int]:
    return {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}


def stages(view: ModelView) -> dict[int, str]:
    return {version.number: version.stage for version in view.versions}


def test_a_version_goes_through_the_stages_and_leaves_one_tag_for_each(client: Any, name: str) -> None:
    import mlflow

    version = add_version(client, name)
    for stage, before in (("test", "none"), ("staging", "test"), ("production", "staging")):
        done = go(client, name, version, stage, PASSED, reason=f"to {stage}")  # type: ignore[arg-type]
        assert (done.from_stage, done.to_stage) == (before, stage)
        assert aliases(client, name) == {stage: version}
    tags = client.get_model_version(name, str(version)).tags
    assert sum(key.startswith(PREFIX) for key in tags) == 3
    events = view_model(client, name).current.events
    assert [(item.from_stage, item.to_stage, item.who, item.why, item.run_id) for item in events] == [
        ("none", "test", "ana", "to test", "r1"),
        ("test", "staging", "ana", "to staging", "r1"),
        ("staging", "production", "ana", "to production", "r1"),
    ]
    mlflow.set_tracking_uri(client.tracking_uri)  # as any other MLflow client finds the champion
    try:
        model = mlflow.pyfunc.load_model(f"models:/{name}@production", suppress_warnings=True)
    finally:
        mlflow.set_tracking_uri("")
    assert len(model.predict(model.input_example)) == 5


def test_a_promotion_archives_the_version_that_was_there(client: Any, name: str) -> None:
    for version in (add_version(client, name), add_version(client, name)):
        go(client, name, version, "staging")
    assert stages(view_model(client, name)) == {2: "staging", 1: "archived"}
    last = view_model(client, name).current.events[-1]
    assert (last.version, last.action, last.to_stage, last.why) == (1, "displaced", "archived", "version 2 took its place")


def test_an_archived_version_loses_its_alias_and_is_not_deleted(client: Any, name: str) -> None:
    add_version(client, name)
    go(client, name, 1, "production")
    move = plan_move(view_model(client, name), "archive", version=1, reason="too old")
    registry.carry_out(client, move, [], who="ana")
    assert aliases(client, name) == {}
    assert stages(view_model(client, name)) == {1: "archived"}
    assert client.get_model_version(name, "1").status == "READY"


def test_a_rollback_puts_back_who_was_in_production_before(client: Any, name: str) -> None:
    for version in (add_version(client, name), add_version(client, name)):
        go(client, name, version, "production")
    move = plan_move(view_model(client, name), "rollback", reason="it drifts")
    done = registry.carry_out(client, move, [PASSED], who="ana")
    assert (done.version, done.action, done.from_stage) == (1, "rollback", "archived")
    assert aliases(client, name) == {"production": 1}
    with pytest.raises(LabError, match="nothing to roll back to: no other version was in production before"):
        plan_move(view_model(client, name), "rollback")


def test_the_gate_blocks_unless_a_reason_overrides_it(client: Any, name: str) -> None:
    add_version(client, name)
    with pytest.raises(GateError, match=r"(?s)blocks version 1 of .* from none to production.*worse by 3.*-p override True"):
        go(client, name, 1, "production", PASSED, BLOCKED)
    assert aliases(client, name) == {}
    with pytest.raises(LabError, match="override = True needs a reason"):
        go(client, name, 1, "production", BLOCKED, override=True)
    go(client, name, 1, "production", PASSED, BLOCKED, override=True, reason="the old one is on fire")
    (event,) = view_model(client, name).current.events
    assert event.gate == {
        "verdict": "overridden",
        "rules": {"model_answers": "pass", "beats_champion": "fail"},
        "evidence": {"model_answers": "it does", "beats_champion": "worse by 3"},
    }


def test_a_move_on_an_outdated_view_is_refused_and_says_what_changed(client: Any, name: str) -> None:
    for _ in range(3):
        add_version(client, name)
    go(client, name, 1, "production")
    seen = view_model(client, name).seen(2, "production")
    assert seen == "2:none production:1"
    late = plan_move(view_model(client, name), "promote", version=2, stage="production")
    go(client, name, 3, "production", reason="faster")
    said = r"In production of .* was version 1, and version 3 is now \(ana, \d+ seconds? ago: 'faster'\)"
    with pytest.raises(OutdatedError, match=said):
        registry.carry_out(client, late, [], who="bea")
    with pytest.raises(OutdatedError, match=said):
        go(client, name, 2, "production", seen=seen)
    with pytest.raises(OutdatedError, match=r"Version 1 of .* was in production and is in archived now"):
        go(client, name, 1, "staging", seen="1:production")
    assert aliases(client, name) == {"production": 3}


def test_what_another_client_did_to_the_aliases_counts_and_enters_the_history(
    client: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        add_version(client, name)
    go(client, name, 1, "production")
    client.set_registered_model_alias(name, "production", "2")
    client.set_registered_model_alias(name, "mine", "3")
    assert stages(view_model(client, name)) == {3: "none", 2: "production", 1: "archived"}
    with pytest.raises(OutdatedError, match=r"ana is moving version 1 of .* just now"):  # or it is a host's that writes still
        go(client, name, 3, "production")
    monkeypatch.setattr(registry, "GRACE_MS", 0)
    go(client, name, 3, "production")
    assert aliases(client, name) == {"production": 3, "mine": 3}
    events = [(item.version, item.action, item.to_stage) for item in view_model(client, name).current.events]
    assert (2, "outside", "production") in events and events[-2:] == [(3, "promote", "production"), (2, "displaced", "archived")]
    assert plan_move(view_model(client, name), "rollback").version == 2


@pytest.mark.slow
@pytest.mark.parametrize("hosts", ["one host", "many hosts"])
def test_of_many_promotions_at_once_history_and_alias_agree(client: Any, address: str, tmp_path: Path, hosts: str) -> None:
    """The lock lets one win; between hosts that share a server, and no lock, the last by time and id does."""
    while len(_versions_of(client, "crowd")) < PROCESSES:
        add_version(client, "crowd")
    for version, stage in stages(view_model(client, "crowd")).items():  # as the test before left it
        if stage != "archived":
            move = plan_move(view_model(client, "crowd"), "archive", version=version)
            registry.carry_out(client, move, [], who="ana")
    before = len(view_model(client, "crowd").current.events)
    processes = []
    for version in range(1, PROCESSES + 1):
        env = dict(os.environ) if hosts == "one host" else os.environ | {"XDG_STATE_HOME": str(tmp_path / f"host{version}")}
        command = [sys.executable, "-c", MOVER, address, str(version), str(tmp_path)]
        processes.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True))
    wait_until(lambda: len(list(tmp_path.glob("ready-*"))) == PROCESSES)
    (tmp_path / "go").touch()
    said = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert all(process.returncode == 0 for process in processes)

    view = view_model(client, "crowd")
    (winner,) = aliases(client, "crowd").values()
    assert view.chronicle.holders == {"production": winner} == view.holders
    assert view.outside == []
    written = [item for item in view.chronicle.events[before:] if item.action == "promote"]
    assert written[-1].version == winner and written[-1].id == said[winner - 1]
    assert _kept(said, written)
    if hosts == "one host" or not address.startswith("http"):
        assert len(written) == 1


def _kept(said: list[str], written: list[Transition]) -> list[str]:
    """Return what the processes said that moved something; each stands in the history."""
    ids = [words for words in said if not words.startswith("outdated")]
    assert set(ids) <= {item.id for item in written}
    return ids


def _versions_of(client: Any, name: str) -> list[Any]:
    return list(client.search_model_versions(f"name = '{name}'"))


def test_a_killed_move_is_completed_or_overtaken_by_the_next(client: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from boostlab.registry.history import new_transition

    for _ in range(2):
        add_version(client, name)
    lost = new_transition([], version=1, action="promote", from_stage="none", to_stage="production", who="ana")
    registry.write_transition(client, name, lost)  # and then the process was killed, with the alias not set
    assert stages(view_model(client, name)) == {2: "none", 1: "none"}
    monkeypatch.setattr(registry, "GRACE_MS", 0)
    go(client, name, 2, "production")
    assert aliases(client, name) == {"production": 2}
    assert view_model(client, name).outside == []


def test_names_the_nearest_model_and_the_versions_there_are(client: Any, name: str) -> None:
    add_version(client, name)
    with pytest.raises(LabError, match=f"no model '{name}x'. Did you mean '{name}'"):
        view_model(client, f"{name}x")
    with pytest.raises(LabError, match=r"has no version 9. It has: 1"):
        plan_move(view_model(client, name), "promote", version=9, stage="test")
    with pytest.raises(LabError, match=r"version = 0 names none. Choose a version of .*: 1"):
        plan_move(view_model(client, name), "promote", stage="test")
    go(client, name, 1, "test")
    with pytest.raises(LabError, match="is in test already"):
        plan_move(view_model(client, name), "promote", version=1, stage="test")


def test_a_name_and_a_reason_are_text_whatever_they_contain(client: Any) -> None:
    odd = "it's <b>sugar $x$ é"
    add_version(client, odd)
    go(client, odd, 1, "test", reason="<img src=x onerror=alert(1)> `é`\n**b**")
    assert view_model(client, odd).current.events[0].why == "<img src=x onerror=alert(1)> `é`\n**b**"
    assert odd in [str(model.name) for model in list_models(client)]


def test_an_empty_registry_says_what_to_do_first(tmp_path: Path) -> None:
    client = open_store(find_store(f"sqlite:///{tmp_path}/empty.db", project=tmp_path)).client
    with pytest.raises(LabError, match=r"No model 'sugar': the registry is empty. Register one first: papermill"):
        view_model(client, "sugar")


def test_a_store_that_does_not_answer_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the call and says nothing; then one that is not there; then a file that is gone."""
    from boostlab.tracking import store as store_module

    monkeypatch.setattr(store_module, "TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(StoreError, match="no server answers"):
        open_store(Store(f"http://127.0.0.1:{silent.getsockname()[1]}"))
    client = open_store(find_store(f"sqlite:///{tmp_path}/gone.db", project=tmp_path)).client
    add_version(client, "sugar")
    move = plan_move(view_model(client, "sugar"), "promote", version=1, stage="test")
    (tmp_path / "gone.db").unlink()
    with pytest.raises(StoreError, match="is not there any more"):
        registry.carry_out(client, move, [], who="ana")
    assert not (tmp_path / "gone.db").exists()


def test_a_move_waits_for_another_on_this_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = open_store(find_store(f"sqlite:///{tmp_path}/m.db", project=tmp_path)).client
    add_version(client, "sugar")
    move = plan_move(view_model(client, "sugar"), "promote", version=1, stage="test")
    monkeypatch.setattr(registry, "LOCK_TIMEOUT_S", 0.1)
    command = [sys.executable, "-c", HOLDER, client.tracking_uri]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "1\n"
        with pytest.raises(LabError, match="Another process on this host has been moving sugar"):
            registry.carry_out(client, move, [], who="ana")
        holder.communicate("\n", timeout=60)
    registry.carry_out(client, move, [], who="ana")
