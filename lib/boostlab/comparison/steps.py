"""The steps of ``compare.ipynb``, in its order, on one selection of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from boostlab.comparison import plots, summary, tables
from boostlab.comparison.configurations import choose_pair, group_seeds, list_varying
from boostlab.comparison.models import read_curves, read_importances
from boostlab.comparison.selection import select_runs
from boostlab.comparison.settings import Compare
from boostlab.errors import LabError
from boostlab.models.registration import register_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from boostlab.display.tables import Table
    from boostlab.tracking.facts import RunFacts


class Comparison:
    """A comparison of the runs that the settings select."""

    def __init__(self, client: MlflowClient, settings: Compare) -> None:
        self._client, self._settings = client, settings
        self.selection = select_runs(client, settings)

    def describe(self) -> str:
        """Return in Markdown which runs are compared."""
        return summary.describe_selection(self.selection)

    def tabulate_runs(self) -> Table:
        """Return the ranking."""
        return tables.tabulate_runs(self.selection)

    def tabulate_others(self) -> Table:
        """Return one run on each other data set."""
        return tables.tabulate_others(self.selection)

    def plot_spread(self) -> Figure:
        """Draw the metric of each configuration over its seeds."""
        return plots.plot_spread(group_seeds(self._client, self.selection), metric=self.selection.metric)

    def plot_parallel(self) -> Figure:
        """Draw each run as a line across the parameters that differ."""
        return plots.plot_parallel(
            list_varying(self.selection),
            self.selection.values,
            metric=self.selection.metric,
            higher_is_better=self.selection.higher_is_better,
        )

    def plot_parameters(self) -> Figure:
        """Draw the metric against each parameter that differs."""
        return plots.plot_parameters(list_varying(self.selection), self.selection.values, metric=self.selection.metric)

    def choose_pair(self) -> tuple[Run, ...]:
        """Return the champion and the challenger that the settings name, or the default ones."""
        settings = self._settings
        return choose_pair(self._client, self.selection, champion=settings.champion, challenger=settings.challenger)

    def plot_curves(self, runs: Sequence[Run]) -> Figure:
        """Draw the learning curves of some runs."""
        return plots.plot_curves(read_curves(self._client, runs))

    def plot_importances(self, runs: Sequence[Run]) -> Figure:
        """Draw the feature importances of some runs' models."""
        return plots.plot_importances(read_importances(self._client, runs))

    def tabulate_parameters(self, pair: Sequence[Run]) -> Table:
        """Return the parameters in which two runs differ."""
        return tables.tabulate_parameters(pair)

    def compare(self, pair: Sequence[Run]) -> summary.PairSummary:
        """Compare the models of champion and challenger on the same test rows."""
        return summary.summarize_pair(self._client, pair, metric=self.selection.metric)

    def plot_difference(self, pair: summary.PairSummary) -> Figure:
        """Draw the difference between champion and challenger."""
        return plots.plot_difference(pair.difference)

    def list_metrics(self, pair: summary.PairSummary) -> dict[str, float]:
        """Return the result as metrics of the comparison's own run."""
        best = {f"best_{self.selection.metric}": value for value in self.selection.values[:1]}
        return {"runs_compared": float(len(self.selection.runs)), **best, **pair.metrics}

    def register_best(self) -> int | None:
        """Register the best run's model if ``register_as`` names a registered model, and return the version.

        Raises
        ------
        LabError
            If there is no run, or the best one logged no model.
        """
        name = self._settings.register_as
        if not name:
            return None
        if not self.selection.runs:
            raise LabError(f"register_as = {name!r}: there is no run whose model could be registered. Train one first.")
        return register_run(self._client, self.selection.runs[0].info.run_id, name)

    def describe_result(self, pair: summary.PairSummary, *, facts: RunFacts, version: int | None) -> str:
        """Return the result in Markdown: one table and one sentence."""
        return summary.describe_result(self.selection, pair, facts=facts, register_as=self._settings.register_as, version=version)
