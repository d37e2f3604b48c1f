"""Registered versions for tests: real models, recorded as the notebook records them, without a kernel."""

from __future__ import annotations

import tempfile
import time
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import nbformat
import pyarrow.parquet as pq
from tests.support.paths import PROJECT
from tests.support.runs import make_facts
from tests.support.settings import make_settings

from boostlab.data.columns import profile_columns
from boostlab.data.splits import split_table
from boostlab.data.table import load_table
from boostlab.evaluation.holdout import HOLDOUT_PATH, OUT_OF_FOLD_PATH, make_holdout
from boostlab.evaluation.metrics import evaluate_test
from boostlab.evaluation.training_rows import TRAINING_ROWS_PATH, digest_split, make_training_rows
from boostlab.models.packaging import write_model
from boostlab.models.registration import register_model
from boostlab.notebook.parameters import check_parameters
from boostlab.registry.settings import Registry
from boostlab.tracking.delivery import Delivery, add_end
from boostlab.tracking.facts import SPLIT_TAG
from boostlab.tracking.journal import Journal
from boostlab.tracking.store import OpenStore, Store
from boostlab.training.cross_validation import cross_validate
from boostlab.training.fit import fit_booster

STRONG, WEAK, HOPELESS = 40, 4, 1  # boosting rounds


def add_version(client: Any, name: str, *, rounds: int = STRONG, dataset: str = "diabetes", why: str = "", **given: Any) -> int:
    """Record a run of its own with a model and its holdout, register the model, and return the version.

    `given` are other parameters of the training.
    """
    return int(_record(client, _train(dataset, rounds, **given), register_as=name, why=why)["version"])


def copy_version(client: Any, name: str) -> int:
    """Register the model of one run, which all calls for a client share, and return the version: fast, for tests of stages."""
    return register_model(client, client.get_logged_model(_shared_model(client)), name)


def registry_settings(**values: Any) -> Registry:
    """Return the settings of ``registry.ipynb``: its defaults, replaced by the given values."""
    settings = check_parameters(nbformat.read(PROJECT / "notebooks" / "registry.ipynb", as_version=4), values)
    assert isinstance(settings, Registry)
    return settings


def add_run(client: Any, *, with_model: bool = True) -> str:
    """Record a run, and return its id."""
    return str(_record(client, _train("diabetes", STRONG), with_model=with_model)["run_id"])


@lru_cache(maxsize=8)
def _shared_model(client: Any) -> str:
    run = client.get_run(add_run(client))
    return str(run.outputs.model_outputs[0].model_id)


@cache
def _train(dataset: str, rounds: int, **given: Any) -> tuple[Any, ...]:
    shared = {"test_size": 0.4, "valid_size": 0.1, "max_depth": 2, "num_boost_round": rounds}
    lists = {name: list(value) for name, value in given.items() if isinstance(value, tuple)}
    settings = make_settings(dataset=dataset, **shared | given | lists)
    table = load_table(settings)
    parts = split_table(table, settings)
    fit = fit_booster(parts, profile_columns(parts), settings)
    evaluation = evaluate_test(fit.predictor, parts)
    scores = {f"test_{name}": value for name, value in evaluation.scores.items()} | fit.metrics()
    kept = {HOLDOUT_PATH: make_holdout(evaluation), TRAINING_ROWS_PATH: make_training_rows(parts)}
    folds = cross_validate(table, settings)
    scores |= folds.metrics()
    if folds.out_of_fold:
        kept[OUT_OF_FOLD_PATH] = make_holdout(folds.out_of_fold, is_of_model=False)
    tags = {"boostlab.task": table.task, SPLIT_TAG: digest_split(parts)}
    params = {"eta": "0.1", "max_depth": "2", "folds": str(settings.folds)}
    return tags, fit.predictor, parts.train.head(5), scores, kept, table.describe(), params


def _record(
    client: Any, trained: tuple[Any, ...], *, register_as: str = "", why: str = "", with_model: bool = True
) -> dict[str, Any]:
    tags, predictor, example, scores, kept, dataset, params = trained
    store = Store(client.tracking_uri)
    artifacts = store.path.parent / "mlartifacts" if store.scheme == "sqlite" else None
    opened = OpenStore(store.uri, artifacts, client=client)
    now = int(time.time() * 1000)
    facts = make_facts(store=store.shown, run_name=f"train-{why or now}", start_time=now, tags=tags, params=params)
    journal = Journal.create(facts)
    journal.add("metrics", {"points": [(name, value, now, 0) for name, value in scores.items()], "final": True})
    journal.add("dataset", {**dataset, "context": "training"})
    receipts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for path, table in kept.items():
            file = Path(temporary) / "files" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, file)
        journal.add("files", {}, Path(temporary) / "files")
        if with_model:
            write_model(predictor, example, Path(temporary) / "parts")
            entry = journal.add("model", {"name": "model", "register_as": register_as}, Path(temporary) / "parts")
            Delivery(journal, opened).create_run()
            Delivery(journal, opened).send()
            receipts = journal.receipts()[entry.start]
    add_end(journal, "FINISHED", {})
    return receipts | {"run_id": Delivery(journal, opened).complete()}
