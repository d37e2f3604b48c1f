"""The steps of ``compare.ipynb``, in its order, on one selection of runs: tables, figures, sentences and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from boostlab.comparison import plots
from boostlab.comparison.candidates import compare_runs
from boostlab.comparison.configurations import (
    configure,
    describe_configurations,
    find_differing,
    group_seeds,
    list_varying,
    shorten_values,
)
from boostlab.comparison.paired import Difference
from boostlab.comparison.search import find_named
from boostlab.comparison.selection import select_runs
from boostlab.comparison.settings import Compare
from boostlab.comparison.study import describe_empty, describe_trials
from boostlab.comparison.versions import find_version_run
from boostlab.display.markdown import escape, format_code, format_link, format_table
from boostlab.display.numbers import format_number
from boostlab.display.tables import Details, Link, Table
from boostlab.errors import LabError
from boostlab.models.packaging import fetch_predictor
from boostlab.models.registration import register_run
from boostlab.tracking.facts import STUDY_TAG, RunFacts
from boostlab.tracking.store import Store
from boostlab.tracking.ui import MlflowUI, find_ui

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from boostlab import tracking
    from boostlab.display.pictures import Picture

MORE = '`make train ARGS="-p eta 0.3"`'
NO_RUNS = f"No finished run matches, so there is nothing to compare. Train two first: `make train` and {MORE}."


@dataclass(frozen=True)
class PairSummary:
    """How the challenger does against the champion on the same test rows, or the reason why there is no difference.

    `runs` are champion and challenger; it is empty if there are fewer than two runs.
    """

    runs: Sequence[Run] = ()
    difference: Difference | None = None
    reason: str = ""
    ui: MlflowUI | None = None  #: has the pages of the runs

    @property
    def tags(self) -> dict[str, str]:
        """Which two runs were compared, as tags of the comparison's run."""
        return dict(zip(("boostlab.champion", "boostlab.challenger"), (run.info.run_id for run in self.runs), strict=False))

    def describe(self) -> str:
        """Return the difference as a sentence in Markdown, or the reason why there is none."""
        if self.difference is None:
            return escape(self.reason)
        champion, challenger = (self._name(run) for run in self.runs)
        return self.difference.describe(f"the champion {champion}", f"the challenger {challenger}")

    def _name(self, run: Run) -> str:
        name = str(run.info.run_name)
        return format_link(name, self.ui.run_url(run.info.experiment_id, run.info.run_id)) if self.ui else format_code(name)


class Comparison:
    """A comparison of the runs that the settings select."""

    def __init__(self, client: MlflowClient, settings: Compare) -> None:
        self._client, self._settings = client, settings
        self._ui = find_ui(Store(client.tracking_uri))
        self._summaries: dict[tuple[str, ...], PairSummary] = {}  # by the ids of champion and challenger
        self.selection = select_runs(client, settings)

    def describe(self) -> str:
        """Return in Markdown which runs are compared, by which metric, and which are left out."""
        selection, count = self.selection, len(self.selection.runs)
        if not count:
            return describe_empty(selection.study.name, selection.pruned) if selection.study else NO_RUNS
        side = "higher" if selection.higher_is_better else "lower"
        runs = f"{count} run{'s' if count > 1 else ''} on {format_code(str(selection.rows))}"
        said = f"{runs}, by {format_code(selection.metric)}: {side} is better."
        if selection.has_more:
            said = f"The best {said} There may be more: raise `how_many` to see them."
        if selection.lacking:
            said += f" Left out, because they do not have that metric: {', '.join(map(format_code, selection.lacking))}."
        if selection.others:
            said += " Runs on another split or on other data are listed apart: their metrics cannot be ranked with these."
        said += describe_trials(selection.studies, count, selection.pruned)
        if selection.study and selection.study.model and not self._champion:
            said += f" No version of {format_code(selection.study.model)} is in production: a trial is the champion."
        if selection.metric.startswith("test_"):
            said += " This metric ranks by the test rows, so the best run is partly lucky: the comparison below allows for that."
        return said if count > 1 else f"{said} A comparison takes two runs: train another one, as {MORE}."

    def tabulate_runs(self) -> Table:
        """Return the ranking of configurations by their best run: what differs, its metrics, and links to the other runs."""
        runs, metrics = self.selection.runs, self._choose_metrics()
        params = [name for name in find_differing(runs) if name != "seed"]
        has_studies = len({run.data.tags.get(STUDY_TAG) for run in runs}) > 1
        groups: dict[tuple[tuple[str, str], ...], list[Run]] = {}
        for run in runs:
            groups.setdefault(configure(run), []).append(run)
        labels = describe_configurations([best for best, *_ in groups.values()], params)
        rows = []
        for rank, ((best, *others), label) in enumerate(zip(groups.values(), labels, strict=True), 1):
            figures = [_read_metric(best, name) for name in metrics]
            more = [self._link(run, f" {run.data.metrics[self.selection.metric]:.5g}") for run in others]
            count = Details(str(1 + len(more)), more) if more else "1"
            study = [best.data.tags.get(STUDY_TAG, "–")] if has_studies else []
            rows.append([rank, self._link(best), *study, label, *figures, count])
        columns = ["rank", "best run", *(["study"] if has_studies else []), "configuration", *metrics, "runs"]
        return Table("Configurations, the best first", columns, rows, marked=[0] if rows else [])

    def tabulate_others(self) -> Table:
        """Return one run on each other split or data set, without metrics, which cannot be compared."""
        rows = [[str(judging), self._link(run)] for judging, run in self.selection.others.items()]
        return Table("Another split or other data: one recent run each, not comparable", ["rows", "run"], rows)

    def plot_spread(self) -> Figure:
        """Draw the metric of each configuration over its seeds."""
        return plots.plot_spread(group_seeds(self._client, self.selection), metric=self.selection.metric)

    def plot_parallel(self) -> Figure:
        """Draw each run as a line across the parameters that differ."""
        runs, metric, values = self.selection.runs, self.selection.metric, self.selection.values
        names = [name for name in find_differing(runs) if name != "seed"]
        shown = zip(runs, values, describe_configurations(runs, names), strict=True)
        tips = [f"{run.info.run_name}: {metric} {format_number(value)} · {label}" for run, value, label in shown]
        return plots.plot_parallel(list_varying(self.selection), values, metric=metric, tips=tips)

    def plot_parameters(self) -> Figure:
        """Draw the metric against each parameter that differs."""
        return plots.plot_parameters(list_varying(self.selection), self.selection.values, metric=self.selection.metric)

    def choose_pair(self) -> tuple[Run, ...]:
        """Return the champion and the challenger; nothing if there are fewer than two runs.

        Unless the settings name them, the challenger is the best run. The champion is, within a study, the version in production
        that its trials have to beat; else the best run of another configuration, else the next best run.
        """
        if not self.selection.runs:
            return ()
        new = self._find(self._settings.challenger) if self._settings.challenger else self.selection.runs[0]
        if self._settings.champion:
            return self._find(self._settings.champion), new
        if self._champion and self._champion.info.run_id != new.info.run_id:
            return self._champion, new
        rest = [run for run in self.selection.runs if run.info.run_id != new.info.run_id]
        old = next((run for run in rest if configure(run) != configure(new)), rest[0] if rest else None)
        return (old, new) if old else ()

    def plot_curves(self, runs: Sequence[Run]) -> Figure:
        """Draw the learning curves of some runs on the validation part."""
        curves: dict[str, dict[str, list[float]]] = {}
        for label, run in _label(runs).items():
            for name in [name for name in run.data.metrics if name.startswith("valid_")][:1]:
                history = sorted(self._client.get_metric_history(run.info.run_id, name), key=lambda point: point.step)
                if history:  # a run that was copied from another store may have none
                    curves.setdefault(name, {})[label] = [point.value for point in history]
        return plots.plot_curves(curves)

    def plot_importances(self, runs: Sequence[Run]) -> Figure:
        """Draw the feature importances of some runs' models; runs whose model cannot be read are left out."""
        from boostlab.evaluation.explanations import rank_gain

        shares: dict[str, dict[str, float]] = {}
        for label, run in _label(runs).items():
            try:
                gain = rank_gain(fetch_predictor(self._client, run.info.run_id))
            except LabError:
                continue
            total = sum(gain.values()) or 1.0
            shares[label] = {name: value / total for name, value in gain.items()}
        return plots.plot_importances(shares)

    def tabulate_parameters(self, pair: Sequence[Run]) -> Table:
        """Return the parameters in which champion and challenger differ."""
        rows = [[name, *shorten_values([run.data.params.get(name) for run in pair])] for name in find_differing(pair)]
        links = [["run", *map(self._link, pair)]] if pair else []
        return Table("Parameters that differ", ["parameter", "champion", "challenger"], [*links, *rows])

    def compare(self, pair: Sequence[Run]) -> PairSummary:
        """Compare the models of champion and challenger on rows that neither has learned from."""
        if len(pair) < 2:
            return PairSummary(reason="A comparison on the same rows takes two runs.")
        key = tuple(run.info.run_id for run in pair)
        if key not in self._summaries:
            self._summaries[key] = self._compare(pair)
        return self._summaries[key]

    def log_difference(self, record: tracking.Run, pair: Sequence[Run]) -> Picture:
        """Compare champion and challenger, record the result, and return the figure of the difference."""
        summary = self.compare(pair)
        record.log_tags(summary.tags)
        record.log_metrics(self.list_metrics(summary))
        return record.log_figure(self.plot_difference(summary), "difference")

    def plot_difference(self, pair: PairSummary) -> Figure:
        """Draw the difference between champion and challenger."""
        return plots.plot_difference(pair.difference)

    def list_metrics(self, pair: PairSummary) -> dict[str, float]:
        """Return the result as metrics of the comparison's own run."""
        found = {"runs_compared": float(len(self.selection.runs))}
        found |= dict(zip([self.selection.metric], self.selection.values, strict=False))
        if pair.difference:
            found |= {"difference": pair.difference.value, "low": pair.difference.low, "high": pair.difference.high}
        return found

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

    def describe_result(self, pair: PairSummary, *, facts: RunFacts, version: int | None) -> str:
        """Return the result in Markdown: one table and one sentence; `facts` are those of the comparison's own run."""
        if not self.selection.runs:
            return describe_empty(self.selection.study.name, self.selection.pruned) if self.selection.study else NO_RUNS
        best, name, study = self.selection.runs[0], self._settings.register_as, self.selection.study
        page = facts.ui.run_url(best.info.experiment_id, best.info.run_id)
        rows = {
            "rows": format_code(str(self.selection.rows)),
            **({"study": format_code(study.name)} if study else {}),
            "runs compared": str(len(self.selection.runs)),
            "best run": f"{format_link(best.info.run_name, page)} ({format_code(best.info.run_id)})",
            self.selection.metric: format_number(self.selection.values[0]),
        }
        if version:
            rows["registered as"] = format_link(f"{name} version {version}", facts.ui.version_url(name, version))
        rows["this comparison"] = format_link(facts.run_name, facts.run_url)
        if facts.ui.command:
            rows["links"] = f"work while this runs: {format_code(facts.ui.command)}"
        return f"{format_table(rows)}\n\n{pair.describe()}"

    @cached_property
    def _champion(self) -> Run | None:
        """The run of the version in production that the study's trials have to beat; None without one."""
        if not self.selection.study or not self.selection.study.model:
            return None
        try:
            return find_version_run(self._client, f"models:/{self.selection.study.model}@production")
        except LabError:
            return None

    def _compare(self, pair: Sequence[Run]) -> PairSummary:
        champion, challenger = pair
        metric = self.selection.metric if self.selection.metric.startswith("test_") else ""
        try:
            difference = compare_runs(self._client, champion=champion, challenger=challenger, metric=metric)
        except LabError as error:
            return PairSummary(pair, reason=str(error), ui=self._ui)
        return PairSummary(pair, difference, ui=self._ui)

    def _link(self, run: Run, more: str = "") -> Link:
        return Link(f"{run.info.run_name}{more}", self._ui.run_url(run.info.experiment_id, run.info.run_id))

    def _choose_metrics(self) -> list[str]:
        """Return the metric of the comparison, and how long training took. Test metrics would tempt to choose by them."""
        recorded = {name for run in self.selection.runs for name in run.data.metrics}
        return [self.selection.metric, *(name for name in ("best_iteration", "fit_time_s") if name in recorded)]

    def _find(self, name: str) -> Run:
        """Return the run of that id or name, from the store if it is not in the selection."""
        found = [run for run in self.selection.runs if name in (run.info.run_id, run.info.run_name)]
        return found[0] if found else find_named(self._client, [name])[0]


def _read_metric(run: Run, name: str) -> float | int | None:
    value: float | None = run.data.metrics.get(name)
    return int(value) if name == "best_iteration" and value is not None else value


def _label(runs: Sequence[Run]) -> dict[str, Run]:
    """Return runs by their names; a name that several runs have is followed by the run's id."""
    names = [run.info.run_name for run in runs]
    return {
        f"{name} ({run.info.run_id[:8]})" if names.count(name) > 1 else name: run for name, run in zip(names, runs, strict=True)
    }
