"""The coordinator of a sweep: asks the search for points, gives their trials to the workers, and tells it how they end."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from boostlab.errors import LabError
from boostlab.sweep.orders import TrialEnd, TrialOrder
from boostlab.sweep.records import judge, read_reports
from boostlab.sweep.search import Search
from boostlab.sweep.trial import UNKNOWN, Objective, Trial
from boostlab.sweep.worker import TOPIC, run_trial, stop_trials

if TYPE_CHECKING:
    from distributed import Client, Future


WAKE_S = 0.5
MOST_WAIT_S = 120.0  # for trials that were stopped: their kernels are killed, and their records are being delivered


@dataclass(frozen=True)
class Limits:
    """When a sweep ends."""

    n_trials: int  #: of the whole study
    timeout_s: float  #: after which no trial begins; 0: no limit
    max_failures: int  #: in a row

    def describe_end(self) -> str:
        """Return that the study has all of its trials, and how to have more."""
        return f"All {self.n_trials:,} trials of the study have ended. For more of them, raise -p n_trials."


@dataclass(frozen=True)
class Plan:
    """What the coordinator needs to make trials."""

    sweep: str  #: id of the sweep's run
    make_order: Callable[[Trial], TrialOrder]
    make_search: Callable[[tuple[Objective, ...]], Search]  #: with the earlier trials of the study
    find_objectives: Callable[[Collection[str]], tuple[Objective, ...]]  #: from the names of recorded metrics
    describe_point: Callable[[int, Mapping[str, Any]], str]  #: where a point comes from; empty: from the sampler
    check_workers: Callable[[Collection[str]], set[str]]  #: by address; returns those that it reached; raises a LabError
    check_rows: Callable[[Mapping[str, str], str], None]  #: by the tags and the name of a finished run; raises a LabError


class Coordinator:
    """Runs the trials of a study on a cluster.

    Attributes
    ----------
    search : Search
        With all trials that have ended.
    objectives : tuple of Objective
        Empty until they are known.
    ending : str
        Why the sweep ended, once it has.
    slots : int
        How many trials may run at a time.
    """

    def __init__(self, client: Client, plan: Plan, *, objectives: tuple[Objective, ...], limits: Limits, n_jobs: int) -> None:
        self._client, self._plan, self._limits, self._n_jobs = client, plan, limits, n_jobs
        self.objectives = objectives
        self.search = plan.make_search(objectives or UNKNOWN)
        self.ending = ""
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._running: dict[int, tuple[Trial, Future[Any]]] = {}
        self._started = time.monotonic()
        self._failures = 0  # in a row
        self._is_stopping = False
        self.slots, self._counted = 0, 0.0
        self._checked: set[str] = set()  # addresses of workers

    @property
    def trials(self) -> list[Trial]:
        """All trials of the study, the running ones too."""
        return [*self.search.trials, *(trial for trial, _ in self._running.values())]

    def run(self, progress: Callable[[Coordinator], None]) -> None:
        """Run trials until a limit is reached, all points were tried, or an interrupt.

        Parameters
        ----------
        progress : callable
            Called after each event, and twice a second.

        Raises
        ------
        LabError
            If too many trials failed in a row, or the scheduler was lost.
        """
        topic = f"{TOPIC}-{self._plan.sweep}"
        self._client.subscribe_topic(topic, lambda event: self._events.put(("report", event[1])))
        try:
            while True:
                self._submit()
                if self.ending and not self._running:
                    break
                self._take_events()
                progress(self)
        except KeyboardInterrupt:
            self.ending = "Interrupted."
            self._stop("an interrupt")
        except BaseException as error:
            if isinstance(error, OSError) and self._client.status != "running":
                raise self._lost() from None
            self._stop("an error of the sweep")
            raise
        finally:
            with contextlib.suppress(OSError):
                self._client.unsubscribe_topic(topic)
            progress(self)

    def _submit(self) -> None:
        """Give trials to the workers as long as some are idle."""
        while not self.ending and len(self._running) < self._count_slots():
            number = self.search.next_number
            if len(self.trials) >= self._limits.n_trials:
                self.ending = self._limits.describe_end()
            elif self._limits.timeout_s and time.monotonic() - self._started > self._limits.timeout_s:
                self.ending = f"The time limit of {self._limits.timeout_s:g} s was reached."
            elif self.search.is_exhausted:
                self.ending = "All points of the space have been tried."
            else:
                self._begin(number)

    def _begin(self, number: int) -> None:
        try:
            point = self.search.suggest(number)
        except LabError as error:  # no point is left
            self.ending = str(error)
            return
        trial = Trial(number, point, start_ms=int(time.time() * 1000), reason=self._plan.describe_point(number, point))
        order = self._plan.make_order(trial)
        future = self._client.submit(run_trial, order, key=f"trial-{self._plan.sweep}-{number}", pure=False)
        self._running[number] = trial, future
        future.add_done_callback(lambda _, number=number: self._events.put(("end", number)))

    def _count_slots(self) -> int:
        """Return how many trials may run at a time; workers may come and go."""
        if time.monotonic() - self._counted > WAKE_S:
            self._counted = time.monotonic()
            workers = self._client.nthreads()
            if new := set(workers) - self._checked:
                self._checked |= self._plan.check_workers(new)
            threads = sum(workers.values())
            self.slots = min(threads, self._n_jobs) if self._n_jobs else threads
        return self.slots

    def _take_events(self) -> None:
        """Wait for an event, and take all that are there."""
        try:
            kind, content = self._events.get(timeout=WAKE_S)
        except queue.Empty:
            if self._client.status not in ("running", "connecting"):
                raise self._lost() from None
            return
        while True:
            if kind == "report":
                self._answer(content)
            elif content in self._running:
                self._end(content)
            if self._events.empty():
                return
            kind, content = self._events.get()

    def _answer(self, report: Mapping[str, Any]) -> None:
        """Answer a trial that has reported a metric."""
        from distributed import Queue

        number = report["number"]
        is_pruned = number in self._running and self.search.report(number, report["step"], report["value"])
        Queue(report["answers"], client=self._client).put(is_pruned)

    def _end(self, number: int) -> None:
        """Tell the search how a trial has ended."""
        trial, future = self._running.pop(number)
        try:
            end: TrialEnd = future.result()
        except Exception as error:  # whatever the worker raised; KilledWorker if it died, again and again
            if future.status in ("cancelled", "lost"):
                raise self._lost() from None
            reason = f"The worker failed: {type(error).__name__}: {error}"
            self._tell(replace(trial, state="failed", reason=reason, end_ms=int(time.time() * 1000)))
            return
        outcome = end.outcome
        if outcome.status == "FINISHED":
            self._plan.check_rows(outcome.tags, outcome.run_name)
        if not self.objectives and outcome.status == "FINISHED":
            self._settle(outcome.metrics, trial)
        ended = judge(outcome.status, outcome.metrics, outcome.tags, self.objectives, reason=outcome.reason)
        if outcome.status == "KILLED" and self._is_stopping:
            return  # it is no finished trial: the next sweep of the study tries its point
        ended["reason"] = ended["reason"] or trial.reason
        trial = replace(trial, run_id=outcome.run_id, run_name=outcome.run_name, reports=read_reports(outcome.tags))
        self._tell(replace(trial, start_ms=end.start_ms, end_ms=end.end_ms, worker=end.worker, **ended))

    def _settle(self, metrics: Mapping[str, float], ended: Trial) -> None:
        """Find the objectives from the first finished trial, and search by them; what runs was suggested without them."""
        self.objectives = self._plan.find_objectives(list(metrics))
        told = self.search.trials
        self.search = self._plan.make_search(self.objectives)
        known = {trial.number for trial in self.search.trials}
        running = [trial for trial, _ in self._running.values()] + [ended]
        for trial in sorted([*(trial for trial in told if trial.number not in known), *running], key=lambda trial: trial.number):
            if trial.state == "running":
                self.search.resume(trial.number, trial.point)
            else:
                self.search.tell(trial)

    def _tell(self, trial: Trial) -> None:
        trial = self.search.tell(trial)
        self._failures = self._failures + 1 if trial.state == "failed" else 0
        if self._failures >= self._limits.max_failures:
            raise LabError(
                f"{self._failures} trials in a row failed, so the sweep stops. The last one, {trial.number}: {trial.reason}\n"
                "What has ended is kept: the same command goes on after a repair. To allow more: -p max_failures."
            )

    def _stop(self, reason: str) -> None:
        """End the running trials, and wait until their runs have ended; those that have finished meanwhile count."""
        self._is_stopping = True
        deadline = time.monotonic() + MOST_WAIT_S
        while self._running and self._client.status == "running" and time.monotonic() < deadline:
            if not self._client.nthreads():  # no trial runs, and none should begin
                for _, future in self._running.values():
                    future.cancel()
                return
            # Again and again: one may have begun since.
            self._client.run(stop_trials, self._plan.sweep, reason, on_error="ignore")
            with contextlib.suppress(queue.Empty):
                self._events.get(timeout=WAKE_S)
            for number in [number for number, (_, future) in self._running.items() if future.done()]:
                with contextlib.suppress(LabError):  # one error is enough
                    self._end(number)

    def _lost(self) -> LabError:
        return LabError(
            "The scheduler of the workers was lost. The trials that were running end KILLED; what has ended is kept. Start the "
            "scheduler again, and run the same command: it goes on with the study."
        )
