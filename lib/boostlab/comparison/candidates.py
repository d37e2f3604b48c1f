"""The comparison of two runs that allows for the choice of the challenger among many runs.

The best of many equal models looks better on the test rows than it is. The validation rows rank the runs, so the run that they
rank first was not chosen by its test rows. The error that the interval may make is divided among the runs by this rank: half of
it for the first, a sixth for the second, 1 / (r (r + 1)) for number r. The rows of a cross-validation have the validation rows
among them: there each run has the same part. The parts sum to at most one: whichever run is chosen, and in whichever way, a
challenger that is not better is called better in at most 2.5 % of cases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from boostlab.comparison.paired import ALPHA, Difference, compare_pair
from boostlab.comparison.rows import pair_runs
from boostlab.comparison.search import search_experiments
from boostlab.comparison.selection import BEST_VALID, choose_test_metric, find_valid_metric
from boostlab.comparison.study import count_pruned
from boostlab.errors import LabError
from boostlab.evaluation.metric_names import is_higher_better
from boostlab.tracking.facts import SPLIT_TAG, STUDY_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MOST_COUNTED = 1000  # runs; beyond that the error is practically zero, or no longer depends on the number


@dataclass(frozen=True)
class Choice:
    """The place of a run among all runs that could have been chosen instead."""

    metric: str  #: the validation metric that ranks the runs; empty: the run recorded none
    rank: int = 1  #: the number of models that are at least as good by this metric, that of the run itself included
    candidates: int = 1  #: the number of models on the same split with this metric, without the champion's
    metrics: int = 1  #: the number of validation metrics on the same split; each ranks its own models
    pruned: int = 0  #: the number of trials that sweeps on the same split ended early, as others were better
    is_ranked: bool = True  #: whether other rows than the compared ones rank the runs; else each has the same part of the error

    @property
    def alpha(self) -> float:
        """The error on each side of the interval."""
        count = self.candidates + self.pruned
        shares = self.rank * (self.rank + 1) / (1 + 1 / count) if self.is_ranked else count
        return ALPHA / self.metrics / shares

    def describe(self) -> str:
        """Return in words what widens the interval; empty if there was no choice."""
        if not self.metric:
            return "It is not known how many runs were tried on these rows: the interval does not allow for a choice among them."
        if self.candidates == self.metrics == 1 and not self.pruned:
            return ""
        more = "more than " if self.candidates >= MOST_COUNTED else ""
        others = f" Other models on this split have {self.metrics - 1} other validation metric(s)." if self.metrics > 1 else ""
        others += f" {self.pruned} trial(s) were pruned, and count too." if self.pruned else ""
        if not self.is_ranked:
            return f"There are {more}{self.candidates} models on this split.{others} The interval allows for a choice among them."
        return (
            f"Of {more}{self.candidates} models on this split, the challenger is number {self.rank} by {self.metric}.{others} "
            "The interval allows for a choice among them."
        )


def compare_runs(
    client: MlflowClient, *, champion: Run, challenger: Run, metric: str = "", alpha: float | None = None
) -> Difference:
    """Return the difference of two runs' models on rows that neither has learned from.

    Parameters
    ----------
    metric : str
        A metric of the test part; empty: the challenger's own.
    alpha : float, optional
        The error on each side of the interval; None: 0.025 for a challenger without competitors, else its part of that.

    Raises
    ------
    LabError
        If the runs have no common rows, or the metric is not defined on them.
    """
    pair = pair_runs(client, champion=champion.info.run_id, challenger=challenger.info.run_id)
    metric = metric or choose_test_metric(challenger, pair.task)
    if alpha is not None:
        return compare_pair(pair, metric=metric, alpha=alpha)
    choice = replace(rank_candidate(client, challenger, champion=champion), is_ranked=not pair.has_valid_rows)
    caution = f"{pair.caution} {choice.describe()}".strip()
    return compare_pair(replace(pair, caution=caution), metric=metric, alpha=choice.alpha)


def rank_candidate(client: MlflowClient, run: Run, *, champion: Run) -> Choice:
    """Return the place of a run among all runs on its split, without the champion, by their validation metric.

    Runs with equal metrics on both parts have the same model and count once. Pruned trials have no such metric: those
    of all studies that the runs belong to count by their number.
    """
    metric, split = find_valid_metric(run), run.data.tags.get(SPLIT_TAG, "")
    if not metric or not split:
        return Choice("")
    search = search_experiments(client).equal("tags", SPLIT_TAG, split)
    sign = ">=" if _is_higher_better(metric) else "<="
    found = search.fetch(MOST_COUNTED)[0]
    at_least = search.where(f"metrics.`{metric}` {sign} {run.data.metrics[metric]!r}").fetch(MOST_COUNTED)[0]
    rivals = [other for other in found if metric in other.data.metrics]
    rank, candidates = (len({*map(_read_metrics, runs)} - {_read_metrics(champion)}) for runs in (at_least, rivals))
    metrics = {find_valid_metric(other) for other in found} - {""}
    studies = {other.data.tags[STUDY_TAG] for other in (run, *found) if STUDY_TAG in other.data.tags}
    pruned = sum(count_pruned(client, study) for study in studies)
    return Choice(metric, max(1, rank), max(1, candidates), max(1, len(metrics)), pruned)


def _read_metrics(run: Run) -> tuple[tuple[str, float], ...]:
    """Return the metrics of a run's model, by which it is recognised."""
    return tuple(sorted(item for item in run.data.metrics.items() if item[0].startswith((BEST_VALID, "test_"))))


def _is_higher_better(metric: str) -> bool:
    try:
        return is_higher_better(metric)
    except LabError:  # XGBoost's early stopping also assumes that lower is better
        return False
