"""What a sweep has found: metrics, tables and figures of the trials that can be compared.

To import this module takes a while: it loads matplotlib, and scikit-learn for the importances.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from optuna.importance import FanovaImportanceEvaluator  # noqa: F401  # loaded ahead, for the importances

from boostlab.display.tables import Table
from boostlab.sweep.contour import plot_contour
from boostlab.sweep.pareto import plot_pareto
from boostlab.sweep.plots import plot_history, plot_reports, plot_timeline
from boostlab.sweep.point_plots import plot_importance, plot_parallel, plot_slices
from boostlab.sweep.search import Search
from boostlab.sweep.tables import describe, tabulate_best
from boostlab.sweep.trial import UNKNOWN, Objective, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from boostlab.tracking.facts import RunFacts

MOST_SHOWN = 10  # trials of the table


class Results:
    """What a sweep has found.

    Parameters
    ----------
    trials : sequence of Trial
        All trials of the study.
    search : Search
        The search that suggested their points.
    objectives : sequence of Objective
        What is compared; `UNKNOWN` if no trial has told.
    left_out : collection of int
        Numbers of the trials that are not compared with the others.
    facts : RunFacts
        The facts of the sweep's run.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        search: Search,
        objectives: Sequence[Objective],
        *,
        left_out: Collection[int],
        facts: RunFacts,
    ) -> None:
        self._all, self._search, self._objectives, self._facts = trials, search, objectives, facts
        self._trials = [trial for trial in trials if trial.number not in left_out]

    def metrics(self) -> dict[str, float]:
        """Return the number of trials in each state, and the best value of each metric if one trial is the best."""
        states = [trial.state for trial in self._all]
        counts = {f"trials_{state}": float(states.count(state)) for state in ("complete", "pruned", "failed")}
        best = self._search.best() if self._is_known else []
        values = dict(zip((each.metric for each in self._objectives), best[0].values, strict=False)) if len(best) == 1 else {}
        return counts | {f"best_{name.removeprefix('best_')}": value for name, value in values.items()}

    def describe(self) -> str:
        """Return in Markdown which trial is the best."""
        return describe(self._trials, self._objectives)

    def tabulate_best(self) -> Table:
        """Return the best trials as a table."""
        facts = self._facts
        return tabulate_best(
            self._trials, self._objectives, MOST_SHOWN, run_url=lambda run_id: facts.ui.run_url(facts.experiment_id, run_id)
        )

    def plot_history(self) -> Figure:
        """Draw each trial's value and the best so far."""
        return plot_history(self._trials, self._objectives)

    def plot_importance(self) -> Figure:
        """Draw which parameters the first metric depends on."""
        return plot_importance(self._importances, metric=self._objectives[0].metric)

    def plot_slices(self) -> Figure:
        """Draw the first metric against each of the most important parameters."""
        return plot_slices(self._trials, self._objectives, importances=self._importances, log=self._log_scaled)

    def plot_pair(self) -> Figure:
        """Draw the first metric over the two most important parameters; with several metrics, the Pareto front."""
        if len(self._objectives) > 1:
            return plot_pareto(self._trials, self._objectives)
        return plot_contour(self._trials, self._objectives, importances=self._importances, log=self._log_scaled)

    def plot_parallel(self) -> Figure:
        """Draw each trial as a line through its parameters to the metric."""
        return plot_parallel(self._trials, self._objectives, importances=self._importances)

    def plot_reports(self) -> Figure | None:
        """Draw what the trials have reported step by step; None without a pruner."""
        return plot_reports(self._trials, self._objectives) if self._search.prunes else None

    def plot_timeline(self) -> Figure:
        """Draw when each worker has run which trial."""
        return plot_timeline(self._all)

    @property
    def _is_known(self) -> bool:
        return tuple(self._objectives) != UNKNOWN

    @cached_property
    def _importances(self) -> dict[str, float]:
        return self._search.importances() if self._is_known else {}

    @property
    def _log_scaled(self) -> Collection[str]:
        return [dimension.name for dimension in self._search.space.dimensions if dimension.log]
