"""Recorded runs and the settings of a comparison, for tests."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tests.support.paths import PROJECT

from boostlab.comparison.settings import Compare
from boostlab.notebook.parameters import check_parameters
from boostlab.tracking.facts import PRUNED_TAG, STUDY_TAG, SWEEP_TAG

CLOCK_MS = itertools.count(1000, 1000)


def record_run(
    client: Any,
    name: str,
    *,
    metrics: Mapping[str, float] | None = None,
    digest: str = "d1",
    split: str | None = None,
    notebook: str = "train",
    experiment: str = "train",
    status: str = "FINISHED",
    tags: Mapping[str, str] | None = None,
    **params: object,
) -> str:
    """Record a run as the train notebook does, without files, and return its id. Each run starts a second later.

    Without `split`, the split's digest is that of the data, and runs on one data set have one split.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

    known = client.get_experiment_by_name(experiment)
    uri = client.tracking_uri
    place = Path(uri.removeprefix("sqlite:///")).with_name("mlartifacts").as_uri() if uri.startswith("sqlite") else None
    number = known.experiment_id if known else client.create_experiment(experiment, artifact_location=place)
    start_ms = next(CLOCK_MS)
    every = {"boostlab.notebook": notebook, "boostlab.task": "regression"} | dict(tags or {})
    if split != "":
        every["boostlab.split"] = split or f"split {digest}"
    run_id = client.create_run(number, start_time=start_ms, tags=every, run_name=name).info.run_id
    values = {"eta": 0.1, "seed": 0, "run_name": name, **params}
    points = [Metric(key, value, start_ms, 0) for key, value in (metrics or {}).items()]
    client.log_batch(run_id, metrics=points, params=[Param(key, str(value)) for key, value in values.items()])
    if digest:
        dataset = Dataset(name=f"table {digest}", digest=digest, source_type="local", source="{}")
        client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    client.set_terminated(run_id, status, start_ms + 2500)
    return str(run_id)


def record_sweep(client: Any, study: str, **params: Any) -> str:
    """Record the run of a sweep, and return its id."""
    given: dict[str, Any] = {"metric": "[]", "direction": "[]", "fixed": "{}", "champion": "", "register_as": "", **params}
    return record_run(client, f"sweep-{study}", notebook="sweep", split="", digest="", tags={SWEEP_TAG: study}, **given)


def record_trial(
    client: Any, study: str, number: int, *, metrics: Mapping[str, float] | None = None, pruned: bool = False, **given: Any
) -> str:
    """Record a trial of a study, and return the run's id; a pruned one has no split, as it did not come so far."""
    tags = {STUDY_TAG: study} | ({PRUNED_TAG: "3"} if pruned else {})
    options = {"split": "", "experiment": "sweep", **given} if pruned else {"experiment": "sweep", **given}
    return record_run(client, f"{study}-{number:04d}", metrics=metrics, tags=tags, **options)


def scores(rmse: float) -> dict[str, float]:
    """Return the metrics of a run whose model is as good on the validation part as on the test part."""
    return {"best_valid_rmse": rmse, "test_rmse": rmse, "test_r2": 1 - rmse / 10}


def compare_settings(**given: object) -> Compare:
    """Return the settings of ``compare.ipynb``, with its own defaults."""
    notebook = json.loads((PROJECT / "notebooks" / "compare.ipynb").read_text(encoding="utf-8"))
    return cast(Compare, check_parameters(notebook, given))


def read_names(runs: Any) -> list[str]:
    """Return the names of runs."""
    return [run.info.run_name for run in runs]
