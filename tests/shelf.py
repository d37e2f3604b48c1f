"""Registered versions to test with: real trainings, recorded as the notebook records them, without a kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import requests
from conftest import free_port, wait_until

from boostlab import columns, data, delivery, evaluation, rows, splits, training
from boostlab.journal import Journal
from boostlab.model import write_model
from boostlab.store import Store

STRONG, WEAK, HOPELESS = 40, 4, 1  # boosting rounds


def add_version(client: Any, name: str, *, rounds: int = STRONG, dataset: str = "diabetes", why: str = "") -> int:
    """Train, record a run with its test rows, and register its model; return the version."""
    return int(_record(client, _train(dataset, rounds), register_as=name, why=why)["version"])


def add_run(client: Any, *, with_model: bool = True) -> str:
    """Record a run, and return its id."""
    return str(_record(client, _train("diabetes", STRONG), with_model=with_model)["run_id"])


@cache
def _train(dataset: str, rounds: int) -> tuple[Any, ...]:
    table = data.load_table(dataset)
    task = data.find_task(table.target)
    parts = splits.split_table(table, task=task, test_size=0.4, valid_size=0.1, seed=0)
    features = columns.list_features(columns.study_columns(table, parts.train, task=task))
    params = {"eta": 0.1, "max_depth": 2, "nthread": 1}
    fit = training.fit_booster(parts, features, task=task, params=params, num_boost_round=rounds, early_stopping_rounds=0)
    answers = evaluation.predict_part(fit.predictor, parts.test)
    labels = fit.predictor.contract["labels"]
    scores = evaluation.evaluate_answers(answers, parts.test, task=task, labels=labels)
    kept = rows.keep_rows(parts.test, answers, contract=fit.predictor.contract)
    return task, fit.predictor, parts.train.head(5), evaluation.prefix_names(scores, "test"), kept


def _record(
    client: Any, trained: tuple[Any, ...], *, register_as: str = "", why: str = "", with_model: bool = True
) -> dict[str, Any]:
    task, predictor, example, scores, kept = trained
    store = Store(client.tracking_uri)
    artifacts = store.path.parent / "mlartifacts" if store.kind == "sqlite" else None
    store = Store(client.tracking_uri, artifacts)
    now = int(time.time() * 1000)
    facts = {"store": store.shown, "experiment": "train", "run_name": f"train-{why or now}", "notebook": "train"}
    journal = Journal.create({**facts, "start_time": now, "tags": {"boostlab.task": task}, "params": {}})
    journal.add("metrics", {"points": [(name, value, now, 0) for name, value in scores.items()], "final": True})
    receipts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "files" / rows.PATH
        file.parent.mkdir(parents=True)
        pq.write_table(kept, file)
        journal.add("files", {}, Path(temporary) / "files")
        if with_model:
            write_model(predictor, example, Path(temporary) / "parts")
            entry = journal.add("model", {"name": "model", "register_as": register_as}, Path(temporary) / "parts")
            delivery.create_run(journal, client, store)
            delivery.send(journal, client, store)
            receipts = dict(entry.receipt or {})
    delivery.add_end(journal, "FINISHED", {})
    return receipts | {"run_id": delivery.complete(journal, client, store)}


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Run an MLflow server on loopback for as long as the block lasts, and yield its address."""
    address = f"http://127.0.0.1:{free_port()}"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        address.rpartition(":")[2],
        "--workers",
        "1",
    ]
    process = subprocess.Popen(
        [*command, "--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "kept")],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: _answers(address))
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/health", timeout=5).ok
    except requests.RequestException:
        return False
