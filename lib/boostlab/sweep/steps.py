"""The steps of ``sweep.ipynb``, in its order: the plan, the search, the final training.

:mod:`boostlab.sweep.results` shows what was found.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boostlab.cluster import count_cores
from boostlab.display.markdown import escape, format_code, format_link, format_table
from boostlab.display.numbers import format_number
from boostlab.errors import LabError
from boostlab.notebook.parameters import read_parameters
from boostlab.notebook.settings import Tracked
from boostlab.notebook.status_line import status_line
from boostlab.sweep import cluster, final_training, records
from boostlab.sweep.champion import read_champion
from boostlab.sweep.coordinator import Coordinator, Limits, Plan
from boostlab.sweep.objectives import check_recorded, find_objectives
from boostlab.sweep.orders import Place, TrialOrder
from boostlab.sweep.same_rows import SameRows
from boostlab.sweep.search import Search
from boostlab.sweep.settings import Sweep
from boostlab.sweep.space import Space
from boostlab.sweep.tables import describe
from boostlab.sweep.target import digest_code, find_notebook, read_notebook, validate
from boostlab.sweep.trial import UNKNOWN, Objective, Trial
from boostlab.tracking.facts import PRUNED_TAG, SWEEP_TAG, record_params
from boostlab.tracking.store import OpenStore, find_project, find_store, open_current

if TYPE_CHECKING:
    from boostlab.sweep.results import Results
    from boostlab.tracking.run import Run

OF_EACH_RUN = {*Tracked.model_fields, "register_as", "purpose", "nthread"}  # parameters that do not make another training
CHAMPION, DEFAULTS = "champion", "defaults"
FINAL_TAG = "boostlab.final_of"  # of the run of the final training: the study's name


class Sweeper:
    """A sweep of a study: it goes on with the trials that the tracking store has.

    Raises
    ------
    LabError
        If notebook, space, metric or study cannot be used: before any trial runs.
    """

    def __init__(self, run: Run, settings: Sweep) -> None:
        self._run, self._settings = run, settings
        self._path = find_notebook(settings.notebook, run.facts.source)
        self._notebook = read_notebook(self._path)
        self._code = digest_code(self._notebook)
        self._declared = {parameter.name: parameter for parameter in read_parameters(self._notebook)}
        self.study = settings.study_name()
        self.space = Space.read(settings.space, notebook=self._notebook, fixed=settings.fixed, folder=find_project(self._path))
        if settings.register_as and "register_as" not in self._declared:
            raise LabError(
                f"{self._path.name} has no parameter register_as: it cannot register a model. Leave register_as empty."
            )
        if settings.metric:
            find_objectives(settings)  # refuses an unknown direction
        run.log_tags({SWEEP_TAG: self.study})
        self._n_jobs = settings.n_jobs or (0 if settings.scheduler else count_cores())
        store = find_store("", project=find_project())
        threads = max(1, count_cores() // self._n_jobs) if self._n_jobs else 1
        self._place = Place(run.facts.run_id, store.uri, str(store.artifact_root or ""), threads)
        self._workers = cluster.Workers(store, self._place, scheduler=settings.scheduler, n_jobs=self._n_jobs, folder=run.folder)
        try:
            self._read_study()
        except BaseException:
            self._workers.close()
            raise
        self.trials: list[Trial] = list(self._earlier)
        self.ending = ""

    def _read_study(self) -> None:
        """Read what earlier sweeps of the study have left in the store."""
        self._store: OpenStore = open_current()
        client = self._store.client
        records.wait_for_others(client, self.study, own=self._run.facts.run_id)
        self._runs = records.fetch_runs(client, self.study)
        self._rows = SameRows(self.study, [dimension.name for dimension in self.space.dimensions])
        self._rows.check_runs(self._runs)
        self.objectives = self._find_known_objectives()
        self._earlier = self._read_trials(self.objectives)
        self._first = self._find_first()
        self._interrupted = [point for point in records.find_interrupted(self._runs) if self.space.contains(point)]
        self._search = self._make_search(self._known)
        self._left_out = {trial.number for trial in self._earlier if not self._search.counts(trial)}

    def describe(self) -> str:
        """Return in Markdown what is searched, how, and what is known already."""
        settings = self._settings
        ranges = ", ".join(format_code(dimension.name) for dimension in self.space.dimensions)
        metric = ", ".join(settings.metric) or "found from the first trial"
        rows = {
            "study": format_code(self.study),
            "notebook": format_code(str(self._path.name)),
            "searched": ranges,
            "fixed": escape(", ".join(f"{name} = {value}" for name, value in settings.fixed.items())) or "nothing",
            "metric": escape(metric),
            "sampler and pruner": f"{settings.sampler}, {settings.pruner}",
            "trials": f"{len(self._earlier):,} of {settings.n_trials:,} have ended in earlier sweeps",
        }
        if self._first:
            rows["first trial"] = escape(f"{self._first[0]}: {_show_point(self._first[1])}")
        if self._left_out:
            rows["left out"] = self._describe_left_out()
        return format_table(rows)

    def search(self) -> str:
        """Run the trials with live progress, and return in Markdown how the sweep ended.

        An interrupt, or the button in JupyterLab's status bar, ends the running trials, and keeps those that have ended.
        """
        from boostlab.sweep.progress import SweepProgress

        settings = self._settings
        limits = Limits(settings.n_trials, settings.timeout_s, settings.max_failures)
        if len(self._earlier) >= settings.n_trials:
            self._workers.close()
            self.ending = limits.describe_end()
            return self._conclude()
        if self._workers.is_closed:
            raise LabError("The workers of this plan have ended. To go on, run the notebook again from the cell of the plan.")
        progress = SweepProgress(settings.n_trials, self._known)
        with self._workers as client:
            threading.Thread(target=import_module, args=["boostlab.sweep.results"], name="boostlab-results", daemon=True).start()
            plan = Plan(
                self._place.sweep,
                self._make_order,
                self._make_search,
                self._settle,
                self._describe_point,
                lambda workers: cluster.check_workers(client, self._store, only=workers),
                lambda tags, name: self._rows.check(tags, name=name),
            )
            coordinator = Coordinator(client, plan, objectives=self.objectives, limits=limits, n_jobs=self._n_jobs)

            def show(state: Coordinator) -> None:
                self.trials, self._search = state.trials, state.search
                progress.objectives = state.objectives or progress.objectives
                progress.show(self._counted, workers=state.slots)

            try:
                with status_line.interruptible("Stop the sweep"):
                    coordinator.run(show)
            finally:
                progress.close()
                self.ending, self.trials, self._search = coordinator.ending, coordinator.search.trials, coordinator.search
        return self._conclude()

    def results(self) -> Results:
        """Return what the search has found, as tables and figures."""
        from boostlab.sweep.results import Results  # loads matplotlib

        return Results(self.trials, self._search, self._known, left_out=self._left_out, facts=self._run.facts)

    def train_final(self) -> str:
        """Train once more with the best point and all cores, if requested, and return in Markdown what came of it.

        Raises
        ------
        LabError
            If no trial is complete, or the training fails.
        """
        settings = self._settings
        if not settings.final_training:
            return "Not requested: `final_training` trains the best point once more, and `register_as` registers its model."
        from boostlab.execution.workshop import Order

        best = final_training.choose_point(self._search.best())
        values = {**settings.fixed, **best.point, **self._file("final", register_as=settings.register_as)}
        tags = {records.PARENT_TAG: self._run.facts.run_id, FINAL_TAG: self.study}
        name, facts = f"{self.study}-final", self._run.facts
        order = Order(self._notebook, self._path, values, facts.experiment, name, tags, cwd=str(Path.cwd()))
        outcome = final_training.train(order, self._store)
        link = format_link(outcome.run_name, facts.ui.run_url(facts.experiment_id, outcome.run_id))
        registered = f" Its model is a new version of {format_code(settings.register_as)}." if settings.register_as else ""
        shown = final_training.describe_test(outcome)
        return f"Trial {best.number} was trained once more as {link}. On the test rows: {shown}.{registered}"

    def list_next_steps(self) -> str:
        """Return in Markdown where to go next."""
        study = format_code(f'study = "{self.study}"')
        steps = [
            f"**Compare** the trials, also with the model in production: `compare.ipynb` with {study}.",
            "**Go on** with more trials: the same command with a higher `n_trials`.",
        ]
        if not self._settings.final_training:
            steps.insert(0, "**Train** the best point once more and register it: `final_training` and `register_as`.")
        return "Next:\n\n" + "\n".join(f"- {step}" for step in steps)

    @property
    def _known(self) -> tuple[Objective, ...]:
        return self.objectives or UNKNOWN

    def _conclude(self) -> str:
        return f"{escape(self.ending)} {describe(self._counted, self._known)} {self._describe_left_out()}".strip()

    def _read_trials(self, objectives: tuple[Objective, ...]) -> list[Trial]:
        """Return the finished trials of earlier sweeps."""
        taken = {dimension.name for dimension in self.space.dimensions} | OF_EACH_RUN
        values = {name: value for name, value in validate(self._notebook, self.space.base).items() if name not in taken}
        return records.read_trials(self._runs, objectives, given=record_params(values), code=self._code)

    @property
    def _counted(self) -> list[Trial]:
        """The trials that are compared with each other."""
        return [trial for trial in self.trials if trial.number not in self._left_out]

    def _describe_left_out(self) -> str:
        """Return in Markdown which earlier trials are not compared with those of this sweep; empty if all are."""
        if not self._left_out:
            return ""
        left_out = [trial for trial in self._earlier if trial.number in self._left_out]
        names = sorted({name for trial in left_out for name in trial.differing})
        differing = f", or they had other values of {', '.join(map(format_code, names))}" if names else ""
        if any(trial.has_other_code for trial in left_out):
            differing += f", or the code of {format_code(self._path.name)} has changed since"
        trials = f"{len(self._left_out):,} earlier trial{'s are' if len(self._left_out) > 1 else ' is'}"
        return f"{trials} left out: their points are outside of the space{differing}."

    def _find_known_objectives(self) -> tuple[Objective, ...]:
        """Return the objectives if they are named, or a finished trial of the study tells them."""
        finished = [run for run in self._runs if run.info.status == "FINISHED" and PRUNED_TAG not in run.data.tags]
        if self._settings.metric:
            return find_objectives(self._settings)
        return find_objectives(self._settings, list(finished[0].data.metrics)) if finished else ()

    def _settle(self, recorded: Collection[str]) -> tuple[Objective, ...]:
        self.objectives = find_objectives(self._settings, recorded)
        check_recorded(self.objectives, recorded)
        return self.objectives

    def _find_first(self) -> tuple[str, dict[str, Any]] | None:
        """Return the point of trial 0 and where it comes from: the model in production, else the notebook's own values."""
        model = self._settings.champion_model
        values = read_champion(self._store.client, model, self._declared) if model else None
        if values is not None:
            return CHAMPION, self.space.complete(values)
        own = self.space.complete({})
        return (DEFAULTS, own) if self._settings.sampler != "grid" and self.space.contains(own) else None

    def _make_search(self, objectives: tuple[Objective, ...]) -> Search:
        settings = self._settings
        return Search(
            self.space,
            objectives,
            sampler=settings.sampler,
            pruner=settings.pruner,
            seed=settings.seed,
            trials=self._earlier if objectives == self.objectives else self._read_trials(objectives),
            enqueue=[*([self._first[1]] if self._first else []), *self._interrupted],
        )

    def _describe_point(self, number: int, point: Mapping[str, Any]) -> str:
        return self._first[0] if self._first and number == 0 and dict(point) == self._first[1] else ""

    def _make_order(self, trial: Trial) -> TrialOrder:
        settings, facts = self._settings, self._run.facts
        values: dict[str, Any] = {**settings.fixed, **trial.point, **self._file(f"{trial.number:04d}")}
        if "nthread" in self._declared and "nthread" not in settings.fixed:
            values["nthread"] = self._place.threads
        return TrialOrder(
            self._place,
            trial.number,
            json.dumps(self._notebook),
            str(self._path),
            values,
            facts.experiment,
            f"{self.study}-{trial.number:04d}",
            records.describe_trial(self.study, facts.run_id, trial, code=self._code),
            str(Path.cwd()),
            "" if settings.pruner == "none" or not self.objectives else self.objectives[0].metric,
        )

    def _file(self, name: str, *, register_as: str = "") -> dict[str, Any]:
        """Return the parameters of the notebook that say where a run is recorded, as far as it has them."""
        values = {"experiment": self._run.facts.experiment, "run_name": f"{self.study}-{name}", "register_as": register_as}
        return {name: value for name, value in values.items() if name in self._declared}


def _show_point(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {format_number(value) if isinstance(value, float) else value}" for name, value in point.items())
