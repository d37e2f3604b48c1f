"""Selection of the runs to compare: the best of those that the same rows judge, never runs on different rows together.

The store ranks and filters, so that few runs are fetched, however many it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from boostlab.comparison.search import HAS_VALUE, NO_ROWS, Rows, RunSearch, find_named, read_rows, search_experiments
from boostlab.comparison.settings import Compare
from boostlab.comparison.study import Study, count_pruned, find_study
from boostlab.errors import LabError, suggest
from boostlab.evaluation.metric_names import is_higher_better
from boostlab.models.contract import Task
from boostlab.tracking.facts import STUDY_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TASK_METRICS = {"regression": "test_rmse", "classification": "test_log_loss"}
BEST_VALID = "best_valid_"  # before the name of a metric: the validation metric of the model that the run logged
SPARE_RUNS = 100  # runs that are fetched beyond those that are shown, as some are on other rows


@dataclass(frozen=True)
class Selection:
    """The runs of a comparison."""

    runs: tuple[Run, ...] = ()  #: the same rows judge all of them; the best first
    metric: str = ""
    higher_is_better: bool = False
    rows: Rows = NO_ROWS
    has_more: bool = False  #: whether more runs on these rows match
    others: dict[Rows, Run] = field(default_factory=dict)  #: a recent run on each other split or data set, not ranked
    lacking: tuple[str, ...] = ()  #: names of requested runs that do not have the metric
    study: Study | None = None  #: the study whose trials alone are compared
    pruned: int = 0  #: trials of the runs' studies that a sweep ended early; they are left out

    @property
    def values(self) -> list[float]:
        """The metric of each run."""
        return [run.data.metrics[self.metric] for run in self.runs]

    @property
    def studies(self) -> dict[str, int]:
        """How many of the runs are trials of which study."""
        return dict(Counter(run.data.tags[STUDY_TAG] for run in self.runs if STUDY_TAG in run.data.tags))


def select_runs(client: MlflowClient, settings: Compare) -> Selection:
    """Return the best runs on the rows of the newest run that matches, or on those of most of the named runs.

    Raises
    ------
    LabError
        If an experiment, a study or a run does not exist, the condition cannot be read, or no run that matches has the metric.
    """
    if settings.runs:
        return _rank(find_named(client, settings.runs), settings)
    search = search_experiments(client, settings.experiments, without=settings.experiment).where("attributes.status = 'FINISHED'")
    search = replace(search, without_pruned=True)
    study = find_study(client, settings.study) if settings.study else None
    if study:
        search = search.equal("tags", STUDY_TAG, study.name)
    elif settings.notebook:
        search = search.equal("tags", "boostlab.notebook", settings.notebook)
    search = search.where(settings.search) if settings.search else search
    newest, _ = search.fetch(1)
    if not newest:
        return Selection(metric=settings.metric, study=study, pruned=count_pruned(client, study.name) if study else 0)
    metric, higher = _choose_metric(newest[0], settings, study)
    search = search.where(f"metrics.`{metric}` {HAS_VALUE}")
    found = newest if metric in newest[0].data.metrics else search.fetch(1)[0]
    if not found:
        raise _explain_lack(metric, newest)
    order = f"metrics.`{metric}` {'DESC' if higher else 'ASC'}"
    ranked, has_more = _fetch_ranked(search, found[0], metric, order=order, most=settings.how_many)
    rows = read_rows(found[0], metric)
    elsewhere = search if metric.startswith("cv_") else search.on_other_rows(found[0])
    others = _choose_others(elsewhere.fetch(SPARE_RUNS)[0], rows, metric)
    selection = Selection(tuple(ranked), metric, higher, rows, has_more, others, study=study)
    return replace(selection, pruned=sum(count_pruned(client, name) for name in selection.studies))


def find_valid_metric(run: Run) -> str:
    """Return the name of the metric of the run's model on its validation part; empty if the run recorded none."""
    return next((name for name in run.data.metrics if name.startswith(BEST_VALID)), "")


def choose_test_metric(run: Run, task: Task) -> str:
    """Return the metric of the test part that judges a run: the one that it was trained for, else the usual one of its task."""
    own = f"test_{run.data.tags.get('boostlab.metric', '')}"
    return own if own in run.data.metrics else TASK_METRICS[task]


def _rank(runs: list[Run], settings: Compare) -> Selection:
    metric, higher = _choose_metric(runs[0], settings)
    ranked = [run for run in runs if metric in run.data.metrics]
    if not ranked:
        raise _explain_lack(metric, runs)
    ranked.sort(key=lambda run: run.data.metrics[metric], reverse=higher)
    found = [read_rows(run, metric) for run in ranked]
    rows = max(found, key=found.count)
    kept = tuple(run for run in ranked if read_rows(run, metric) == rows)
    lacking = tuple(run.info.run_name for run in runs if metric not in run.data.metrics)
    return Selection(kept, metric, higher, rows, False, _choose_others(ranked, rows, metric), lacking)


def _fetch_ranked(search: RunSearch, newest: Run, metric: str, *, order: str, most: int) -> tuple[list[Run], bool]:
    """Return the first runs that the same rows judge as the newest one, and whether there are more.

    SQLite sorts the runs of one data set in quadratic time. It therefore sorts all runs, which is fast; those on the same rows
    are searched only if the first runs have few of them.
    """
    rows = read_rows(newest, metric)
    runs, has_more = search.fetch(most + SPARE_RUNS, order=order)
    if rows.digest and has_more and sum(read_rows(run, metric) == rows for run in runs) < most:
        runs, has_more = search.on_rows_of(newest).fetch(most, order=order)
    found = [run for run in runs if read_rows(run, metric) == rows]
    return found[:most], len(found) > most or has_more


def _choose_others(runs: Sequence[Run], rows: Rows, metric: str) -> dict[Rows, Run]:
    """Return the first run on each other split or data set."""
    first: dict[Rows, Run] = {}
    for run in runs:
        first.setdefault(read_rows(run, metric), run)
    first.pop(rows, None)
    return first


def _choose_metric(run: Run, settings: Compare, study: Study | None = None) -> tuple[str, bool]:
    """Return the metric, by default the study's, else the run's own of the validation part, and if higher is better."""
    metric, direction = settings.metric, str(settings.direction)
    if study and not metric and (metric := study.choose_metric(run)) and direction == "auto":
        direction = study.direction
    if not metric:
        of_task = TASK_METRICS.get(run.data.tags.get("boostlab.task", ""), "")
        names = (find_valid_metric(run), of_task, *TASK_METRICS.values())
        metric = next((name for name in names if name in run.data.metrics), "")
    if not metric:
        raise LabError(
            f"The newest run, {run.info.run_name}, has none of {', '.join(TASK_METRICS.values())}. "
            f"Name a metric, as -p metric NAME. It has: {_list_metrics(run)}."
        )
    if direction != "auto":
        return metric, direction == "higher"
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
