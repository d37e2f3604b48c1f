"""The other runs that the same rows judge, as a run's courier finds them in the store."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_RIVALS = 20  # runs: each costs a few milliseconds, and each training asks for them


def find_rivals(
    client: MlflowClient, run_id: str, folder: Path, *, tag: str, prefix: str, is_higher: bool, file: str
) -> dict[str, Any]:
    """Return a run's rank among the finished runs that have the same value of a tag, and the best of the others.

    At most the best 20 others are looked at: with 20 better ones, the rank is not known.

    Parameters
    ----------
    folder : pathlib.Path
        Where to put the artifact `file` of the best of the others.
    tag : str
        Tag of all runs that the same rows judge.
    prefix : str
        Start of the name of the metric that ranks.

    Returns
    -------
    dict
        ``metric`` and ``value`` of the run, ``better`` and ``others``, the numbers of runs, and ``best``: ``run_id``,
        ``experiment_id``, ``name``, ``value`` and ``file`` (empty: it cannot be had) of the best of the others, if there is one.
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
        best = runs[0]
        about = {"run_id": best.info.run_id, "experiment_id": best.info.experiment_id, "name": best.info.run_name}
        found["best"] = about | {"value": values[0], "file": ""}
        with contextlib.suppress(Exception):  # whatever an artifact store raises; an old run may have no such file
            found["best"]["file"] = client.download_artifacts(best.info.run_id, file, str(folder))
    return found
