"""Replay: play the scenario with one fault, recover, and check what must hold after every fault."""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from boostlab.errors import LabError
from boostlab.registry import transition
from boostlab.registry.view import view_model
from boostlab.tracking.store import find_store, open_store

from .injection import FAULTS, Point
from .scenario import SECRET, STAGE, find_litter, move, note_modules, read_ledger, recover, request_run

LASTING = ("full disk", "error", "reset", "status 500")
STUCK_S = 300.0  # for a scenario that takes one second
FINAL = ("FINISHED", "FAILED", "KILLED")


class Replays:
    """Replays of the scenario below one folder, each with a store of its own made from an empty one.

    Parameters
    ----------
    empty : pathlib.Path
        The database of an empty store.
    address : str
        Address of a server; empty: SQLite stores.
    """

    def __init__(self, folder: Path, empty: Path, *, address: str = "") -> None:
        self.folder, self.empty, self.address = folder, empty, address
        self.predictor, self.example = _make_model()
        _keep_memory()
        self._number = 0

    def trace(self) -> list[Point]:
        """Play the scenario without a fault, and return all its operations."""
        root, problems = self._play(None)
        assert not problems, problems
        for name in dict.fromkeys((root / "modules").read_text().split()):
            with suppress(Exception):  # such as a module that another name brings with it
                importlib.import_module(name)
        _keep_memory()
        lines = [line.split() for line in (root / "trace").read_text().splitlines()]
        return [Point(" ".join(role), int(number), kind) for *role, number, kind in lines]

    def replay(self, point: Point) -> list[str]:
        """Play the scenario with a fault, and return what is violated."""
        root, problems = self._play(point)
        if not problems:
            shutil.rmtree(root)
        return problems

    def _play(self, point: Point | None) -> tuple[Path, list[str]]:
        self._number += 1
        root = self.folder / f"replay-{os.getpid()}-{self._number}"
        (root / "state").mkdir(parents=True)
        if not self.address:
            _copy_store(self.empty, root)
        _in_child(root, lambda: request_run(root, self._store(root), self.predictor, self.example, point))
        _in_child(root, lambda: _check_and_note(root, self._store(root), is_clean=point is None))
        found = root / "problems.json"
        return root, json.loads(found.read_text()) if found.exists() else [f"the check died: {(root / 'log').read_text()[-400:]}"]

    def _store(self, root: Path) -> Any:
        return find_store(self.address or f"sqlite:///{root}/mlflow.db", project=root)


def all_faults(operations: list[Point]) -> Iterator[Point]:
    """Yield each operation with each of its faults, once and, where it can last, lasting."""
    for operation in operations:
        for fault in FAULTS[operation.kind]:
            for lasts in (False, True) if fault in LASTING else (False,):
                yield Point(operation.role, operation.number, operation.kind, fault, lasts)


def sample(points: list[Point], count: int, seed: int) -> list[Point]:
    """Return a random sample that does not depend on anything but the seed."""
    return random.Random(seed).sample(points, min(count, len(points)))


def _check_and_note(root: Path, store: Any, *, is_clean: bool) -> None:
    (root / "problems.json").write_text(json.dumps(list(_check(root, store, is_clean=is_clean))))
    if is_clean:
        note_modules(root)


def _check(root: Path, store: Any, *, is_clean: bool) -> Iterator[str]:
    """Recover, and yield each promise that is broken."""
    for message in recover(store):
        yield f"not recovered: {message}"
    outcome = json.loads((root / "outcome.json").read_text()) if (root / "outcome.json").exists() else {}
    if (root / "stuck").exists():
        yield "it hangs"
    ledger = read_ledger(root)
    client = open_store(store).client
    experiment = client.get_experiment_by_name(root.name)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    if len(runs) > 1:
        yield f"{len(runs)} runs"
    if ledger and not runs:
        yield "the run is lost"
    for run in runs:
        yield from _check_run(client, run, ledger, outcome)
    yield from _check_versions(client, store, root.name, ledger, outcome)
    if litter := find_litter():
        yield f"litter: {litter}"
    if holders := subprocess.run(["grep", "-rlF", SECRET, root], capture_output=True, text=True, check=False).stdout.split():
        yield f"the secret is in {holders}"
    if is_clean and not (outcome.get("delivered") and outcome.get("promoted")):
        yield f"it did not work without a fault: {outcome}"


def _check_run(client: Any, run: Any, ledger: list[Any], outcome: dict[str, Any]) -> Iterator[str]:
    status, run_id = run.info.status, run.info.run_id
    if status not in FINAL:
        yield f"the run is {status}"
    if outcome.get("delivered") and status != outcome["status"]:
        yield f"the run is {status}, but its command was told {outcome['status']}"
    if status == "FINISHED" and len(ledger) < 8:
        yield f"the run is FINISHED with {len(ledger)} of 8 records"
    promised = {record["metric"]: record["count"] for record in ledger if "metric" in record}
    for name in ("first", "second", "curve"):
        steps = [(point.step, point.value, point.timestamp) for point in client.get_metric_history(run_id, name)]
        if len(steps) != len(set(steps)):
            yield f"the metric {name} has a value twice"
        if len(steps) < promised.get(name, 0):
            yield f"the metric {name} has {len(steps)} of {promised[name]} values"
    files = {item.path for item in client.list_artifacts(run_id, "pages")}
    for record in ledger:
        if "tag" in record and record["tag"] not in run.data.tags:
            yield f"the tag {record['tag']} is lost"
        if "file" in record and record["file"] not in files:
            yield f"the file {record['file']} is lost"
        if "dataset" in record and len(run.inputs.dataset_inputs) != 1:
            yield "the data set is lost or there twice"
    models = client.search_logged_models([run.info.experiment_id], filter_string=f"source_run_id = '{run_id}'")
    if len(models) > 1:
        yield f"{len(models)} logged models"
    if status in FINAL and any(str(model.status) == "PENDING" for model in models):
        yield "a model is neither ready nor failed"


def _check_versions(client: Any, store: Any, name: str, ledger: list[Any], outcome: dict[str, Any]) -> Iterator[str]:
    versions = client.search_model_versions(f"name = '{name}'")
    if len(versions) > 1:
        yield f"{len(versions)} versions"
    if not versions:
        if any("model" in record for record in ledger):
            yield "the version is lost"
        return
    if outcome.get("promoted") and view_model(client, name).version(1).stage != STAGE:
        yield "the promotion is lost"
    try:
        transition.PATIENCE_S = 0.1
        move(store, name, STAGE)  # as the user does who was told of an error
        view = view_model(client, name)
        shown = [(item.version, item.to_stage) for item in view.history.transitions]
        if view.version(1).stage != STAGE or shown != [(1, STAGE)]:
            yield f"the stage is {view.version(1).stage}, the history {shown}"
        move(store, name, "archived")
    except LabError as error:
        yield f"no transition is possible: {error}"
        return
    written = [(item.version, item.to_stage) for item in view_model(client, name).recorded.transitions]
    if written != [(1, STAGE), (1, "archived")]:
        yield f"the recorded history is {written}"


def _keep_memory() -> None:
    """Leave out what is loaded from now on when garbage is collected: each forked process would copy all of it."""
    gc.collect()
    gc.freeze()


def _in_child(root: Path, act: Any) -> None:
    """Do something in a forked process with a state folder of its own."""
    child = os.fork()
    if not child:
        os.environ["XDG_STATE_HOME"] = str(root / "state")
        os.environ["FAULTS_LOG"] = str(root / "log")
        code = 1
        try:
            os.setsid()
            with open(root / "log", "a") as log:  # noqa: PTH123
                os.dup2(log.fileno(), 2)
            act()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc(file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(code)
    deadline = time.monotonic() + STUCK_S
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > deadline:  # a hang is a violation too: no outcome is found then
            (root / "stuck").touch()
            os.killpg(child, signal.SIGKILL)
            deadline += STUCK_S
        time.sleep(0.01)


def _copy_store(empty: Path, root: Path) -> None:
    import sqlite3
    from contextlib import closing

    shutil.copy(empty, root / "mlflow.db")
    with closing(sqlite3.connect(root / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", [f"{(root / 'mlartifacts').as_uri()}/0"])


def _make_model() -> tuple[Any, Any]:
    """Return a small predictor and its rows, and load everything that the scenario needs."""
    import numpy as np
    import pandas as pd
    import xgboost as xgb
    from sqlalchemy.orm import configure_mappers

    from boostlab.models import packaging
    from boostlab.models.contract import Contract, Feature
    from boostlab.models.predictor import Predictor
    from boostlab.notebook import page

    rows = pd.DataFrame({"a": np.arange(6.0) / 4})
    booster = xgb.train({"nthread": 1}, xgb.DMatrix(rows, label=[0, 0, 1, 1, 2, 2], nthread=1), num_boost_round=2)
    packaging.preload()
    page.preload()
    importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
    importlib.import_module("mlflow.store.model_registry.sqlalchemy_store")
    configure_mappers()
    return Predictor(booster, Contract("regression", (), (Feature("a", "number", "double"),))), rows
