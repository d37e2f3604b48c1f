"""Parameters, metrics, tags and files of a run on their way to the store, in as few requests as possible."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boostlab.tracking.entries import Entry

if TYPE_CHECKING:
    from mlflow import MlflowClient

TYPES = ("metrics", "tags", "files")  # of entries
POINTS_PER_CALL = 900  # metrics of one request; MLflow allows 1000 of all kinds together
PARAMS_PER_CALL = 100
TAGS_PER_CALL = 100


def send_batch(client: MlflowClient, run_id: str, entries: Sequence[Entry], *, is_repeated: bool) -> None:
    """Send entries of these types: metrics and tags together, then files.

    Parameters
    ----------
    is_repeated : bool
        Whether the store may have some of them already.
    """
    from mlflow.entities import Metric, RunTag

    points = [Metric(*point) for entry in entries if entry.type == "metrics" for point in entry.content["points"]]
    if is_repeated:
        points = _without_known(client, run_id, points)
    texts = {key: str(value) for entry in entries if entry.type == "tags" for key, value in entry.content.items()}
    tags = [RunTag(key, value) for key, value in texts.items()]
    for metrics, some in itertools.zip_longest(cut(points, POINTS_PER_CALL), cut(tags, TAGS_PER_CALL)):
        client.log_batch(run_id, metrics=metrics or (), tags=some or ())
    damaged = [name for entry in entries if entry.type == "files" for name in _send_files(client, run_id, entry)]
    if damaged:
        client.set_tag(run_id, "boostlab.lost_files", ", ".join(damaged))


def send_params(client: MlflowClient, run_id: str, params: Sequence[Any]) -> None:
    """Send the parameters of a run."""
    for part in cut(params, PARAMS_PER_CALL):
        client.log_batch(run_id, params=part)


def cut(items: Sequence[Any], length: int) -> Iterator[list[Any]]:
    """Yield the items in lists of at most `length`."""
    return (list(items[start : start + length]) for start in range(0, len(items), length))


def _send_files(client: MlflowClient, run_id: str, entry: Entry) -> list[str]:
    """Send the files of an entry, and return the names of those that a loss of power has damaged."""
    damaged = entry.damaged_files()
    if not damaged:
        client.log_artifacts(run_id, str(entry.files))
        return []
    for name in sorted(entry.sizes.keys() - set(damaged)):
        folder = str(Path(name).parent)
        client.log_artifact(run_id, str(entry.files / name), None if folder == "." else folder)
    return damaged


def _without_known(client: MlflowClient, run_id: str, points: list[Any]) -> list[Any]:
    """Return the metrics that the store does not have yet: a store of plain files keeps each one that is sent twice."""
    keys = {point.key for point in points}
    known = {_identify(point) for key in keys for point in client.get_metric_history(run_id, key)}
    return [point for point in points if _identify(point) not in known]


def _identify(point: Any) -> tuple[str, str, int, int]:
    """Return what tells a metric's values apart; two NaN would not be equal as numbers."""
    return point.key, repr(float(point.value)), point.timestamp, point.step
