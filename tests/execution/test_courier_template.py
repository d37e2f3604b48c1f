"""Couriers that are forked from one process, and what becomes of them when a process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.runs import make_facts
from tests.support.stores import all_runs, only_run, read_artifact
from tests.support.waiting import wait_until

from boostlab.execution.courier_template import CourierTemplate, ForkedCourier
from boostlab.tracking.courier import Courier, Shipment
from boostlab.tracking.delivery import add_end
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import Store, find_store

Begin = Callable[..., tuple[Journal, Shipment]]
OWNER = """
import os, signal, sys
from pathlib import Path
from tests.support.runs import make_facts
from boostlab.execution.courier_template import CourierTemplate
from boostlab.tracking.courier import Courier
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import find_store

store, template = find_store(sys.argv[1], project=Path.cwd()), CourierTemplate()

def begin():
    journal = Journal.create(make_facts(store=store.shown))
    Courier(store, start=template.start_courier).carry(journal, secrets=frozenset()).wait_for_run()
    return journal
"""
KILLED_OWNER = f"{OWNER}\nopen_runs = [begin() for _ in range(3)]\nos.kill(os.getpid(), signal.SIGKILL)"
KILLED_WHILE_LOADING = f"""{OWNER}
first = begin()
journal = Journal.create(make_facts(store=store.shown))
courier = Courier(store, start=template.start_courier)
assert type(courier._process).__name__ == "ForkedCourier"
courier.carry(journal, secrets=frozenset())
os.kill(os.getpid(), signal.SIGKILL)
"""
LOCKED_OWNER = """
import os, sys, threading
from boostlab.execution.courier_template import share_courier_template
with share_courier_template()._lock:
    child = os.fork()
if not child:
    with share_courier_template().start_courier() as courier:
        courier.kill()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("lives")
"""
FULL_OWNER = """
import os, resource
from boostlab.execution.courier_template import CourierTemplate
template = CourierTemplate()
for _ in range(2):
    with template.start_courier() as courier:
        courier.kill()
before = os.listdir("/proc/self/fd")
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
for more in (0, 1, 2, 3):
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(before) - 1 + more, hard))
    try:
        template.start_courier()
    except OSError as error:
        print(error.strerror)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
assert set(os.listdir("/proc/self/fd")) <= set(before)
"""
FORKED_OWNER = f"""{OWNER}
def find_parent():
    (pid,) = [pid for pid in os.listdir("/proc") if pid.isdigit() and "courier_template_process" in read(pid, "cmdline")
              and read(pid, "stat").rpartition(")")[2].split()[1] == str(os.getpid())]
    return pid

def read(pid, name):
    try:
        return Path("/proc", pid, name).read_text(errors="replace")
    except OSError:
        return ""

runs = [begin(), begin()]
template_pid = find_parent()
if not (child := os.fork()):
    sys.exit()
os.waitpid(child, 0)
runs.append(begin())
assert find_parent() == template_pid
print("lives")
"""


@pytest.fixture(scope="module")
def shared() -> CourierTemplate:
    return CourierTemplate()


@pytest.fixture
def template(shared: CourierTemplate) -> Iterator[CourierTemplate]:
    """Return a template whose next courier is a forked one."""
    for _ in range(2):
        with shared.start_courier() as courier:
            if isinstance(courier, ForkedCourier):
                courier.stdout.readline()  # it has begun
            courier.kill()
    wait_until(lambda: not find_forked(shared))
    yield shared
    for courier in find_forked(shared):
        courier.kill()


@pytest.fixture
def own(store: str, tmp_path: Path) -> Store:
    return find_store(store, project=tmp_path)


@pytest.fixture
def begin(own: Store, template: CourierTemplate) -> Begin:
    """Return a function that begins a run with a forked courier."""

    def make(**facts: Any) -> tuple[Journal, Shipment]:
        journal = Journal.create(make_facts(store=own.shown, **facts))
        shipment = Courier(own, start=template.start_courier).carry(journal, secrets=frozenset())
        shipment.wait_for_run()
        return journal, shipment

    return make


def find_forked(template: CourierTemplate) -> list[psutil.Process]:
    """Return the couriers that a template has forked and that run."""
    children = psutil.Process(template.pid).children() if template.pid else []
    return [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_the_first_courier_is_an_ordinary_process_and_the_others_are_forked() -> None:
    template = CourierTemplate()
    started = [template.start_courier() for _ in range(3)]
    try:
        assert [isinstance(courier, ForkedCourier) for courier in started] == [False, True, True]
        wait_until(lambda: len(find_forked(template)) == 2)
        assert len({os.getsid(courier.pid) for courier in find_forked(template)} - {os.getsid(0)}) == 2
    finally:
        for courier in started:
            with courier:
                courier.kill()


def test_a_forked_courier_delivers_a_run(
    begin: Begin, template: CourierTemplate, look: Callable[..., Any], tmp_path: Path
) -> None:
    journal, shipment = begin()
    (tmp_path / "files" / "notes").mkdir(parents=True)
    (tmp_path / "files" / "notes" / "note.txt").write_text("kept")
    journal.add("files", {}, tmp_path / "files")
    journal.add("metrics", {"points": [["loss", 0.5, 1, 0]], "final": True})
    assert len(find_forked(template)) == 1
    add_end(journal, "FINISHED", {})
    shipment.wait_for_end()
    run = only_run(look())
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"loss": 0.5})
    assert read_artifact(look(), run.info.run_id, "notes/note.txt") == "kept"
    wait_until(lambda: not find_forked(template))


def test_it_has_the_environment_the_folder_and_the_umask_of_now(
    begin: Begin, template: CourierTemplate, own: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[..., Any]
) -> None:
    journal, shipment = begin()
    add_end(journal, "FINISHED", {})
    shipment.wait_for_end()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    orphan = Journal.create(make_facts(store=own.shown, run_name="orphan"))
    orphan.release()
    before = os.umask(0o077)
    try:
        journal, shipment = begin(run_name="first")  # one that another template forks is the second
        add_end(journal, "FINISHED", {})
        shipment.wait_for_end()
        journal, shipment = begin(run_name="private")
    finally:
        os.umask(before)
    (courier,) = find_forked(template)
    assert courier.cwd() == str(tmp_path)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "n.txt").write_text("kept")
    journal.add("files", {}, tmp_path / "files")
    add_end(journal, "FINISHED", {})
    shipment.wait_for_end()
    wait_until(lambda: {run.info.run_name: run.info.status for run in all_runs(look())}.get("orphan") == "KILLED")
    private = next(run for run in all_runs(look()) if run.info.run_name == "private")
    assert Path(private.info.artifact_uri.removeprefix("file://")).stat().st_mode & 0o077 == 0


def test_an_ordinary_courier_takes_the_place_of_one_that_was_killed(
    begin: Begin, template: CourierTemplate, look: Callable[..., Any]
) -> None:
    journal, shipment = begin()
    (process,) = find_forked(template)
    process.kill()
    journal.add("metrics", {"points": [["loss", 0.5, 1, 0]], "final": True})
    add_end(journal, "FINISHED", {})
    shipment.wait_for_end()
    assert [(run.info.status, run.data.metrics) for run in all_runs(look())] == [("FINISHED", {"loss": 0.5})]


def test_a_template_that_was_killed_takes_no_courier_with_it(
    begin: Begin, template: CourierTemplate, look: Callable[..., Any]
) -> None:
    first, shipment = begin()
    killed = psutil.Process(template.pid)
    killed.kill()
    killed.wait()
    second, other = begin()
    for journal in (first, second):
        add_end(journal, "FINISHED", {})
    shipment.wait_for_end()
    other.wait_for_end()
    third, last = begin()
    assert len(find_forked(template)) == 1, "there is another template"
    add_end(third, "FINISHED", {})
    last.wait_for_end()
    assert [run.info.status for run in all_runs(look())] == ["FINISHED"] * 3


@pytest.mark.parametrize("is_loaded", [False, True])
def test_goes_if_there_is_nothing_to_carry(own: Store, template: CourierTemplate, *, is_loaded: bool) -> None:
    own.path.unlink()
    if is_loaded:
        with template.start_courier() as courier:
            courier.stdout.readline()
            courier.kill()
    Courier(own, start=template.start_courier).dismiss()
    with template.start_courier() as later:
        later.stdout.readline()
        later.kill()
    wait_until(lambda: not find_forked(template))
    assert not own.path.exists()


def run_owner(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("code", "runs"), [(KILLED_OWNER, 3), (KILLED_WHILE_LOADING, 2)], ids=["later", "while it loads"])
def test_ends_the_runs_of_an_owner_that_was_killed(code: str, runs: int, store: str, look: Callable[..., Any]) -> None:
    done = run_owner(code, store)
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_until(lambda: [run.info.status for run in all_runs(look())] == ["KILLED"] * runs)


def test_a_fork_of_the_owner_leaves_the_template_to_the_owner(store: str) -> None:
    done = run_owner(FORKED_OWNER, store)
    assert done.stdout == "lives\n", done.stderr


def test_a_fork_of_the_owner_does_not_wait_for_a_lock_of_the_owner() -> None:
    done = run_owner(LOCKED_OWNER)
    assert done.stdout == "lives\n", done.stderr


def test_leaves_no_descriptor_open_where_there_are_not_enough() -> None:
    done = run_owner(FULL_OWNER)
    assert (done.returncode, done.stdout) == (0, "Too many open files\n" * 4), done.stderr


def test_an_environment_that_changes_each_time_loads_no_template(monkeypatch: pytest.MonkeyPatch) -> None:
    template = CourierTemplate()
    for number in range(3):
        monkeypatch.setenv("NUMBER", str(number))
        with template.start_courier() as courier:
            assert not isinstance(courier, ForkedCourier)
            courier.kill()


def test_couriers_are_ordinary_where_the_template_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Begin, template: CourierTemplate, look: Callable[..., Any]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'boostlab.execution.courier_template_process' in sys.orig_argv: sys.exit(3)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for _ in range(3):
        journal, shipment = begin()
        add_end(journal, "FINISHED", {})
        shipment.wait_for_end()
    assert not find_forked(template)
    assert [run.info.status for run in all_runs(look())] == ["FINISHED"] * 3
