"""The scenario: a run is requested, a notebook records into it and registers a model, the run ends, its version is promoted.

All processes are forked from one that has loaded everything, so that a replay takes a second. The owner, the notebook, the
courier and the registry run the code of a real execution; only the kernel's protocol and papermill are left out. What the
notebook was told to be recorded is noted in a ledger, and compared with the store in the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat

from boostlab.errors import LabError, OutdatedError
from boostlab.registry.history import Stage
from boostlab.registry.settings import TransitionAction
from boostlab.registry.transition import apply_transition, request_transition
from boostlab.registry.view import view_model
from boostlab.tracking import courier as courier_module, courier_process, recovery
from boostlab.tracking.courier import Courier
from boostlab.tracking.journal import journals_folder, waiting_journals
from boostlab.tracking.owner import open_run
from boostlab.tracking.run import Run
from boostlab.tracking.store import Store, open_store

from .injection import Injector, Point

SECRET = "hunter22-is-secret"
STAGE: Stage = "staging"
QUIET_S = 120.0  # for processes that go on after the owner; they end by themselves


class ForkedProcess:
    """A forked courier with the part of :class:`subprocess.Popen` that an owner uses."""

    def __init__(self, injector: Injector) -> None:
        order, orders = os.pipe()
        report, reports = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            _run_courier(injector, order, reports, close=(orders, report))
        os.close(order)
        os.close(reports)
        self.stdin, self.stdout = os.fdopen(orders, "w"), os.fdopen(report)
        self.returncode: int | None = None

    def __enter__(self) -> ForkedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        with contextlib.suppress(OSError):
            self.stdin.close()
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def request_run(root: Path, store: Store, predictor: Any, example: Any, point: Point | None) -> None:
    """Play the whole scenario with one fault; the outcome is written to ``outcome.json`` in `root`."""
    injector = Injector(root, point)
    injector.install()
    quick: dict[str, Any] = {"PAUSES_S": (0.02,), "OWNER_POLL_S": 0.05, "_preload": bool}  # all is loaded
    for name, value in quick.items():
        setattr(courier_process, name, value)
    setattr(courier_module, "subprocess", _Subprocess(injector))  # noqa: B010
    outcome: dict[str, Any] = {"status": "", "delivered": False, "promoted": False, "error": ""}
    try:
        courier = Courier(store)
        values = {"experiment": root.name, "api_token": SECRET}
        output = root / "out.ipynb"
        with open_run(values, courier, notebook=root / "train.ipynb", origin="papermill", output_path=output) as owner:
            owner.begin()
            kernel = os.fork()
            if not kernel:
                _run_kernel(injector, owner.journal.path, predictor, example)
            code = os.waitstatus_to_exitcode(os.waitpid(kernel, 0)[1])
            outcome["status"] = "FINISHED" if code == 0 else "FAILED"
            said = nbformat.v4.new_output("stream", text=f"it says {SECRET}")
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[said])])
            owner.note_end(notebook, outcome["status"], {"boostlab.reason": f"as planned, {SECRET}"})
            owner.deliver()
            outcome["delivered"] = True
        injector.become("registrar")
        if outcome["status"] == "FINISHED":
            move(store, root.name, STAGE)
            outcome["promoted"] = True
    except LabError as error:
        outcome["error"] = f"{type(error).__name__}: {error}"
    is_clean, injector.point = injector.point is None, None
    (root / "outcome.json").write_text(json.dumps(outcome))
    if is_clean:
        injector._is_busy = True
        note_modules(root)


def move(store: Store, name: str, stage: Stage) -> None:
    """Move the first version of a model into a stage, as a user does: after a refusal the user reads the model again."""
    client = open_store(store).client
    for is_last in (False, True):
        view = view_model(client, name)
        if view.version(1).stage == stage:
            return
        action: TransitionAction = "archive" if stage == "archived" else "promote"
        try:
            apply_transition(client, request_transition(view, action, version=1, stage=stage), who="tester")
        except OutdatedError:
            if is_last:
                raise


def recover(store: Store) -> list[str]:
    """Do what the next execution does with what is left, once the processes of the scenario have ended."""
    deadline = time.monotonic() + QUIET_S
    while (any(not _is_free(journal) for journal in waiting_journals()) or _find_removals()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return list(recovery.complete_orphans(open_store(store)))


def _find_removals() -> list[str]:
    """Return the journals that living processes are making or removing."""
    return [name for name in find_litter() if name.startswith(".") and Path(f"/proc/{name.split('-')[-2]}").exists()]


def _is_free(journal: Any) -> bool:
    found = bool(journal.acquire_delivery() and journal.acquire()) or not journal.path.exists()
    journal.release()
    return found


def _run_kernel(injector: Injector, journal: Path, predictor: Any, example: Any) -> None:
    """Record as a notebook does, and note in the ledger what was accepted; never return."""
    from boostlab.tracking.journal import Journal

    injector.become("kernel")
    ledger = os.fdopen(injector._open(f"{injector.root}/ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND), "w")

    def note(**record: Any) -> None:
        injector._is_busy = True  # the ledger is no part of the scenario
        ledger.write(json.dumps(record) + "\n")
        ledger.flush()
        injector._is_busy = False

    def work() -> None:
        run = Run(Journal(journal), secrets=frozenset({SECRET}))
        for step in range(3):
            run.log_metrics({"first": step, "second": step / 2})
            note(metric="first", count=step + 1)
        run.log_curves({"curve": [3.0, 2.0, 1.0]})
        note(metric="curve", count=3)
        run.log_tags({"said": f"about {SECRET}", "split": Path(injector.root).name})
        note(tag="said")
        run.log_dataset({"name": "d", "digest": "1", "source_type": "code", "source": "{}", "schema": "{}", "profile": "{}"})
        note(dataset="d")
        run.log_text(f"a page with {SECRET}", "pages/a.txt")
        note(file="pages/a.txt")
        run.log_model(predictor, example, register_as=Path(injector.root).name)
        note(model="model")
        run.find_rivals(tag="split", prefix="first", is_higher=False, file="pages/a.txt")
        run.finish()

    _end(work, injector)


def _run_courier(injector: Injector, order: int, reports: int, close: tuple[int, int]) -> None:
    """Run a courier in a forked process; never return."""
    for handle in close:
        os.close(handle)
    os.setsid()
    os.dup2(order, 0)
    os.dup2(reports, 1)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    injector.become("courier" if threading.current_thread() is threading.main_thread() else "second courier")
    _end(courier_process.main, injector)


def _end(work: Callable[[], None], injector: Injector) -> None:
    """Do the work of a forked process, and end the process."""
    code = 1
    try:
        work()
        code = 0
    except LabError:
        pass
    except BaseException:
        with open(os.environ["FAULTS_LOG"], "a") as log:  # noqa: PTH123
            log.write(traceback.format_exc())
    finally:
        if injector.point is None:
            injector._is_busy = True
            note_modules(Path(injector.root))
        os._exit(code)


def note_modules(root: Path) -> None:
    """Note which modules this process has loaded: the process that forks replays loads them once."""
    with (root / "modules").open("a") as file:
        file.write(" ".join([*sys.modules, ""]))


class _Subprocess:
    """The module :mod:`subprocess` for the owner's side of a courier, with forked processes."""

    PIPE = DEVNULL = None

    def __init__(self, injector: Injector) -> None:
        self._injector = injector

    def Popen(self, *_: Any, **__: Any) -> ForkedProcess:  # noqa: N802
        return ForkedProcess(self._injector)


def read_ledger(root: Path) -> list[Mapping[str, Any]]:
    """Return what the notebook was told to be recorded."""
    path = root / "ledger"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def find_litter() -> list[str]:
    """Return what is left in the folder of journals."""
    folder = journals_folder()
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
