"""The other runs that the same rows judge, as a run's courier finds them in the store."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # how stores answer that a model, an alias or a run is not there
MOST_RIVALS = 20  # runs: each costs a few milliseconds, and each training asks for them


def find_rivals(
    client: MlflowClient, run_id: str, folder: Path, *, tag: str, prefix: str, is_higher: bool, file: str, model: str = ""
) -> dict[str, Any]:
    """Return a run's rank among the finished runs that have the same value of a tag, the best of the others, and the champion.

    At most the best 20 others are looked at: with 20 better ones, the rank is not known.

    Parameters
    ----------
    folder : pathlib.Path
        Where to put the artifact `file` of the best of the others.
    tag : str
        Tag of all runs that the same rows judge.
    prefix : str
        Start of the name of the metric that ranks.
    model : str
        The registered model whose version in production is the champion; empty: none.

    Returns
    -------
    dict
        ``metric`` and ``value`` of the run, ``better`` and ``others``, the numbers of runs, and ``best``: ``run_id``,
        ``experiment_id``, ``name``, ``value`` and ``file`` (empty: it cannot be had) of the best of the others, if there is one.
        The same without ``value`` of the ``champion``, if there is one, with its ``version``, and ``is_on_rows``: whether it has
        the same value of the tag.
    """
    own = client.get_run(run_id).data
    metric = next(name for name in own.metrics if name.startswith(prefix))
    value = own.metrics[metric]
    condition = f"attributes.status = 'FINISHED' AND tags.`{tag}` = '{own.tags[tag]}' AND metrics.`{metric}` > -1.7e308"
    experiments = [each.experiment_id for each in client.search_experiments()]
    order = f"metrics.`{metric}` {'DESC' if is_higher else 'ASC'}"
    runs = client.search_runs(experiments, condition, max_results=MOST_RIVALS, order_by=[order])
    values = [run.data.metrics[metric] for run in runs]
    better = sum(other > value if is_higher else other < value for other in values)
    found = {"metric": metric, "value": value, "better": better, "others": len(runs)}
    if runs:
        found["best"] = _describe(client, runs[0], file, folder / "best") | {"value": values[0]}
    if champion := model and _find_champion(client, model):
        version, run = champion
        is_on_rows = run.data.tags.get(tag) == own.tags[tag]
        about = _describe(client, run, file if is_on_rows else "", folder / "champion")
        found["champion"] = about | {"version": version, "is_on_rows": is_on_rows}
    return found


def _describe(client: MlflowClient, run: Run, file: str, folder: Path) -> dict[str, Any]:
    about = {"run_id": run.info.run_id, "experiment_id": run.info.experiment_id, "name": run.info.run_name, "file": ""}
    with contextlib.suppress(Exception):  # whatever an artifact store raises; an old run may have no such file
        folder.mkdir(exist_ok=True)
        about["file"] = client.download_artifacts(run.info.run_id, file, str(folder)) if file else ""
    return about


def _find_champion(client: MlflowClient, model: str) -> tuple[int, Run] | None:
    """Return the number and the run of the version in production; None if there is none, or its run was deleted."""
    from mlflow.exceptions import MlflowException

    try:
        version = client.get_model_version_by_alias(model, "production")
        return int(version.version), client.get_run(version.run_id)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        return None
