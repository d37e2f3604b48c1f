"""Headless executions that are stopped: by a signal, by the death of the kernel, or by the death of papermill."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from pathlib import Path

import psutil
import pytest
from tests.support.executions import NOTEBOOK, Look, Papermill, Start, Write, run_here, wait_for
from tests.support.stores import all_runs, artifacts, only_run, read_artifact
from tests.support.waiting import TIMEOUT_S, wait_until

from boostlab.execution.client import Client
from boostlab.tracking.journal import journals_folder, waiting_journals

pytestmark = pytest.mark.slow

COURIER = "boostlab.tracking.courier_process"
SLEEPER = """\
from pathlib import Path
import os, time
print('so far', flush=True)
Path('pid').write_text(str(os.getpid()))
time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    """Tell whether a process runs, zombies aside."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_killed_kernel_fails_the_run_and_says_so(write_notebook: Write, papermill: Papermill, store: str, look: Look) -> None:
    path = write_notebook(
        "import os, signal, time\nprint('so far', flush=True)\ntime.sleep(1)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    done = papermill(path, "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 138
    assert done.stderr.strip().splitlines()[-1].endswith("as the system does when memory runs out.")
    run = only_run(look())
    assert run.info.status == "FAILED"
    assert "SIGKILL" in run.data.tags["boostlab.reason"]
    assert artifacts(look(), run.info.run_id) == NOTEBOOK
    kept = json.loads(read_artifact(look(), run.info.run_id, "notebook/tiny.ipynb"))
    assert kept["cells"][-1]["outputs"][0]["text"] == ["so far\n"]
    assert kept["cells"][-1]["metadata"]["papermill"]["status"] == "failed"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_kills_the_run_and_its_kernel(
    write_notebook: Write, start_papermill: Start, store: str, look: Look, signum: signal.Signals, code: int
) -> None:
    path = write_notebook(SLEEPER, "print('never')")
    process = start_papermill(path, "out.ipynb", "-p", "tracking_uri", store)
    kernel = int(wait_for(path.with_name("pid")))
    (journal,) = journals_folder().iterdir()
    assert journal.stat().st_mode & 0o077 == 0
    assert only_run(look()).info.status == "RUNNING"
    process.send_signal(signum)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == code
    assert not is_alive(kernel)
    run = only_run(look())
    assert run.info.status == "KILLED"
    assert run.data.tags["boostlab.reason"] == f"Stopped by {signum.name}."
    assert "so far" in read_artifact(look(), run.info.run_id, "notebook/tiny.ipynb")
    assert artifacts(look(), run.info.run_id) == NOTEBOOK


def test_a_signal_while_the_run_is_made_leaves_one_killed_run(
    write_notebook: Write, start_papermill: Start, store: str, look: Look
) -> None:
    process = start_papermill(write_notebook(SLEEPER), "out.ipynb", "-p", "tracking_uri", store)
    wait_until(waiting_journals)
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, "Traceback" in printed) == (143, False)
    run = only_run(look())
    assert (run.info.status, run.data.tags["boostlab.reason"]) == ("KILLED", "Stopped by SIGTERM.")
    assert not list(journals_folder().iterdir())


def test_a_cell_past_the_limit_of_time_fails_the_run_and_names_the_limit(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    done = papermill(write_notebook(SLEEPER), "out.ipynb", "-p", "tracking_uri", store, "--execution-timeout", "2")
    assert done.returncode == 1
    run = only_run(look())
    reason = "A cell took longer than the limit of 2 s (--execution-timeout)."
    assert (run.info.status, run.data.tags["boostlab.reason"]) == ("FAILED", reason)


def test_a_pool_that_is_still_open_does_not_keep_the_run_from_its_end(
    write_notebook: Write, papermill: Papermill, store: str, look: Look
) -> None:
    pool = "import multiprocessing\npool = multiprocessing.get_context('fork').Pool(2)\nprint(pool.map(abs, [-1, -2]))"
    done = papermill(write_notebook(pool), "out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    assert only_run(look()).info.status == "FINISHED"


def test_a_run_is_killed_also_if_the_interrupted_code_raised_another_error(
    write_notebook: Write, store: str, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(*_arguments: object, **_options: object) -> None:
        with contextlib.suppress(BaseException):  # as in a finalizer, whose exceptions Python drops
            signal.raise_signal(signal.SIGTERM)
        raise RuntimeError("The kernel is gone.")

    monkeypatch.setattr(Client, "execute", execute)
    path = write_notebook("print(x)")
    done = run_here(path, path.with_name("out.ipynb"), "-p", "tracking_uri", store)
    assert done.returncode == 143
    run = only_run(look())
    assert (run.info.status, run.data.tags["boostlab.reason"]) == ("KILLED", "Stopped by SIGTERM.")


def test_a_second_signal_does_not_cut_off_the_record_of_the_first(
    write_notebook: Write, start_papermill: Start, store: str, look: Look
) -> None:
    path = write_notebook(SLEEPER)
    process = start_papermill(path, "out.ipynb", "-p", "tracking_uri", store)
    wait_for(path.with_name("pid"))
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
    process.communicate(timeout=TIMEOUT_S)
    run = only_run(look())
    assert run.info.status == "KILLED"
    assert artifacts(look(), run.info.run_id) == NOTEBOOK
    assert "so far" in (path.parent / "out.ipynb").read_text()


def test_a_run_whose_owner_was_killed_is_ended_by_its_courier(
    write_notebook: Write, start_papermill: Start, store: str, look: Look
) -> None:
    path = write_notebook(SLEEPER)
    process = start_papermill(path, "killed.ipynb", "-p", "tracking_uri", store)
    wait_for(path.with_name("pid"))
    process.kill()
    wait_until(lambda: only_run(look()).info.status != "RUNNING")
    wait_until(lambda: not list(journals_folder().iterdir()))
    run = only_run(look())
    assert run.info.status == "KILLED"
    assert f"Process {process.pid} " in run.data.tags["boostlab.reason"]
    assert artifacts(look(), run.info.run_id) == NOTEBOOK


def test_the_next_execution_ends_a_run_whose_owner_and_courier_were_killed(
    write_notebook: Write, start_papermill: Start, papermill: Papermill, store: str, look: Look
) -> None:
    path = write_notebook(SLEEPER)
    process = start_papermill(path, "killed.ipynb", "-p", "tracking_uri", store, "-p", "run_name", "victim")
    kernel = int(wait_for(path.with_name("pid")))
    (courier,) = [child for child in psutil.Process(process.pid).children() if COURIER in child.cmdline()]
    process.send_signal(signal.SIGSTOP)  # it must not start another courier
    courier.kill()
    process.kill()
    process.wait(TIMEOUT_S)
    assert only_run(look()).info.status == "RUNNING"
    done = papermill(write_notebook("print(x)", name="next.ipynb"), "next_out.ipynb", "-p", "tracking_uri", store)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: not list(journals_folder().iterdir()))
    runs = {run.info.run_name: run for run in all_runs(look())}
    victim = runs.pop("victim")
    assert victim.info.status == "KILLED"
    assert f"Process {process.pid} " in victim.data.tags["boostlab.reason"]
    assert artifacts(look(), victim.info.run_id) == NOTEBOOK
    assert [run.info.status for run in runs.values()] == ["FINISHED"]
    deadline = time.monotonic() + TIMEOUT_S
    while is_alive(kernel) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_alive(kernel)
