"""Training on the workers of a Dask cluster, which share the rows of the table.

XGBoost does not survive the loss of a worker. So the scheduler keeps the model so far, and after a loss the training goes on
from there, on the workers that are left.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xgboost as xgb
import xgboost.dask
from distributed import Client, Future

from boostlab.cluster import Members, connect, count_cores
from boostlab.errors import TrainingError
from boostlab.evaluation.losses import LOSSES, find_loss
from boostlab.models.contract import Contract
from boostlab.training.boosting import Boosting, BoostingInputs
from boostlab.training.callbacks import Refuser, refuse_undefined
from boostlab.training.choice import NATIVE_METRICS
from boostlab.training.objectives import OBJECTIVES
from boostlab.training.on_worker import Channel, Follower, MeanLoss, count_rounds
from boostlab.training.settings import Train
from boostlab.training.shares import make_sample, share_part
from boostlab.training.worker_progress import WorkerProgress

if TYPE_CHECKING:
    from boostlab.tracking.run import Run

POLL_S = 0.1
SAMPLE_ROWS = 1_000
CHECK_S = 1.0  # between two looks at the workers
LEAVE_S = 5.0  # in which XGBoost notices by itself that a worker is gone
MEET_S = 30  # for all workers to begin, once their rows are there; or for a first worker to come back
MOST_LOSSES = 20
Result = concurrent.futures.Future[Any]
REMEDY = "Start the cluster again, and run the same command."


@contextlib.contextmanager
def connect_workers(settings: Train, run: Run | None) -> Iterator[Client]:
    """Yield a connection to the workers that the settings name.

    Parameters
    ----------
    run : Run or None
        Workers of this machine keep their files in its folder.

    Raises
    ------
    LabError
        If the scheduler cannot be reached, or has no worker, or the workers of this machine do not start.
    """
    threads = settings.nthread or max(1, count_cores() // max(1, settings.workers))
    with (
        tempfile.TemporaryDirectory(prefix=".", dir=run.folder if run else None) as own,
        connect(settings.scheduler, n_workers=settings.workers, threads=threads, folder=Path(own)) as client,
    ):
        yield client


def boost_on_workers(
    inputs: BoostingInputs, *, is_checked: bool = False, client: Client | None = None, run: Run | None = None
) -> Boosting:
    """Train on the workers that the settings name; the callbacks see the rounds without the model.

    Parameters
    ----------
    is_checked : bool
        Whether an earlier training has checked the parameters.
    client : distributed.Client, optional
        A connection that several trainings share, one after the other; by default this training has its own.
    run : Run, optional
        It gets what the workers use.

    Raises
    ------
    TrainingError
        If XGBoost cannot compute the metric on shares of the rows, refuses a parameter, or the cluster is lost.
    LabError
        If the scheduler cannot be reached, or its workers have other versions.
    """
    if inputs.valid is not None:
        _check_metric(inputs.contract, inputs.params)
        inputs = replace(inputs, callbacks=[_Guard(inputs.contract.metric), *inputs.callbacks])
    if not is_checked:
        _try_round(inputs)
    with contextlib.nullcontext(client) if client else connect_workers(inputs.settings, run) as connected:
        progress = WorkerProgress(connected, run, rows=len(inputs.train) + len(inputs.valid or ())) if client is None else None
        return _Training(connected, inputs, progress).run()


def _check_metric(contract: Contract, params: Mapping[str, Any]) -> None:
    """Refuse a metric that cannot be put together from shares of the rows."""
    if "eval_metric" in params or find_loss(contract.metric):
        return
    objective = params["objective"]
    family = objective.partition(":")[0]
    fitting = [name for name in OBJECTIVES[objective].metrics if (family, name) in NATIVE_METRICS or name in LOSSES]
    raise TrainingError(
        f"The metric {contract.metric} needs all rows of a part in one process, and the workers have shares of them. "
        f"Choose {' or '.join(fitting)}, or train without workers."
    )


def _try_round(inputs: BoostingInputs) -> None:
    """Let XGBoost refuse the parameters here, where its warnings are seen, before the rows are sent."""
    params, refuser = {**inputs.params, "device": "cpu"}, Refuser(inputs.watch.warned)
    sample = make_sample(inputs.train, inputs.contract, SAMPLE_ROWS)
    xgb.train(params, sample, num_boost_round=1, verbose_eval=False, callbacks=[refuser])


class _LossError(Exception):
    """Workers were lost.

    Parameters
    ----------
    workers : sequence of str
        Their addresses.
    """

    def __init__(self, workers: Sequence[str]) -> None:
        super().__init__(*workers)
        self.workers = workers


class _Guard(xgb.callback.TrainingCallback):
    """Refuses a metric that is not defined, after the first round."""

    def __init__(self, metric: str) -> None:
        super().__init__()
        self._metric = metric

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        refuse_undefined(self._metric, evals_log["valid"][self._metric][0])
        return False


@dataclass
class _Training:
    """A training on a cluster: attempts, each on the workers that are there, until one ends."""

    client: Client
    inputs: BoostingInputs
    progress: WorkerProgress | None  #: None: one of several trainings, which are shown together
    name: str = field(default_factory=lambda: f"boostlab-{uuid.uuid4().hex}")
    history: dict[str, dict[str, list[float]]] = field(default_factory=dict)  #: of all rounds so far
    losses: list[str] = field(default_factory=list)  #: in sentences
    attempt: int = 0

    def __post_init__(self) -> None:
        self.channel, self.members = Channel(self.name, self.client), Members(self.client)

    def run(self) -> Boosting:
        try:
            return self._run()
        finally:
            if self.progress:
                self.progress.end()
            with contextlib.suppress(Exception):  # such as a lost scheduler
                self.client.unsubscribe_topic(self.name)
                self.channel.clear()

    def _run(self) -> Boosting:
        self.channel.keep(b"", {})
        events: queue.Queue[Any] = queue.Queue()
        self.client.subscribe_topic(self.name, lambda event: events.put(event[1]))
        for callback in self.inputs.callbacks:
            callback.before_training(None)
        started = time.perf_counter()
        while True:
            workers = self._find_workers()
            model, values = self.channel.read()
            self.history = {part: {self.inputs.contract.metric: line} for part, line in values.items()}
            self.attempt += 1
            if self.progress:
                self.progress.begin()
            try:
                booster = self._attempt(workers, model, events)
                break
            except _LossError as loss:
                self._note(loss)
        self.history = {part: {self.inputs.contract.metric: line} for part, line in self.channel.read_end().items()}
        duration_s = time.perf_counter() - started
        for callback in self.inputs.callbacks:
            callback.after_training(None)
        where = f"of {self.inputs.settings.scheduler}" if self.inputs.settings.scheduler else "on this machine"
        note = " ".join([f"Trained on {len(workers)} worker{'s' if len(workers) > 1 else ''} {where}.", *self.losses])
        return Boosting(booster, self.history, duration_s, note)

    def _attempt(self, workers: Mapping[str, str], model: bytes, events: queue.Queue[Any]) -> xgb.Booster:
        """Train from a checkpoint to the end, on the given workers."""
        result: Result = concurrent.futures.Future()

        def work() -> None:
            try:
                result.set_result(self._train(list(workers), model))
            except BaseException as error:  # it is raised where it is waited for
                traceback.clear_frames(error.__traceback__)  # they hold the rows of this attempt
                result.set_exception(error)

        threading.Thread(target=work, name="boostlab-distributed", daemon=True).start()
        try:
            self._watch_attempt(workers, result, events)
        except BaseException:
            self._abandon(result)
            raise
        error = result.exception()
        if error is None:
            booster: xgb.Booster = result.result()["booster"]
            return booster
        if isinstance(error, Exception) and (lost := self._find_lost(workers)):
            raise _LossError(lost) from error
        raise error

    def _find_workers(self) -> dict[str, str]:
        try:
            found = self.members.find(timeout_s=MEET_S)
        except OSError:
            raise self._explain_loss() from None
        if not found:
            raise TrainingError(f"The cluster has no worker any more. {' '.join(self.losses)} {REMEDY}")
        return found

    def _find_lost(self, workers: Mapping[str, str]) -> list[str]:
        try:
            return self.members.find_lost(workers)
        except OSError:
            raise self._explain_loss() from None

    def _explain_loss(self) -> TrainingError:
        return TrainingError(f"The scheduler {self.inputs.settings.scheduler} was lost in the training. {REMEDY}")

    def _watch_attempt(self, workers: Mapping[str, str], result: Result, events: queue.Queue[Any]) -> None:
        """Follow the rounds until an attempt has ended; end it if a worker has gone for good, or an interrupt asks for it."""
        checked, lost_at, rounds = time.monotonic(), float("inf"), 0
        while not result.done() or not events.empty():
            with contextlib.suppress(queue.Empty):
                rounds += self._follow(events.get(timeout=POLL_S))
            if self.progress:
                self.progress.look()
            now = time.monotonic()
            if now - checked < CHECK_S:
                continue
            checked = now
            if self.inputs.watch.stop.is_set() and not rounds and not self.history:
                raise KeyboardInterrupt("the training was interrupted before its first round")
            if self.inputs.watch.stop.is_set():
                with contextlib.suppress(OSError):  # a lost scheduler ends the attempt by itself
                    self.channel.request_stop()
            if self.members.are_there(workers):
                lost_at = float("inf")
            elif (lost_at := min(lost_at, now)) < now - LEAVE_S:  # XGBoost waits for a worker that will never come
                self._cancel()

    def _abandon(self, result: Result) -> None:
        """End an attempt whose result nobody wants."""
        with contextlib.suppress(Exception):
            self.channel.request_stop()
            result.exception(LEAVE_S)
        if not result.done():
            with contextlib.suppress(Exception):
                self._cancel()
                result.exception(LEAVE_S)

    def _cancel(self) -> None:
        self.client.cancel([Future(key, self.client) for key in list(self.client.futures)])

    def _train(self, workers: Sequence[str], model: bytes) -> dict[str, Any]:
        with self.client.as_current():  # XGBoost asks for it
            parts = {"train": self.inputs.train} | ({"valid": self.inputs.valid} if self.inputs.valid is not None else {})
            few = workers[: min(map(len, parts.values()))]
            shared: dict[str, Any] = {}
            for name, part in parts.items():
                like = shared.get("train")
                shared[name] = share_part(
                    self.client,
                    part,
                    self.inputs.contract,
                    self.inputs.params,
                    workers=few,
                    like=like if isinstance(like, xgboost.dask.DaskQuantileDMatrix) else None,
                    sent=self.progress.add_rows if self.progress else lambda _rows: None,
                )
            metric, patience = self.inputs.contract.metric, self.inputs.settings.early_stopping_rounds
            earlier = {part: lines[metric] for part, lines in self.history.items()}
            follower = Follower(self.name, self.attempt, metric, earlier, patience=patience)
            trained: dict[str, Any] = xgboost.dask.train(
                self.client,
                {**self.inputs.params, "nthread": self.inputs.settings.nthread},
                shared["train"],
                num_boost_round=self.inputs.settings.num_boost_round - count_rounds(earlier),
                evals=[(matrix, name) for name, matrix in shared.items()],
                xgb_model=xgb.Booster(model_file=bytearray(model)) if model else None,
                verbose_eval=False,
                coll_cfg=xgb.collective.Config(tracker_timeout=MEET_S),
                custom_metric=None if "eval_metric" in self.inputs.params else MeanLoss(self.inputs.contract),
                callbacks=[follower],
            )
        return trained

    def _follow(self, event: Mapping[str, Any]) -> bool:
        """Take the metrics of a round of this attempt, and let the callbacks see them; return whether it is one."""
        if event["attempt"] != self.attempt:
            return False
        for part, value in event["values"].items():
            self.history.setdefault(part, {}).setdefault(self.inputs.contract.metric, []).append(value)
        for callback in self.inputs.callbacks:
            callback.after_iteration(None, event["round"], self.history)
        return True

    def _note(self, loss: _LossError) -> None:
        rounds = count_rounds(next(iter(self.history.values()), {}))
        self.losses.append(
            f"The worker {' and '.join(sorted(loss.workers))} was lost after round {rounds}: the training went on from round "
            f"{count_rounds(self.channel.read()[1])}."
        )
        if self.progress is None:  # nobody reads the note of one of several trainings
            sys.stderr.write(f"{self.losses[-1]}\n")
        if len(self.losses) > MOST_LOSSES:
            raise TrainingError(f"Workers were lost {len(self.losses)} times. {self.losses[-1]} {REMEDY}") from loss
