"""Selection of the runs to compare: the best on one data set, never runs on different data together.

The store ranks and filters, so that few runs are fetched, however many it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from boostlab.comparison.search import HAS_VALUE, NO_DATASET, Dataset, RunSearch, find_named, read_dataset, search_experiments
from boostlab.comparison.settings import Compare
from boostlab.errors import LabError, suggest
from boostlab.training.metrics import is_higher_better

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TASK_METRICS = {"regression": "test_rmse", "classification": "test_log_loss"}
SPARE_RUNS = 100  # runs that are fetched beyond those that are shown, as some are on other data


@dataclass(frozen=True)
class Selection:
    """The runs of a comparison."""

    runs: tuple[Run, ...] = ()  #: all on one data set, the best first
    metric: str = ""
    higher_is_better: bool = False
    dataset: Dataset = NO_DATASET
    has_more: bool = False  #: whether more runs on this data match
    others: dict[Dataset, Run] = field(default_factory=dict)  #: a recent run on each other data set, not ranked
    lacking: tuple[str, ...] = ()  #: names of requested runs that do not have the metric

    @property
    def values(self) -> list[float]:
        """The metric of each run."""
        return [run.data.metrics[self.metric] for run in self.runs]


def select_runs(client: MlflowClient, settings: Compare) -> Selection:
    """Return the best runs on one data set: that of the newest run that matches, or that of most of the named runs.

    Raises
    ------
    LabError
        If an experiment or a run does not exist, the condition cannot be read, or no run that matches has the metric.
    """
    if settings.runs:
        return _rank(find_named(client, settings.runs), settings)
    search = search_experiments(client, settings.experiments, without=settings.experiment).where("attributes.status = 'FINISHED'")
    search = search.equal("tags", "boostlab.notebook", settings.notebook) if settings.notebook else search
    search = search.where(settings.search) if settings.search else search
    newest, _ = search.fetch(1)
    if not newest:
        return Selection(metric=settings.metric)
    metric, higher = _choose_metric(newest[0], settings)
    search = search.where(f"metrics.`{metric}` {HAS_VALUE}")
    found = newest if metric in newest[0].data.metrics else search.fetch(1)[0]
    if not found:
        raise _explain_lack(metric, newest)
    dataset = read_dataset(found[0])
    order = f"metrics.`{metric}` {'DESC' if higher else 'ASC'}"
    ranked, has_more = _fetch_ranked(search, dataset, order=order, most=settings.how_many)
    others = _choose_others(search.without(dataset).fetch(SPARE_RUNS)[0], dataset)
    return Selection(tuple(ranked), metric, higher, dataset, has_more, others)


def _rank(runs: list[Run], settings: Compare) -> Selection:
    metric, higher = _choose_metric(runs[0], settings)
    ranked = [run for run in runs if metric in run.data.metrics]
    if not ranked:
        raise _explain_lack(metric, runs)
    ranked.sort(key=lambda run: run.data.metrics[metric], reverse=higher)
    datasets = [read_dataset(run) for run in ranked]
    dataset = max(datasets, key=datasets.count)
    kept = tuple(run for run in ranked if read_dataset(run) == dataset)
    lacking = tuple(run.info.run_name for run in runs if metric not in run.data.metrics)
    return Selection(kept, metric, higher, dataset, False, _choose_others(ranked, dataset), lacking)


def _fetch_ranked(search: RunSearch, dataset: Dataset, *, order: str, most: int) -> tuple[list[Run], bool]:
    """Return the first runs on one data set, and whether there are more.

    SQLite sorts the runs of one data set in quadratic time. It therefore sorts all runs, which is fast; those of the data set are
    searched only if the first runs have few of them.
    """
    runs, has_more = search.fetch(most + SPARE_RUNS, order=order)
    if dataset.digest and has_more and sum(read_dataset(run) == dataset for run in runs) < most:
        runs, has_more = search.equal("dataset", "digest", dataset.digest).fetch(most, order=order)
    found = [run for run in runs if read_dataset(run) == dataset]
    return found[:most], len(found) > most or has_more


def _choose_others(runs: Sequence[Run], dataset: Dataset) -> dict[Dataset, Run]:
    """Return the first run on each other data set."""
    first: dict[Dataset, Run] = {}
    for run in runs:
        first.setdefault(read_dataset(run), run)
    first.pop(dataset, None)
    return first


def _choose_metric(run: Run, settings: Compare) -> tuple[str, bool]:
    """Return the metric, by default that of a run's task, and whether a higher value is better."""
    metric = settings.metric
    if not metric:
        of_task = TASK_METRICS.get(run.data.tags.get("boostlab.task", ""), "")
        metric = next((name for name in (of_task, *TASK_METRICS.values()) if name in run.data.metrics), "")
    if not metric:
        raise LabError(
            f"The newest run, {run.info.run_name}, has none of {', '.join(TASK_METRICS.values())}. "
            f"Name a metric, as -p metric NAME. It has: {_list_metrics(run)}."
        )
    if settings.direction != "auto":
        return metric, settings.direction == "higher"
    try:
        return metric, is_higher_better(metric)
    except LabError as error:
        raise LabError(f"{error} For another metric, give the direction: -p direction lower, or higher.") from None


def _explain_lack(metric: str, runs: Sequence[Run]) -> LabError:
    names = {name for run in runs for name in run.data.metrics}
    first = f"{runs[0].info.run_name} has: {_list_metrics(runs[0])}."
    return LabError(f"No run that matches has the metric {metric!r}.{suggest(metric, names)} {first}")


def _list_metrics(run: Run) -> str:
    return ", ".join(sorted(run.data.metrics)) or "no metric"
