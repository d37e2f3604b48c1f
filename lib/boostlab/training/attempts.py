"""A training on a cluster as attempts, each on the workers that are there, until one ends.

XGBoost does not survive the loss of a worker. So the scheduler keeps the model so far, and after a loss the training goes on
from there, on the workers that are left.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import xgboost as xgb
import xgboost.dask
from distributed import Client, Future

from boostlab.cluster import Members
from boostlab.errors import TrainingError
from boostlab.training.boosting import Boosting, BoostingInputs
from boostlab.training.on_worker import Channel, Follower, MeanLoss, count_rounds
from boostlab.training.shares import share_part
from boostlab.training.worker_progress import WorkerProgress

POLL_S = 0.1
CHECK_S = 1.0  # between two looks at the workers
LEAVE_S = 5.0  # in which XGBoost notices by itself that a worker is gone
MEET_S = 30  # for all workers to begin, once their rows are there; or for a first worker to come back
MOST_LOSSES = 20
Result = concurrent.futures.Future[Any]
REMEDY = "Start the cluster again, and run the same command."


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


@dataclass
class Attempts:
    """A training on a cluster: attempts, each on the workers that are there, until one ends."""

    client: Client
    inputs: BoostingInputs
    progress: WorkerProgress
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
                    sent=self.progress.add_rows,
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
        if not self.progress.shown:  # nobody reads the note of one of several trainings
            sys.stderr.write(f"{self.losses[-1]}\n")
        if len(self.losses) > MOST_LOSSES:
            raise TrainingError(f"Workers were lost {len(self.losses)} times. {self.losses[-1]} {REMEDY}") from loss
